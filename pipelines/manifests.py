"""Which manifest each stage writes, and whether the files they list are still those."""

from __future__ import annotations

from pathlib import Path

from sahmr.errors import ShardError
from sahmr.files import MANIFEST_NAME, check_manifest
from sahmr.settings import Paths

_SHOWN = 20  # problems in the error itself


def manifest_beside(path: Path) -> Path:
    """Manifest of a store or table, which holds no foreign file itself: ``<name>.manifest.json`` beside it."""
    return path.with_name(f"{path.stem}.manifest.json")


def data_manifests(dataset: str, paths: Paths) -> tuple[Path, Path, Path]:
    """Of the frame tables, scenes and shards of a dataset."""
    return (
        paths.frames / f"{dataset}.manifest.json",
        paths.scenes / f"{dataset}.manifest.json",
        paths.shards / dataset / MANIFEST_NAME,
    )


def compare_manifests(dataset: str, paths: Paths) -> None:
    """Insist that body models, frame tables, scenes and shards are as their stages published them.

    Raises:
        ShardError: listing what is missing, strange or changed.
    """
    stages = zip(data_manifests(dataset, paths), ("frames", "scenes", "shards"), strict=True)
    manifests = [(paths.bodies / MANIFEST_NAME, "bodies", None), *((path, stage, dataset) for path, stage in stages)]
    problems = [line for path, stage, of in manifests for line in check_manifest(path, stage=stage, dataset=of)]
    if problems:
        more = [f"... and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        heading = f"{dataset}: {len(problems)} problems, files are not as they were published:"
        raise ShardError("\n".join([heading, *problems[:_SHOWN], *more]))
