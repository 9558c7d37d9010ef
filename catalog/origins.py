"""Which datasets an output was made from, as ``dvc.lock`` says that it was: what a licence binds is what came of it."""

from __future__ import annotations

from catalog.card import entry_of, raw_keys
from catalog.entry import Entry
from catalog.errors import MissingError
from catalog.graph import Graph, Stage, meets
from catalog.lock import Lock
from catalog.pipeline import Pipeline, outer_makers
from catalog.verify import folder_md5


def entries_behind(pipeline: Pipeline, stage: Stage) -> list[Entry]:
    """Entries of all datasets that a stage's outputs contain, directly or not, sorted by name.

    Raises:
        MissingError: if the outputs were made of other inputs than ``dvc.yaml`` and ``params.yaml`` name now: whose
            they are is then not known.
    """
    graph, lock, entries = pipeline.graph, pipeline.lock, pipeline.entries()
    before = graph.before(stage)
    for one in before:
        _require_same_inputs(lock, one)
    found = {}
    for dataset, key in raw_keys(graph, entries).items():
        tree = graph.param(key)
        readers = [one for one in before if any(meets(path, tree) for path in one.data)]
        makers = [one for one in before if any(meets(output.path, tree) for output in one.outputs)]
        if readers or makers:
            entry = entry_of(graph, entries, dataset)
            for reader in readers:
                _require_made(graph, lock, reader, tree)
                if graph.maker(tree) is None and not entry.is_private:
                    _require_unchanged(pipeline, reader, tree)
            found[entry.name] = entry
    for one in before:
        found |= _from_outside(pipeline, one)
    return [found[name] for name in sorted(found)]


def _from_outside(pipeline: Pipeline, stage: Stage) -> dict[str, Entry]:
    """By name, the entries behind what a stage reads of the pipeline above."""
    outer, ran = pipeline.outer, pipeline.lock.stage(stage.full_name)
    found: dict[str, Entry] = {}
    if outer is None:
        return found
    for path, there, maker in outer_makers(pipeline, outer, stage):
        made = outer.lock.output(maker.full_name, there)
        if ran is not None and path in ran.deps and made is not None and made.md5 != ran.deps[path].md5:
            raise _other_tree(stage, path, maker)
        found |= {entry.name: entry for entry in entries_behind(outer, maker)}
    return found


def _require_same_inputs(lock: Lock, stage: Stage) -> None:
    locked = lock.stage(stage.full_name)
    if locked is None:
        return
    then, now = {path for path in locked.deps if not path.endswith(".py")}, set(stage.data)
    if then != now:
        ran, named = (", ".join(sorted(paths)) or "nothing" for paths in (then - now, now - then))
        raise MissingError(
            f"dvc.lock: {stage.full_name} ran on {ran}, where dvc.yaml and params.yaml name {named}: whose data its "
            f"outputs are is not known; run: dvc repro {stage.full_name}, or restore params.yaml"
        )


def _require_made(graph: Graph, lock: Lock, reader: Stage, tree: str) -> None:
    """A tree that a stage of ours makes is only then known to be what another one read if both locks say so."""
    maker, ran = graph.maker(tree), lock.stage(reader.full_name)
    if maker is None or ran is None or tree not in ran.deps:
        return
    made = lock.output(maker.full_name, tree)
    if made is None or made.md5 != ran.deps[tree].md5:
        raise _other_tree(reader, tree, maker)


def _other_tree(reader: Stage, tree: str, maker: Stage) -> MissingError:
    return MissingError(
        f"dvc.lock: {reader.full_name} read another {tree} than {maker.full_name} made: whose data it is is not "
        f"known; run: dvc repro {reader.full_name}"
    )


def _require_unchanged(pipeline: Pipeline, reader: Stage, tree: str) -> None:
    """A tree that says itself that it is free says so of what lies in it now, and of nothing that lay there before."""
    ran, folder = pipeline.lock.stage(reader.full_name), pipeline.root / tree
    if ran is None or tree not in ran.deps:
        return
    if not folder.is_dir() or folder_md5(folder) != ran.deps[tree].md5:
        raise MissingError(
            f"dvc.lock: {reader.full_name} read another {tree} than lies there now, and only that has an entry which "
            f"permits redistribution; run: dvc repro {reader.full_name}"
        )
