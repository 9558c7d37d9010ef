"""Section ``raw`` of params.yaml: where the publishers' trees are."""

from __future__ import annotations

from pathlib import Path

from sahmr.errors import SettingsError
from sahmr.settings import Paths, load_roots, load_section


def load_raw_roots(path: Path | None = None) -> dict[str, Path]:
    """Section ``raw`` of params.yaml: the root of the publisher's tree of every dataset in use, in the order given.

    Raises:
        SettingsError: if a name has no card, or a folder lies in another's or among the outputs.
    """
    roots = load_roots(path)
    paths = load_section("paths", Paths, path)
    for name, root in roots.items():
        paths.keep_apart(f"raw.{name}", root)
    return roots


def raw_root(dataset: str, path: Path | None = None) -> Path:
    """Root of one dataset's tree.

    Raises:
        SettingsError: as :func:`load_raw_roots`, or if section ``raw`` lacks the dataset.
    """
    roots = load_raw_roots(path)
    if dataset not in roots:
        raise SettingsError(
            f"{path or 'params.yaml'}: raw.{dataset}: found no such key, allowed a folder; add it beside "
            f"{', '.join(sorted(roots))}"
        )
    return roots[dataset]
