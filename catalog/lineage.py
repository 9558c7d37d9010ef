"""Where one sample comes from, what was done to it, and what was made of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from os.path import normpath
from pathlib import Path
from typing import Any

from catalog.errors import UnknownError
from catalog.graph import Graph, Output, Stage
from catalog.lock import Lock
from catalog.pipeline import Pipeline, open_pipeline, outer_makers
from catalog.rows import find_rows, nearest
from catalog.scene_files import scene_files, video_frame
from catalog.source import Source
from catalog.tables import known_schemas, schema_name, table_files
from sahmr.files import file_sha256
from schemas.fields import read_table
from schemas.frame import FRAME_SCHEMA
from schemas.metric import METRIC_NAMES

_VERSION = re.compile(r"^VERSION = (\d+)", re.MULTILINE)
_FILES = (("image", "image"), ("body", "body"), ("contact", "contact"))
_SCENE_FILES = (("scan", "scan"), ("distance field", "sdf"), ("its extent", "sdf_info"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFile:
    """A publisher's file that a sample was made from.

    Attributes:
        role: image | body | contact | scan | distance field | its extent; of own scenes also cameras | boxes |
            settings.
        path: from the repository on, or from the pipeline's folder.
        sha256: as it was when the frame table was made.
        is_there: it still exists here.
        video_frame: number of the frame, counted from 0, where the file is a video.
        is_recorded: the frame or scene table has ``sha256``; else it is that of the file as it is now.
    """

    role: str
    path: str
    sha256: str
    is_there: bool
    video_frame: int | None = None
    is_recorded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A stage on the road to the sample's scores.

    Attributes:
        stage: as ``dvc repro`` takes it.
        version: of its results, where its module states one.
        code: digest of the code of its last run; None: it did not run here.
        params: sections of params.yaml of that run.
        makes: its outputs that DVC keeps.
    """

    stage: str
    version: str | None
    code: str | None
    params: dict[str, Any]
    makes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """Everything about one sample.

    Attributes:
        key, dataset, split, sequence, camera, frame, subject, scene_key: as in the frame table.
        raw: files, with hashes.
        rules: that chose the frame: section ``frames.<dataset>`` of the run that made the table.
        shard: file, first byte, length and SHA-256 of the sample; None: no shard has it.
        steps: stages in order.
        predictions: of each method: table, place, contact points.
        scores: of each method, where they are defined.
    """

    key: str
    dataset: str
    split: str
    sequence: str
    camera: int
    frame: int
    subject: str
    scene_key: str
    raw: tuple[RawFile, ...]
    rules: dict[str, Any]
    shard: dict[str, Any] | None
    steps: tuple[Step, ...]
    predictions: tuple[dict[str, Any], ...]
    scores: tuple[dict[str, Any], ...]


def find_lineage(graph: Graph, lock: Lock, root: Path, key: str) -> Lineage:
    """Follow a key through all tables.

    Raises:
        UnknownError: if no frame table has it; names the nearest.
        SchemaError: if a table is damaged.
    """
    found = list(table_files(graph, root))
    frames, row = find_frame(found, key)
    dataset = frames.dataset
    own = [(path, output) for path, output in found if output.dataset == dataset]
    maker = next(stage for stage in graph.stages if frames in stage.outputs)
    locked = lock.stage(maker.full_name)
    rules = locked.params.get(f"frames.{dataset}") if locked else None
    folder = graph.param(f"raw.{dataset}")
    return Lineage(
        **{
            name: row[name]
            for name in ("key", "dataset", "split", "sequence", "camera", "frame", "subject", "scene_key")
        },
        raw=tuple(_raw_files(row, _scene(own, row["scene_key"]), folder, root)),
        rules=rules if isinstance(rules, dict) else {},
        shard=_shard(own, key, root),
        steps=tuple(_steps(Pipeline(root=root, graph=graph, lock=lock, outer=_outer(root)), dataset)),
        predictions=tuple(_predictions(own, key, root)),
        scores=tuple(_scores(own, key)),
    )


def _of_schema(found: list[tuple[Path, Output]], name: str) -> Iterator[tuple[Path, Output]]:
    """Tables that follow a schema; only footers of its stages' tables are read."""
    stages = known_schemas()[name].metadata[b"sahmr.stage"].decode().split()
    for path, output in found:
        if output.stage in stages and schema_name(path, output) == name:
            yield path, output


def find_frame(found: list[tuple[Path, Output]], key: str) -> tuple[Output, dict[str, Any]]:
    """The frame table that has a key, and its row.

    Args:
        found: all tables.
        key: looked for.

    Raises:
        UnknownError: if none has it; names the nearest.
        SchemaError: if a table is damaged.
    """
    tables = list(_of_schema(found, "frame"))
    for path, output in tables:
        for row in find_rows(path, key, rebuild=output.rebuild):
            return output, row
    if not tables:
        raise UnknownError(f"{key}: there is no frame table here; make one with: dvc repro frames")
    known = (one for path, _ in tables for one in read_table(path, FRAME_SCHEMA, ["key"]).column(0).to_pylist())
    near = nearest(key, known)
    remedy = (
        f"did you mean {', '.join(near)}?" if near else "list keys: python -m catalog query 'SELECT key FROM frame'"
    )
    raise UnknownError(f"{key}: found no such key in {', '.join(path.as_posix() for path, _ in tables)}; {remedy}")


def _scene(own: list[tuple[Path, Output]], scene_key: str) -> dict[str, Any]:
    for path, output in _of_schema(own, "scene"):
        for row in find_rows(path, scene_key, by="scene_key", rebuild=output.rebuild):
            return row
    return {}


def _raw_files(row: dict[str, Any], scene: dict[str, Any], folder: str, root: Path) -> Iterator[RawFile]:
    for values, roles in ((row, _FILES), (scene, _SCENE_FILES)):
        for role, name in roles:
            if file := values.get(f"{name}_file"):
                yield RawFile(
                    role=role,
                    path=f"{folder}/{file}",
                    sha256=values[f"{name}_sha256"],
                    is_there=(root / folder / file).is_file(),
                    video_frame=video_frame(row["dataset"], file, row["frame"]) if role == "image" else None,
                )
    for role, file in scene_files(row["dataset"], root / folder, row["scene_key"]):
        digest = file_sha256(root / folder / file)
        yield RawFile(role=role, path=f"{folder}/{file}", sha256=digest, is_there=True, is_recorded=False)


def _shard(own: list[tuple[Path, Output]], key: str, root: Path) -> dict[str, Any] | None:
    for path, output in _of_schema(own, "shard_index"):
        for row in find_rows(path, key, rebuild=output.rebuild):
            file = (path.parent / row["shard"]).relative_to(root).as_posix()
            return {"file": file, **{name: row[name] for name in ("offset", "length", "sha256")}}
    return None


def _predictions(own: list[tuple[Path, Output]], key: str, root: Path) -> Iterator[dict[str, Any]]:
    for path, output in _of_schema(own, "prediction"):
        for row in find_rows(path, key, ["key", "crop_box", "root", "contact_count"], rebuild=output.rebuild):
            yield {"predictor": path.stem, "file": path.relative_to(root).as_posix(), **row}


def _scores(own: list[tuple[Path, Output]], key: str) -> Iterator[dict[str, Any]]:
    for path, output in _of_schema(own, "metric"):
        for row in find_rows(path, key, ["key", "predictor", "posture", *METRIC_NAMES], rebuild=output.rebuild):
            yield {name: value for name, value in row.items() if name != "key" and value is not None}


def _steps(pipeline: Pipeline, dataset: str | None) -> Iterator[Step]:
    """Stages up to the dataset's scores, from raw data on; first those of the pipeline above."""
    road = pipeline.graph.before([stage for stage in pipeline.graph.stages if stage.dataset == dataset][-1])
    if outer := pipeline.outer:
        makers = [maker for stage in road for _, _, maker in outer_makers(pipeline, outer, stage)]
        wanted = {stage.full_name for maker in makers for stage in outer.graph.before(maker)}
        for stage in (stage for stage in outer.graph.stages if stage.full_name in wanted):
            step, up = step_of(stage, outer.lock, outer.root), outer.root.as_posix()
            makes = tuple(normpath(f"{up}/{path}") for path in step.makes)
            yield replace(step, stage=f"{up}/{stage.file}:{step.stage}", makes=makes)
    yield from (step_of(stage, pipeline.lock, pipeline.root) for stage in road)


def _outer(root: Path) -> Pipeline | None:
    source = Source(root=root).outer()
    return None if source is None else open_pipeline(source.root)


def step_of(stage: Stage, lock: Lock, root: Path) -> Step:
    """What a stage does on the road; its last run's code and parameters, if it ran here."""
    locked = lock.stage(stage.full_name)
    files = [root / path for path in stage.code if f"/{path}".endswith(f"/pipelines/{stage.name}.py")]
    version = next((_VERSION.search(file.read_text(encoding="utf-8")) for file in files if file.is_file()), None)
    return Step(
        stage=stage.full_name,
        version=version[1] if version else None,
        code=locked.code if locked else None,
        params=locked.params if locked else {},
        makes=tuple(output.path for output in stage.outputs if output.is_cached and output.kind != "manifest"),
    )
