"""Finds what Croissant files describe: folders and raw trees in ``dvc.yaml``, settings of the runs in ``dvc.lock``."""

from __future__ import annotations

from pathlib import Path

from catalog.croissant import STAGES, Described, write_croissants
from catalog.entry import choose_entry
from catalog.errors import MissingError, UnknownError
from catalog.graph import Graph, full_name
from catalog.lock import Lock, read_lock
from catalog.own_entry import find_entries
from catalog.source import Source
from sahmr.files import MANIFEST_NAME, ManifestError


def describe(graph: Graph, lock: Lock, dataset: str, root: Path) -> Described:
    """What the Croissant files of a dataset are made of.

    Args:
        graph, lock: of the working folder. Settings are those the stages last ran with; none, if they never ran here.
        dataset: its name in section ``raw``.
        root: the working folder.

    Raises:
        SettingsError: if no reviewed entry applies to the dataset's raw tree.
    """
    key = f"raw.{dataset}"
    maker = graph.maker(graph.param(key))
    ran = {stage: lock.stage(full_name(stage, dataset)) for stage in STAGES}
    return Described(
        dataset=dataset,
        entry=choose_entry(find_entries(graph, root), key, maker.name if maker else None),
        frames=root / graph.param("paths.frames"),
        scenes=root / graph.param("paths.scenes"),
        shards=root / graph.param("paths.shards"),
        settings={stage: run.params if run else {} for stage, run in ran.items()},
    )


def write_all(graph: Graph, root: Path, into: Path, dataset: str | None = None) -> list[Path]:
    """Write the Croissant files of datasets of the working folder.

    Args:
        graph: of the working folder.
        root: that folder.
        into: folder that gets one for each dataset; paths in the files lead from there.
        dataset: its name in section ``raw``; default: all whose shards are there.

    Raises:
        SettingsError: as :func:`describe`.
        UnknownError: if there is no such dataset.
        MissingError, SchemaError: if frame table or shards are missing, unfinished or damaged.
    """
    if dataset is not None and dataset not in graph.datasets:
        raise UnknownError(f"{dataset}: found no such dataset, allowed: {', '.join(graph.datasets)}; name one of them")
    lock = read_lock(Source(root=root))
    found = [describe(graph, lock, name, root) for name in ([dataset] if dataset else graph.datasets)]
    there = [one for one in found if dataset or (one.shards / one.dataset / MANIFEST_NAME).is_file()]
    try:
        return [path for one in there for path in write_croissants(one, into)]
    except ManifestError as problem:
        raise MissingError(str(problem)) from None
