"""A pipeline's folder with all that is known of it: stages, runs, entries, and the pipeline whose outputs it reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from catalog.entry import Entry
from catalog.graph import Graph, Stage, meets, read_graph
from catalog.lock import Lock, read_lock
from catalog.own_entry import find_entries
from catalog.source import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A folder with a dvc.yaml and a params.yaml.

    Attributes:
        root: the folder.
        graph, lock: of its stages and their last runs.
        entries: by name.
        outer: the pipeline above it in the repository; None: it is the repository's.
    """

    root: Path
    graph: Graph
    lock: Lock
    entries: dict[str, Entry]
    outer: Pipeline | None


def outer_makers(pipeline: Pipeline, outer: Pipeline, stage: Stage) -> list[tuple[str, str, Stage]]:
    """What a stage reads that the pipeline above makes: (path here, path there, stage there)."""
    paths = [path for path in stage.data if pipeline.graph.maker(path) is None]
    places = [
        (path, path if Path(path).is_absolute() else os.path.relpath(pipeline.root / path, outer.root))
        for path in paths
    ]
    return [
        (path, there, maker)
        for path, there in places
        for maker in outer.graph.stages
        if any(meets(there, output.path) for output in maker.outputs)
    ]


def open_pipeline(root: Path) -> Pipeline:
    """Read a folder's pipeline, and those above it.

    Raises:
        SettingsError, MissingError: if a file of theirs is damaged or not there.
    """
    source = Source(root=root)
    graph, outer = read_graph(source), source.outer()
    return Pipeline(
        root=root,
        graph=graph,
        lock=read_lock(source),
        entries=find_entries(graph, root),
        outer=None if outer is None else open_pipeline(outer.root),
    )


def _from(there: Path, here: Path, path: str) -> str:
    """A path of one folder as another has it."""
    return path if Path(path).is_absolute() else os.path.relpath(here / path, there)
