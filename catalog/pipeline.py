"""A pipeline's folder with all that is known of it: stages, runs, entries, and the pipeline whose outputs it reads."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.graph import Graph, Stage, meets, read_graph
from catalog.lock import Lock, read_lock
from catalog.source import Source

if TYPE_CHECKING:  # pydantic comes with it
    from catalog.entry import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """A folder with a dvc.yaml and a params.yaml.

    Attributes:
        root: the folder.
        graph, lock: of its stages and their last runs.
        outer: the pipeline above it in the repository; None: it is the repository's.
    """

    root: Path
    graph: Graph
    lock: Lock
    outer: Pipeline | None
    _entries: dict[str, Entry] = field(default_factory=dict)

    def entries(self) -> dict[str, Entry]:
        """Entries by name, read once. Errors as :func:`catalog.own_entry.find_entries`."""
        from catalog.own_entry import find_entries

        if not self._entries:
            self._entries.update(find_entries(self.graph, self.root))
        return self._entries


def outer_makers(pipeline: Pipeline, outer: Pipeline, stage: Stage) -> list[tuple[str, str, Stage]]:
    """What a stage reads that the pipeline above makes: (path here, path there, stage there)."""
    paths = [path for path in stage.data if pipeline.graph.maker(path) is None]
    places = [(path, _from(outer.root, pipeline.root, path)) for path in paths]
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
    outer = source.outer()
    return Pipeline(
        root=root,
        graph=read_graph(source),
        lock=read_lock(source),
        outer=None if outer is None else open_pipeline(outer.root),
    )


def _from(there: Path, here: Path, path: str) -> str:
    """A path of one folder as another has it."""
    return path if Path(path).is_absolute() else os.path.relpath(here / path, there)
