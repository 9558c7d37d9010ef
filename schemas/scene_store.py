"""A Zarr store of scenes: attributes of its root and of each scene's group, and the two arrays of a scene."""

from __future__ import annotations

import pyarrow as pa

from schemas.fields import absent, column, schema, vector

_VERSION = "1.3"  # 1.1: arrays say what their axes are called and their unit; 1.2: is_on_grid; 1.3: clouds, without sdf


def _unless_cloud(name: str, kind: pa.DataType, *, unit: str = "", frame: str = "", note: str = "") -> pa.Field:
    """An attribute of the distance field; absent of scans without faces, which have none."""
    return absent(column(name, kind, unit=unit, frame=frame, note=note))


def _only_computed(name: str, kind: pa.DataType, *, unit: str = "", note: str = "") -> pa.Field:
    """An attribute of fields computed from the scan; absent where the publisher ships the field."""
    return absent(column(name, kind, unit=unit, note=note))


def _grid(depth: int, kind: pa.DataType) -> pa.DataType:
    """Lists in lists, of any length."""
    return pa.list_(pa.field("element", _grid(depth - 1, kind), nullable=False)) if depth else kind


STORE_SCHEMA = schema(
    "scene_store",
    (
        column("dataset", pa.string(), note="name of its card"),
        column("left_out", pa.list_(pa.string()), note="keys of scenes whose scans are damaged"),
        column("licence", pa.string(), note="what binds this store"),
        column("store_version", pa.string()),
    ),
    version=_VERSION,
    stage="scenes",
)

SCENE_GROUP_SCHEMA = schema(
    "scene_group",
    (
        column("dataset", pa.string(), note="name of its card"),
        column("frame", pa.string(), note="of all positions: world"),
        absent(column("is_cloud", pa.bool_(), note="true: scanned as points without faces, no sdf; absent: false")),
        absent(
            column("is_on_grid", pa.bool_(), note="false: points as shipped, no centres of our voxels; absent: true")
        ),
        column("licence", pa.string(), note="what binds this scene"),
        column("points", pa.string(), note="what the array of this name holds"),
        column("scan_sha256", pa.string(), note="of the raw scan"),
        column("scene_key", pa.string()),
        _only_computed("sdf_crowded_edges", pa.int64(), note="edges of the scan with more than two faces"),
        _only_computed("sdf_exact_within_m", pa.float64(), unit="m", note="of the surface: distances are exact"),
        _only_computed("sdf_flat_faces", pa.int64(), note="faces of the scan without an area"),
        _only_computed("sdf_flipped_edges", pa.int64(), note="edges whose two faces disagree about their front"),
        _unless_cloud("sdf_max", vector(3), unit="m", frame="world", note="centre of the last sample"),
        _only_computed("sdf_method", pa.string()),
        _unless_cloud("sdf_min", vector(3), unit="m", frame="world", note="centre of the first sample"),
        _only_computed("sdf_open_edges", pa.int64(), note="edges of the scan with one face"),
        _unless_cloud("sdf_order", pa.string(), note="of the axes and the ends"),
        _unless_cloud("sdf_sign", pa.string(), note="which side is negative"),
        _unless_cloud("sdf_source", pa.string(), note="computed from the scan | shipped by the publisher"),
        _unless_cloud("sdf_spacing_m", vector(3), unit="m", frame="world", note="step of the grid"),
        column("store_version", pa.string()),
        column("unit", pa.string(), note="of all positions and distances: m"),
        column("voxel_pitch_m", pa.float64(), unit="m", note="side of a voxel"),
    ),
    version=_VERSION,
    stage="scenes",
)

SCENE_ARRAYS_SCHEMA = schema(
    "scene_arrays",
    (
        column("points", _grid(1, vector(3, pa.float32())), unit="m", frame="world",
               note="centres of occupied voxels, axes (point, axis); Morton order"),
        column("sdf", _grid(3, pa.float32()), unit="m", frame="world",
               note="signed distance, axes (x, y, z); negative inside or behind the surface"),
    ),
    version=_VERSION,
    stage="scenes",
)  # fmt: skip
