"""Predictions against ground truth: one row of scores per predictor and person-image, and their summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sahmr.body.joints import H36M_TO_14
from sahmr.dimensions import NUM_VERTICES
from sahmr.errors import ShardError
from sahmr.geometry.camera import unit_to_image, unproject
from sahmr.geometry.distance_field import sample_distance
from sahmr.metrics import mesh_errors, scene_errors
from sahmr.structures import Sample
from schemas.metric import METRIC_NAMES, MetricRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceGrid:
    """A scene's signed distance field, metres, negative inside; as :func:`sample_distance` takes it."""

    sdf: Float[Tensor, "nx ny nz"]
    sdf_min: Float[Tensor, "3"]
    sdf_max: Float[Tensor, "3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPrediction:
    """A row of the predictions table as tensors; camera frame, metres."""

    vertices: Float[Tensor, "6890 3"]
    contact_points: Float[Tensor, "contacts 3"]


def stored_predictions(table: pa.Table) -> Iterator[tuple[str, StoredPrediction]]:
    """Rows of a predictions table, one at a time (a row's vertices never become Python numbers)."""
    for row, key in enumerate(table.column("key").to_pylist()):
        vertices, points = (
            torch.from_numpy(table.column(name)[row].values.to_numpy(zero_copy_only=False).copy()).view(-1, 3)
            for name in ("vertices", "contact_points")
        )
        yield key, StoredPrediction(vertices=vertices, contact_points=points)


def check_keys(predicted: Iterable[str], known: Iterable[str], *, source: str) -> None:
    """Insist that every person-image of the split was predicted, and nothing else.

    Raises:
        ShardError: naming a key that only one side has.
    """
    predicted, known = set(predicted), set(known)
    for word, keys in (("lacks", known - predicted), ("has the unknown", predicted - known)):
        if keys:
            raise ShardError(
                f"{source}: {word} key {min(keys)!r} and {len(keys) - 1} more; predictions and shards are of "
                "different data or splits: run dvc repro"
            )


def baseline_vertices(
    mesh: Float[Tensor, "6890 3"], scaled_depth: Float[Tensor, ""], sample: Sample
) -> Float[Tensor, "6890 3"]:
    """The training data's mean body, placed on the ray through the crop's middle at its mean depth.

    Args:
        mesh: pelvis at the origin, camera axes, metres.
        scaled_depth: depth x crop width / focal length.
        sample: camera and crop box.

    Returns:
        Vertices, camera frame, metres.
    """
    middle = unit_to_image(torch.tensor([0.5, 0.5]), sample.crop_box)
    depth_scale = (sample.crop_box[2] - sample.crop_box[0]) / sample.intrinsics[0, 0]
    return mesh + unproject(middle, scaled_depth / depth_scale, sample.intrinsics)


def score(
    predictor: str,
    sequence: str,
    predicted_camera: Float[Tensor, "6890 3"],
    sample: Sample,
    grid: DistanceGrid,
    joint_regressor: Float[Tensor, "17 6890"],
) -> MetricRecord:
    """Score one predicted mesh in the world frame (method 9.2).

    Args:
        predictor: ``sahmr`` or ``baseline``.
        sequence: for the record.
        predicted_camera: camera frame, metres.
        sample: ground truth and camera.
        grid: distance field of the sample's scene.
        joint_regressor: H36M regressor.

    Raises:
        ShardError: if the sample has no ground truth.
    """
    if sample.vertices_camera is None:
        raise ShardError(f"sample {sample.key!r} has no ground truth; it cannot be evaluated")
    predicted = world_from_camera(predicted_camera, sample.camera_from_world)[None]
    true = world_from_camera(sample.vertices_camera, sample.camera_from_world)[None]
    distance = sample_distance(grid.sdf, grid.sdf_min, grid.sdf_max, predicted)
    values = {
        **mesh_errors(predicted, true, joint_regressor, H36M_TO_14),
        **scene_errors(distance, true_contact(sample)[None]),
    }
    numbers = {name: float(value[0]) for name, value in values.items()}
    return MetricRecord(key=sample.key, predictor=predictor, sequence=sequence, **numbers)


def true_contact(sample: Sample) -> Bool[Tensor, " 6890"]:
    """True contact labels; all False where they are unknown."""
    if sample.vertex_contact is None or not sample.has_contact:
        return torch.zeros(NUM_VERTICES, dtype=torch.bool)
    return sample.vertex_contact


def world_from_camera(
    points: Float[Tensor, "points 3"], camera_from_world: Float[Tensor, "4 4"]
) -> Float[Tensor, "points 3"]:
    """Undo a rigid camera transform; metres."""
    return (points - camera_from_world[:3, 3]) @ camera_from_world[:3, :3]


def summarise(records: Sequence[MetricRecord]) -> dict[str, dict[str, float]]:
    """Means per predictor, and by how many percent ``sahmr`` is better than ``baseline`` (if both are there)."""
    summary: dict[str, dict[str, float]] = {}
    for predictor in sorted({record.predictor for record in records}, reverse=True):
        rows = [record for record in records if record.predictor == predictor]
        means = {name: sum(float(getattr(row, name)) for row in rows) / len(rows) for name in METRIC_NAMES}
        summary[predictor] = {"frames": len(rows), **{name: round(value, 4) for name, value in means.items()}}
    if {"sahmr", "baseline"} <= summary.keys():
        summary["improvement_percent"] = {
            name: round(100 * (1 - summary["sahmr"][name] / summary["baseline"][name]), 2)
            for name in METRIC_NAMES
            if summary["baseline"][name] > 0
        }
    return summary


def table_lines(summary: dict[str, dict[str, float]]) -> list[str]:
    """The summary as aligned text, one metric a line."""
    lines = [f"{'':>22}" + "".join(f"{column:>21}" for column in summary)]
    for name in METRIC_NAMES:
        cells = [f"{values[name]:>21.3f}" if name in values else f"{'-':>21}" for values in summary.values()]
        lines.append(f"{name:>22}" + "".join(cells))
    return lines


def sequence_csv(records: Sequence[MetricRecord]) -> str:
    """Means per predictor and sequence as CSV, for ``dvc plots``."""
    lines = [",".join(("predictor", "sequence", "frames", *METRIC_NAMES))]
    groups: dict[tuple[str, str], list[MetricRecord]] = {}
    for record in records:
        groups.setdefault((record.predictor, record.sequence), []).append(record)
    for (predictor, sequence), rows in sorted(groups.items()):
        means = [sum(float(getattr(row, name)) for row in rows) / len(rows) for name in METRIC_NAMES]
        lines.append(",".join((predictor, sequence, str(len(rows)), *(f"{mean:.4f}" for mean in means))))
    return "\n".join(lines) + "\n"
