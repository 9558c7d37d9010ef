"""The thorough half of ``verify``: every sample decoded. Needs torch, so it is imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from catalog.graph import Graph, full_name
from catalog.lock import Lock
from catalog.source import Source
from catalog.verify import Finding, folder_md5
from sahmr.errors import SahmrError
from sahmr.params_file import parse_text
from sahmr.settings import Paths, load_section
from sahmr.verify import Verify, verify_dataset
from schemas.fields import SchemaError


def verify_deep(graph: Graph, lock: Lock, root: Path) -> Iterator[Finding]:
    """Compare folders with the digests DVC has of them, and every sample with index, frame table and scene.

    What stage ``verify`` does is done by the same function; its report is not written.

    Args:
        graph, lock, root: of the working folder, which is also the current one.
    """
    for output in graph.outputs:
        known = lock.output(full_name(output.stage, output.dataset), output.path)
        is_folder = known is not None and known.md5.endswith(".dir") and (root / output.path).is_dir()
        if known is not None and is_folder and folder_md5(root / output.path) != known.md5:
            yield Finding(path=output.path, problem="MD5 differs from dvc.lock", rebuild=output.rebuild)
    settings, paths = load_section("verify", Verify, _params_file(root)), load_section("paths", Paths)
    for dataset in graph.datasets:
        if (paths.shards / dataset).is_dir():
            again = "verify" if any(stage.name == "verify" for stage in graph.stages) else "shards"
            yield from _samples(dataset, settings, paths, f"dvc repro {again}@{dataset}")


def _params_file(root: Path) -> Path:
    """That of the nearest pipeline which checks its shards by itself: own folders have no such stage."""
    source: Source | None = Source(root=root)
    while source is not None:
        if "verify" in parse_text(source.text("params.yaml"), "params.yaml"):
            return source.root / "params.yaml"
        source = source.outer()
    return root / "params.yaml"


def _samples(dataset: str, settings: Verify, paths: Paths, again: str) -> Iterator[Finding]:
    folder, rebuild = (paths.shards / dataset).as_posix(), f"dvc repro shards@{dataset}"
    try:
        _, problems, contradictions = verify_dataset(dataset, settings, paths, map)
    except (SahmrError, SchemaError) as error:
        yield Finding(path=folder, problem=str(error), rebuild=rebuild)
        return
    for problem in problems:
        yield Finding(path=folder, problem=problem, rebuild=rebuild)
    for problem in contradictions:
        correct = f"correct the raw files or section verify, then {again}"
        yield Finding(path=folder, problem=problem, rebuild=correct)
