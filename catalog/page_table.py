"""The frames of all datasets with their place in shards, predictions and scores, packed for the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from catalog.packed import Packed, digests, named, numbers, pack, texts
from catalog.scene_files import video_frame
from catalog.tables import Table
from schemas.fields import read_table
from schemas.frame import FRAME_SCHEMA
from schemas.metric import METRIC_SCHEMA
from schemas.prediction import PREDICTION_SCHEMA
from schemas.shard import SHARD_INDEX_SCHEMA

SCORES = {  # step to which the page rounds each score
    "global_mpjpe_mm": 0.1,
    "mpjpe_mm": 0.1,
    "pa_mpjpe_mm": 0.1,
    "penetration_m": 0.01,
    "contact_f1_ratio": 0.001,
}
_NAMES = ("dataset", "split", "sequence", "scene_key", "subject", "gender", "box_source")
_FILES = ("image", "body", "contact")
_READ = (
    *("key", "camera", "frame", "person_box", "mirrored", *_NAMES),
    *(f"{file}_{what}" for file in _FILES for what in ("file", "sha256")),
)
_TAR_BLOCK = 512  # bytes: samples begin and end on multiples


@dataclass(frozen=True, slots=True, kw_only=True)
class Frames:
    """All frames and what was made of them.

    Attributes:
        frames: ``_READ`` of the frame tables, and shard, offset, length and sample_sha256 of the index; null: in none.
        predictions: row of ``frames``, predictor, contact_count.
        scores: row of ``frames``, and the columns of the score tables that the page shows.
    """

    frames: pa.Table
    predictions: pa.Table
    scores: pa.Table

    def of(self, dataset: str) -> tuple[pa.Table, pa.Table]:
        """Frames and scores of one dataset."""
        mine = pc.equal(self.frames.column("dataset"), dataset)
        return self.frames.filter(mine), self.scores.filter(pc.take(mine, self.scores.column("row")))


def read_frames(tables: Sequence[Table]) -> Frames:
    """Read what the page needs of the tables; columns of meshes stay unread.

    Raises:
        SchemaError: if a table is damaged.
    """
    frames: list[pa.Table] = [_with_shards(FRAME_SCHEMA.empty_table(), None)]
    predictions, scores = [_predictions(None, frames[0], 0)], [_scores(None, frames[0], 0)]
    start = 0
    for table in tables:
        if table.name == "frame":
            mine = [one for one in tables if one.output.dataset == table.output.dataset]
            index = next((one for one in mine if one.name == "shard_index"), None)
            frames.append(_with_shards(read_table(table.path, FRAME_SCHEMA, _READ), index))
            predictions += [_predictions(one, frames[-1], start) for one in mine if one.name == "prediction"]
            scores += [_scores(one, frames[-1], start) for one in mine if one.name == "metric"]
            start += len(frames[-1])
    return Frames(
        frames=pa.concat_tables(frames), predictions=pa.concat_tables(predictions), scores=pa.concat_tables(scores)
    )


def _with_shards(frames: pa.Table, index: Table | None) -> pa.Table:
    columns = ["key", "shard", "offset", "length", "sha256"]
    found = SHARD_INDEX_SCHEMA.empty_table() if index is None else read_table(index.path, SHARD_INDEX_SCHEMA, columns)
    place = pc.index_in(frames.column("key"), value_set=found.column("key").combine_chunks())
    frames = frames.select(_READ)
    for name in columns[1:]:
        own = "sample_sha256" if name == "sha256" else name
        frames = frames.append_column(own, found.column(name).combine_chunks().take(place))
    return frames.replace_schema_metadata()


def _predictions(table: Table | None, frames: pa.Table, start: int) -> pa.Table:
    columns = ["key", "contact_count"]
    if table is None:
        found, name = PREDICTION_SCHEMA.empty_table(), ""
    else:
        found, name = read_table(table.path, PREDICTION_SCHEMA, columns), table.path.stem
    found = found.select(columns).append_column("predictor", pa.array([name] * len(found), pa.string()))
    return _with_rows(found, frames, start)


def _scores(table: Table | None, frames: pa.Table, start: int) -> pa.Table:
    columns = ["key", "predictor", "posture", "distance_m", *SCORES]
    found = METRIC_SCHEMA.empty_table() if table is None else read_table(table.path, METRIC_SCHEMA, columns)
    return _with_rows(found.select(columns), frames, start)


def _with_rows(found: pa.Table, frames: pa.Table, start: int) -> pa.Table:
    """Number of the frame instead of its key; what belongs to no frame is left out."""
    row = pc.index_in(found.column("key"), value_set=frames.column("key").combine_chunks())
    found = found.append_column("row", pc.add(pc.cast(row, pa.int64()), start)).filter(pc.is_valid(row))
    return found.drop_columns(["key"]).replace_schema_metadata()


def packed_frames(found: Frames) -> str:
    """All of it as text for the page's script."""
    return pack(
        {
            "frames": (len(found.frames), list(_frame_columns(found.frames))),
            "predictions": (
                len(found.predictions),
                [
                    numbers("row", found.predictions.column("row")),
                    named("predictor", found.predictions.column("predictor")),
                    numbers("contact_count", found.predictions.column("contact_count")),
                ],
            ),
            "scores": (
                len(found.scores),
                [
                    numbers("row", found.scores.column("row")),
                    *(named(name, found.scores.column(name)) for name in ("predictor", "posture")),
                    numbers("distance_m", found.scores.column("distance_m"), step=0.01),
                    *(numbers(name, found.scores.column(name), step=step) for name, step in SCORES.items()),
                ],
            ),
        }
    )


def person_px(frames: pa.Table) -> pa.ChunkedArray:
    """Heights of the person boxes, pixels of the full image."""
    box = frames.column("person_box")
    return pc.subtract(pc.list_element(box, 3), pc.list_element(box, 1))


def _with_frame_numbers(frames: pa.Table) -> pa.ChunkedArray:
    """Image files; of a video's frame with its number."""
    rows = zip(*(frames.column(name).to_pylist() for name in ("dataset", "image_file", "frame")), strict=True)
    numbered = [(file, video_frame(dataset, file, frame)) for dataset, file, frame in rows]
    return pa.chunked_array(
        [[file if frame is None else f"{file}, frame {frame}" for file, frame in numbered]], pa.string()
    )


def _frame_columns(frames: pa.Table) -> Iterator[Packed]:
    yield texts("key", frames.column("key"))
    for name in (*_NAMES, "shard"):
        yield named(name, frames.column(name))
    for name in ("camera", "frame", "mirrored"):
        yield numbers(name, frames.column(name))
    yield numbers("person_px", person_px(frames))
    for name in ("offset", "length"):
        yield numbers(name, frames.column(name), step=_TAR_BLOCK)
    for name in _FILES:
        yield texts(f"{name}_file", _with_frame_numbers(frames) if name == "image" else frames.column(f"{name}_file"))
        yield digests(f"{name}_sha256", frames.column(f"{name}_sha256"))
    yield digests("sample_sha256", frames.column("sample_sha256"))
