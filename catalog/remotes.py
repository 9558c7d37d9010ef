"""Who can read each DVC remote, ``catalog/remotes.yaml``: what no program can find out by itself."""

from __future__ import annotations

from pathlib import Path

from sahmr.params_file import read_yaml
from sahmr.settings import Flag, Paragraph, Text, check_mapping, settings

FILE = Path("catalog/remotes.yaml")  # in the repository that pushes


@settings
class Reviewed:
    """A remote as its reviewer describes it.

    Attributes:
        url: the place that was looked at; a remote of this name that leads elsewhere is another.
        private: whether only people can read it who may have the data.
        readers: who they are, and how one knows.
    """

    url: Text
    private: Flag
    readers: Paragraph


def read_remotes(path: Path) -> dict[str, Reviewed]:
    """All that were reviewed, by name; none if there is no such file.

    Raises:
        SettingsError: if it has an unknown, missing or impossible value.
    """
    if not path.is_file():
        return {}
    return {name: check_mapping(found, Reviewed, path, name) for name, found in read_yaml(path).items()}


def is_private(remotes: dict[str, Reviewed], name: str, url: str) -> bool:
    """Whether licensed data may go to a remote that leads to ``url``."""
    known = remotes.get(name)
    return known is not None and known.private and known.url.rstrip("/") == url.rstrip("/")
