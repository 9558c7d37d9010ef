"""Finds what Croissant files describe: folders and raw trees in ``dvc.yaml``, settings of the runs in ``dvc.lock``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from catalog.croissant import STAGES, Described, write_croissants
from catalog.entry import choose_entry, read_entries
from catalog.graph import Graph, full_name, read_graph
from catalog.lock import Lock, read_lock
from catalog.source import Source


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
        entry=choose_entry(read_entries(), key, maker.name if maker else None),
        frames=root / graph.param("paths.frames"),
        scenes=root / graph.param("paths.scenes"),
        shards=root / graph.param("paths.shards"),
        settings={stage: run.params if run else {} for stage, run in ran.items()},
    )


def write_all(root: Path, datasets: Iterable[str] | None = None, into: Path | None = None) -> list[Path]:
    """Write the Croissant files of datasets of the working folder.

    Args:
        root: the working folder.
        datasets: default: all in section ``raw``.
        into: folder that gets one for each dataset; default: that of the stage ``catalog``.

    Raises:
        SettingsError: as :func:`describe`, or if a dataset is unknown.
        ManifestError, SchemaError: if frame table or shards are missing, unfinished or damaged.
    """
    source = Source(root=root)
    graph, lock = read_graph(source), read_lock(source)
    folder = root / graph.param("paths.catalog") if into is None else into
    names = graph.datasets if datasets is None else datasets
    return [path for name in names for path in write_croissants(describe(graph, lock, name, root), folder)]
