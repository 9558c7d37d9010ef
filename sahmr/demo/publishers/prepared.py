"""Writes what the authors of SA-HMR prepared of RICH and PROX, derived from the demo's raw trees as theirs from RICH's.

Their indexes hold absolute paths of the machine that made them, and so do these.
"""

import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sahmr.body.model import BodyModel, clean_path, load_clean
from sahmr.demo.publishers import containers as files
from sahmr.readers.base import Reader
from sahmr.readers.fits import read_params
from sahmr.readers.prox import ProxReader, ProxRules
from sahmr.readers.rich import RichReader
from sahmr.readers.rich_listing import RichRules
from sahmr.scenes.agreement import distance_at
from sahmr.scenes.scan import read_scan
from sahmr.scenes.signed_distance import signed_distance_grid
from sahmr.scenes.voxels import occupied_voxels
from sahmr.shards.crop import crop_box, crop_from_image, warp
from schemas.frame import FrameRecord

Array = NDArray[np.float64]
Triangles = NDArray[np.float64]

FOREIGN = "/home/author/code/SA-HMR/datasets"  # a machine that is not this one
_QUARTER_WIDTH = 752  # pixels; pictures whose quarter is smaller are cropped whole, or nobody would be seen in them
_MARGIN_M = 0.5
_NAMES = ("betas", "global_orient", "transl", "body_pose")
_HANDS = ("left_hand_pose", "right_hand_pose")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Where the raw trees and the body models of the stage ``bodies`` lie, where the folders go, and how fine scenes
    are: the voxels' side, metres, and the distance fields' samples along each axis.
    """

    rich: Path
    prox: Path
    bodies: Path
    output: Path
    voxel_pitch_m: float
    field_side: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCounts:
    """How many frames of each kind were written."""

    rich: int
    prox: int


def write_prepared(job: Preparation) -> PreparedCounts:
    """Write ``RICH`` and ``PROX`` below ``job.output``, which must be empty."""
    return PreparedCounts(rich=_write_rich(job), prox=_write_prox(job))


def _write_rich(job: Preparation) -> int:
    reader = RichReader(root=job.rich, bodies=job.bodies, rules=RichRules())
    root, support = job.output / "RICH", job.output / "RICH" / "sahmr_support"
    records = sorted(reader.frames(), key=lambda record: record.key)
    tracks = {(track.sequence, track.subject): track for track in reader.tracks()}
    for scene in reader.scenes():
        capture, _, scan = scene.scene_key.partition("_")
        stem = support / "scene_info" / capture / scan
        triangles = read_scan(job.rich / scene.scan_file)
        _write_voxels(stem.with_name(f"{scan}_voxel_world.npy"), triangles, job.voxel_pitch_m)
        _write_field(stem.with_name(f"{scan}_mysdf"), triangles, job.field_side)
        for xml in sorted((job.rich / "scan_calibration" / capture / "calibration").glob("*.xml")):
            files.put(support / "scene_info" / capture / "calibration" / xml.name, xml.read_bytes())
    for split in ("train", "val", "test"):
        ours = [record for record in records if record.split == split]
        metas = [_meta(record, tracks[record.sequence, int(record.subject)].scan) for record in ours]
        if split == "test":
            _write_test(reader, support / "test_split", ours, metas)
        else:
            _write_train(reader, root, support / f"{split}_split", ours, metas)
    return len(records)


def _meta(record: FrameRecord, scan: str) -> dict[str, Any]:
    """What ``idx2meta`` says of a frame."""
    capture = record.sequence.split("_")[0]
    leaf = f"{record.sequence}/{record.frame:05d}/{record.subject}"
    image = f"{record.sequence}/cam_{record.camera:02d}/{record.frame:05d}_{record.camera:02d}.jpeg"
    folder = "sahmr_support/test_contact" if record.split == "test" else f"sahmr_support/{record.split}_split/contact"
    return {
        "seq_name": record.sequence,
        "cap_name": capture,
        "scan_name": scan,
        "scene_key": record.scene_key,
        "cam_id": record.camera,
        "cam_key": f"{capture}_{record.camera}",
        "frame_name": f"{record.frame:05d}",
        "gender": record.gender,
        "img_key": record.key,
        "img_file": f"{FOREIGN}/RICH/images_ds4/{record.split}/{image}",
        "body_file": f"{FOREIGN}/RICH/bodies/{record.split}/{leaf}.pkl",
        "contact_file": None if record.contact_file is None else f"{FOREIGN}/RICH/{folder}/{leaf}.npy",
    }


def _write_test(reader: RichReader, place: Path, records: Sequence[FrameRecord], metas: list[dict[str, Any]]) -> None:
    """Ready-made crops, meshes and labels of the test split."""
    for record, meta in zip(records, metas, strict=True):
        square = crop_box(np.array(record.person_box)).astype(np.float32)
        meta["test_squared_bbx_lurb"] = square
        files.put(place / "image" / f"{record.key}.png", files.png(_crop(reader, record, square.astype(np.float64))))
        files.put(
            place / "gt_smplx_mesh" / f"{record.key}.ply",
            (reader.root / str(record.body_file)).with_suffix(".ply").read_bytes(),
        )
        _write_contact(reader, place, record, meta)
    table = np.empty(len(metas), dtype=object)
    table[:] = metas
    _save(place / "meta" / "test3116.npy", table)


def _picture(reader: Reader, record: FrameRecord) -> NDArray[np.uint8]:
    return reader.read_image(record, (0, 0, record.image_width, record.image_height), 1)


def _quarter(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A quarter of the size, averaged; what does not fill a square at the right or below is cut off."""
    height, width = (side // 4 * 4 for side in picture.shape[:2])
    return np.asarray(Image.fromarray(np.ascontiguousarray(picture[:height, :width])).reduce(4))


def _crop(reader: Reader, record: FrameRecord, square: Array) -> NDArray[np.uint8]:
    """As the authors crop: of the quarter-size image with a quarter of the box (method 3)."""
    picture = _picture(reader, record)
    if record.image_width // 4 < _QUARTER_WIDTH:
        return warp(picture, crop_from_image(square))
    return warp(_quarter(picture), crop_from_image(square / 4))


def _write_contact(reader: RichReader, place: Path, record: FrameRecord, meta: dict[str, Any]) -> None:
    labels = reader.load_contact(record)
    if labels is not None:
        _save(place / "contact" / "/".join(meta["contact_file"].split("/")[-3:]), np.packbits(labels))


def _write_train(
    reader: RichReader, root: Path, place: Path, records: Sequence[FrameRecord], metas: list[dict[str, Any]]
) -> None:
    """Indexes and labels of a split, and beside the prepared folder what a user makes or fetches: images and bodies."""
    for record, meta in zip(records, metas, strict=True):
        image = "/".join(meta["img_file"].split("/")[-3:])
        files.put(root / "images_ds4" / record.split / image, files.jpeg(_quarter(_picture(reader, record)), 95))
        body = root / "bodies" / record.split / "/".join(meta["body_file"].split("/")[-3:])
        if not body.is_file():
            files.put(body, files.pickle3(_smplh_values(reader, record)))
        _write_contact(reader, place, record, meta)
    boxes = {record.key: np.array(record.person_box, dtype=np.float32) for record in records}
    _put_pickle(place / "meta" / "idx2meta.pkl", dict(enumerate(metas)))
    _put_pickle(place / "meta" / "img2gtbbx.pkl", boxes)


@lru_cache(maxsize=3)
def _model(path: Path) -> BodyModel:
    return load_clean(path)


def _smplh_values(reader: RichReader, record: FrameRecord) -> dict[str, NDArray[np.float32]]:
    """The same body by SMPL-H, 1-D: the demo's models share shapes and joints, only the hands are written otherwise."""
    raw = reader.root / str(record.body_file)
    _, params = read_params(raw.with_suffix(".pkl"))
    model = _model(clean_path(reader.bodies, "smplx", record.gender))
    assert model.hand_components is not None and model.hand_means is not None
    values = {name: getattr(params, name) for name in _NAMES}
    for name, components, mean in zip(_HANDS, model.hand_components, model.hand_means, strict=True):
        coefficients = getattr(params, name)
        values[name] = np.einsum("i,ij->j", coefficients, components[: len(coefficients)]) + mean
    return {name: value.astype(np.float32) for name, value in values.items()}


def _write_prox(job: Preparation) -> int:
    reader = ProxReader(root=job.prox, bodies=job.bodies, rules=ProxRules(parts=("quantitative",)))
    place, raw = job.output / "PROX" / "quantitative" / "sahmr_support", job.prox / "quantitative"
    records = sorted(reader.frames(), key=lambda record: record.key)
    metas, boxes = [], {}
    for record in records:
        _, _, image = record.image_file.partition("recordings/")
        _, _, body = str(record.body_file).partition("mosh/")
        key = f"{record.sequence}_{Path(image).stem}"
        files.put(place / "image" / image, (job.prox / record.image_file).read_bytes())
        files.put(place / "gt_mosh_mesh" / body, (job.prox / str(record.body_file)).read_bytes())
        boxes[key] = np.array(record.person_box, dtype=np.float32)
        metas.append({
            "img_key": key,
            "img_file": f"{FOREIGN}/PROX/quantitative/recordings/{image}",
            "body_file": f"{FOREIGN}/PROX/quantitative/fittings/mosh/{body}",
            "scene_name": record.scene_key,
        })  # fmt: skip
    _put_pickle(place / "meta" / "mosh_mesh_test.pkl", metas)
    _put_pickle(place / "img2gtbbx" / "mosh_mesh.pkl", boxes)
    for scene in reader.scenes():
        key = scene.scene_key
        below = place / key
        files.put(below / "calibration" / "Color.json", (raw / "calibration" / "Color.json").read_bytes())
        files.put(below / "calibration" / f"cam2world_{key}.json", (raw / "cam2world" / f"{key}.json").read_bytes())
        files.put(below / f"{key}_sdf.npy", (job.prox / str(scene.sdf_file)).read_bytes())
        files.put(below / f"{key}.json", (job.prox / str(scene.sdf_info_file)).read_bytes())
        _write_voxels(below / f"{key}_voxel_world.npy", read_scan(job.prox / scene.scan_file), job.voxel_pitch_m)
    return len(records)


def _write_voxels(path: Path, triangles: Triangles, pitch_m: float) -> None:
    """Centres at whole multiples of the pitch, as ``trimesh`` voxelises: half a voxel beside ours."""
    points = occupied_voxels(triangles + pitch_m / 2, pitch_m).astype(np.float64) - pitch_m / 2
    content = np.empty((), dtype=object)
    content[()] = {"points": points, "pitch": np.full(3, pitch_m)}
    _save(path, content)


def _write_field(stem: Path, triangles: Triangles, side: int) -> None:
    """A cube of ``side`` samples along each axis, flat, [x][y][z]."""
    spacing = float(np.ptp(triangles.reshape(-1, 3), axis=0).max() + 2 * _MARGIN_M) / (side - 1)
    grid = signed_distance_grid(triangles, spacing_m=spacing, margin_m=_MARGIN_M)
    axes = [np.linspace(grid.lower[axis], grid.upper[axis], side) for axis in range(3)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    info = {"min": grid.lower.tolist(), "max": grid.upper.tolist(), "dim": side}
    files.put(stem.with_name(f"{stem.name}.json"), files.dump_json(info))
    _save(stem.with_name(f"{stem.name}.npy"), distance_at(grid, places).astype(np.float32))


def _save(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, allow_pickle=array.dtype.hasobject)


def _put_pickle(path: Path, content: Iterable[Any]) -> None:
    files.put(path, pickle.dumps(content, protocol=2))
