"""The entry of a user's own folder: what ``entry.yaml`` in it says, for the rest what is true of every such folder."""

from __future__ import annotations

from pathlib import Path

from catalog.entry import FOLDER, Entry, choose_entry, read_entries
from catalog.graph import Graph
from sahmr.datasets import CARDS
from sahmr.errors import SettingsError
from sahmr.params_file import read_yaml
from sahmr.settings import check_mapping

NAME = "entry.yaml"
_MISTAKEN = ("entry.yml", "entry.json", "entry.yaml.txt")
_FIXED = ("raw", "made_by", "twin_of")  # follow from where the folder is
_MERGED = "responsible"  # key by key; a licence, a citation and a contact are written whole, or not at all
_EXAMPLE = "the keys of catalog/entries/own.yaml"


def find_entries(graph: Graph, root: Path) -> dict[str, Entry]:
    """All reviewed entries; in the place of that of every own folder stands that of the folder which is used.

    A folder that a stage makes has a reviewed entry of its own, whatever lies in it.

    Args:
        graph: of the pipeline.
        root: its folder.

    Raises:
        SettingsError: if an entry is damaged, or has unknown, missing or impossible values.
    """
    entries = read_entries()
    for dataset in [name for name in graph.datasets if name in CARDS and CARDS[name].is_own]:
        tree = graph.param(f"raw.{dataset}")
        if graph.maker(tree) is None:
            default = choose_entry(entries, f"raw.{dataset}", None)
            del entries[default.name]
            mine = _read(root / tree, default)
            if mine.name in entries:
                raise SettingsError(
                    f"{root / tree / NAME}: name: found {mine.name!r}, allowed another than {', '.join(entries)}; "
                    "edit the value"
                )
            entries[mine.name] = mine
    return entries


def _read(folder: Path, default: Entry) -> Entry:
    """What a folder says of itself; the default entry if it says nothing."""
    path = folder / NAME
    if not path.exists() and not path.is_symlink():
        for name in _MISTAKEN:
            if (folder / name).exists():
                raise SettingsError(f"{folder / name}: found an entry of this name, allowed {NAME}; rename it")
        return default
    if not path.is_file():
        raise SettingsError(f"{path}: found no file of this name, but something else, allowed a file; remove it")
    found = read_yaml(path, _EXAMPLE)
    for key in _FIXED:
        if key in found:
            raise SettingsError(f"{path}: {key}: found a key that the folder's place decides; remove it")
    known = read_yaml(FOLDER / f"{default.name}.yaml")
    if isinstance(found.get(_MERGED), dict):
        found = {**found, _MERGED: {**known[_MERGED], **found[_MERGED]}}
    entry: Entry = check_mapping({**known, **found}, Entry, path)
    return entry
