"""Every schema of what the stages before the catalog write, and where such files lie."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.frame import FRAME_SCHEMA
from schemas.metric import METRIC_SCHEMA
from schemas.prediction import PREDICTION_SCHEMA
from schemas.quarantine import QUARANTINE_SCHEMA
from schemas.reports import CONVERSION_SCHEMA, FRAME_COUNTS_SCHEMA, MANIFEST_SCHEMA, VERIFY_SCHEMA
from schemas.sample import SAMPLE_JSON_SCHEMA, SAMPLE_SCHEMA
from schemas.scene import SCENE_SCHEMA
from schemas.scene_store import SCENE_ARRAYS_SCHEMA, SCENE_GROUP_SCHEMA, STORE_SCHEMA
from schemas.shard import SHARD_INDEX_SCHEMA

TABLE = "Parquet table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A kind of file or part of one.

    Attributes:
        schema: what it holds.
        kind: Parquet table | tar members | Zarr group | Zarr arrays | JSON object.
        where: by the defaults of section ``paths``, with ``<...>`` for what varies.
        what: one sentence.
    """

    schema: pa.Schema
    kind: str
    where: tuple[str, ...]
    what: str

    @property
    def name(self) -> str:
        """Of the schema."""
        return str(self.schema.metadata[b"sahmr.schema"].decode())

    @property
    def version(self) -> str:
        """Of the schema, major.minor."""
        return str(self.schema.metadata[b"sahmr.schema_version"].decode())

    @property
    def stages(self) -> tuple[str, ...]:
        """That write it."""
        return tuple(self.schema.metadata[b"sahmr.stage"].decode().split())


def _table(schema: pa.Schema, what: str, *where: str) -> Stored:
    return Stored(schema=schema, kind=TABLE, where=where, what=what)


def _object(schema: pa.Schema, what: str, *where: str) -> Stored:
    return Stored(schema=schema, kind="JSON object", where=where, what=what)


STORED = (
    _table(FRAME_SCHEMA, "One usable person-image per row.", "data/frames/<dataset>.parquet"),
    _table(SCENE_SCHEMA, "One scanned scene per row.", "data/frames/<dataset>_scenes.parquet"),
    _table(SHARD_INDEX_SCHEMA, "One sample per row: which bytes of which tar.", "data/shards/<dataset>/index.parquet"),
    Stored(
        schema=SAMPLE_SCHEMA,
        kind="tar members",
        where=("data/shards/<dataset>/<dataset>-<split>-<sequence>-<number>.tar",),
        what="One sample: members `<key>.<field>`, side by side, sorted.",
    ),
    _object(SAMPLE_JSON_SCHEMA, "The JSON member of a sample.", "data/shards/<dataset>/<shard>.tar: <key>.json"),
    Stored(
        schema=STORE_SCHEMA,
        kind="Zarr group",
        where=("data/scenes/<dataset>.zarr",),
        what="The root of a store of scenes.",
    ),
    Stored(
        schema=SCENE_GROUP_SCHEMA,
        kind="Zarr group",
        where=("data/scenes/<dataset>.zarr/<scene_key>",),
        what="A scene: the attributes of its group.",
    ),
    Stored(
        schema=SCENE_ARRAYS_SCHEMA,
        kind="Zarr arrays",
        where=("data/scenes/<dataset>.zarr/<scene_key>/points", "data/scenes/<dataset>.zarr/<scene_key>/sdf"),
        what="A scene: its arrays, float32, fill value NaN.",
    ),
    _table(
        PREDICTION_SCHEMA, "What a method says of each person-image.", "data/predictions/<dataset>/<method>.parquet"
    ),
    _table(METRIC_SCHEMA, "Scores of each method on each person-image.", "data/scores/<dataset>.parquet"),
    _table(
        QUARANTINE_SCHEMA,
        "Damaged raw files that were left out.",
        "data/shards/<dataset>/left_out.parquet",
        "reports/quarantine_<stage>_<dataset>.parquet",
    ),
    _object(
        MANIFEST_SCHEMA,
        "What a stage has published: every file with length and SHA-256; written last.",
        "data/shards/<dataset>/manifest.json",
        "data/bodies/manifest.json",
        "data/<stage>/<name>.manifest.json",
    ),
    _object(FRAME_COUNTS_SCHEMA, "Frames kept and dropped, per rule.", "reports/frame_counts_<dataset>.json"),
    _object(CONVERSION_SCHEMA, "What a run of a conversion stage did.", "reports/<stage>_<dataset>.json"),
    _object(VERIFY_SCHEMA, "What the stage verify found.", "reports/verify_<dataset>.json"),
)
