"""Which datasets an output was made from, as ``dvc.lock`` says that it was: what a licence binds is what came of it."""

from __future__ import annotations

from catalog.card import entry_of, raw_keys
from catalog.entry import Entry
from catalog.errors import MissingError
from catalog.graph import Graph, Stage, meets
from catalog.lock import Lock


def entries_behind(graph: Graph, lock: Lock, entries: dict[str, Entry], stage: Stage) -> list[Entry]:
    """Entries of all datasets that a stage's outputs contain, directly or not, sorted by name.

    Raises:
        MissingError: if the outputs were made of other inputs than ``dvc.yaml`` and ``params.yaml`` name now: whose
            they are is then not known.
    """
    before = graph.before(stage)
    for one in before:
        _require_same_inputs(lock, one)
    found = {}
    for dataset, key in raw_keys(graph, entries).items():
        tree = graph.param(key)
        readers = [one for one in before if any(meets(path, tree) for path in one.data)]
        makers = [one for one in before if any(meets(output.path, tree) for output in one.outputs)]
        if readers or makers:
            for reader in readers:
                _require_made(graph, lock, reader, tree)
            entry = entry_of(graph, entries, dataset)
            found[entry.name] = entry
    return [found[name] for name in sorted(found)]


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
        raise MissingError(
            f"dvc.lock: {reader.full_name} read another {tree} than {maker.full_name} made: whose data it is is not "
            f"known; run: dvc repro {reader.full_name}"
        )
