"""RICH images at published size in every format, and quarter-size copies: which is used, and equal stored crops."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sahmr.errors import RawDataError
from sahmr.readers.base import Measured, Tally
from sahmr.readers.images import read_record_image
from sahmr.readers.rich import RichReader
from sahmr.readers.rich_listing import RichRules
from sahmr.shards.encode import Shards, plan_crop
from sahmr.shards.region import reduce
from schemas.frame import FrameRecord
from tests.worlds.raw_trees import RULES, SEQUENCE, SIZE, image, write_rich

QUARTER = (SIZE[0] // 4, SIZE[1] // 4)
SHARDS = Shards(samples_per_shard=1, max_side_px=320, margin=1.6, jpeg_quality=92)
# Mean and largest difference, in grey levels, of stored crops from the lossless file's. A quarter-size JPEG has more
# noise of its own per stored pixel; the largest are hard edges.
TOLERANCE = {"bmp": (0.0, 0), "png": (0.0, 0), "jpeg": (0.5, 8), "ds4": (1.0, 16)}


@pytest.fixture
def reader(tmp_path: Path, bodies: Path) -> RichReader:
    return RichReader(root=write_rich(tmp_path / "RICH"), bodies=bodies)


def add_quarter_size(reader: RichReader, size: tuple[int, int] = QUARTER) -> Path:
    """Copies of the train images in ``images_ds4``."""
    place = reader.root / "images_ds4/train"
    for path in sorted((reader.root / "images/train").rglob("*.jpeg")):
        image(place / path.relative_to(reader.root / "images/train"), size, quality=95)
    return place


def asked(kind: str) -> RichRules:
    return replace(RULES, images=kind)


def measured(reader: RichReader, kind: str = "auto") -> list[Measured]:
    return [reader.measure(task) for task in replace(reader, rules=asked(kind)).list_bodies().tasks]


def folders(reader: RichReader, kind: str) -> set[str]:
    return {record.image_file.split("/")[0] for result in measured(reader, kind) for record in result.records}


def test_quarter_size_images_give_the_same_frames(reader: RichReader) -> None:
    full = [record for result in measured(reader) for record in result.records]
    place = add_quarter_size(reader)
    results = measured(reader, "ds4")
    quarter = [record for result in results for record in result.records]
    same = {"image_file": "", "image_sha256": "", "image_divisor": 0}
    assert [replace(a, **same) for a in full] == [replace(b, **same) for b in quarter]
    assert {record.image_divisor for record in full} == {1}
    assert {record.image_divisor for record in quarter} == {4}
    assert quarter[0].image_file == f"{place.relative_to(reader.root)}/{SEQUENCE}/cam_00/00060_00.jpeg"
    assert [result.notes for result in results] == [(Tally(split="train", rule="quarter_size_image", count=1),)] * 2
    region = (8, 12, 60, 48)
    crops = [reader.read_image(record, region, 4).astype(float) for record in (full[0], quarter[0])]
    assert crops[0].shape == (9, 13, 3)
    assert np.abs(crops[0] - crops[1]).mean() < 3  # one hard edge in a 13-pixel picture


def test_which_images_are_used(reader: RichReader) -> None:
    """Full images where a sequence has them; the user may ask for either kind."""
    add_quarter_size(reader)
    assert [folders(reader, kind) for kind in ("auto", "full", "ds4")] == [{"images"}, {"images"}, {"images_ds4"}]
    (reader.root / f"images/train/{SEQUENCE}").rename(reader.root / "images/train/Elsewhere")
    assert folders(reader, "auto") == {"images_ds4"}
    assert replace(reader, rules=asked("full")).list_bodies().tasks == ()
    (reader.root / "images").rename(reader.root / "gone")
    assert reader.check() == []
    assert folders(reader, "auto") == {"images_ds4"}
    with pytest.raises(RawDataError, match=r"images/train .*missing; images of split 'train'.* is 'full'"):
        replace(reader, rules=asked("full")).list_bodies()
    (reader.root / "images_ds4").rename(reader.root / "gone too")
    (problem,) = reader.check()
    assert "images/train" in problem and "images_ds4/train" in problem and "train.txt" in problem


def test_sizes_in_the_wrong_folder_are_refused(reader: RichReader) -> None:
    add_quarter_size(reader, SIZE)
    with pytest.raises(RawDataError, match=r"image is 64x48, as 1/4 of 256x192, but .* \(32.0, 24.0\)"):
        measured(reader, "ds4")
    image(reader.root / f"images/train/{SEQUENCE}/cam_00/00060_00.jpeg", QUARTER)
    with pytest.raises(RawDataError, match=r"image is 16x12 but its calibration .*a quarter-size one in images_ds4"):
        measured(reader, "full")


def picture(width: int, height: int) -> np.ndarray:
    """Soft texture and hard shapes in muted colors, 8 bits."""
    rng = np.random.default_rng(width)
    noise = rng.integers(50, 206, (height // 32, width // 32, 1)) + rng.integers(-15, 15, 3)
    pixels = cv2.resize(noise.astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    for _ in range(60):
        center, color = (
            (int(rng.integers(width)), int(rng.integers(height))),
            rng.integers(30, 226) + rng.integers(-25, 25, 3),
        )
        cv2.circle(pixels, center, int(rng.integers(20, 200)), color.tolist(), -1, cv2.LINE_AA)
    return pixels


def write(pixels: np.ndarray, folder: Path) -> dict[str, Path]:
    """The picture in every format RICH has, and as a quarter-size copy made by averaging."""
    files = {kind: folder / f"a.{kind}" for kind in ("bmp", "png", "jpeg")} | {"ds4": folder / "b.jpeg"}
    full = Image.fromarray(pixels)
    full.save(files["bmp"])
    full.save(files["png"], compress_level=1)  # the slowest of them to write
    full.save(files["jpeg"], quality=95)
    full.reduce(4).save(files["ds4"], quality=95)
    return files


def row(path: Path, size: tuple[int, int], divisor: int) -> FrameRecord:
    width, height = size
    k = (3575.0, 0.0, width / 2 + 60, 0.0, 3575.0, height / 2 - 80, 0.0, 0.0, 1.0)
    box = (width * 0.41, height * 0.2, width * 0.52, height * 0.2 + 1190.0)
    return FrameRecord(
        key="k", dataset="rich", split="train", sequence="s", camera=0, frame=60, subject="005", gender="male",
        intrinsics=k, camera_from_world=tuple(np.eye(4).ravel()), image_width=width, image_height=height,
        person_box=box, scene_key="s", image_file=path.name, image_sha256="", image_divisor=divisor, mirrored=False,
        body_file="", body_sha256="", contact_file=None, contact_sha256=None,
    )  # fmt: skip


def stored(folder: Path, record: FrameRecord) -> np.ndarray:
    """The crop a shard gets, before its own JPEG."""
    plan = plan_crop(record, SHARDS)
    assert plan.divisor == 4
    return reduce(read_record_image(folder, record, plan.region, plan.divisor), SHARDS.max_side_px).astype(float)


@pytest.mark.parametrize("size", [(4112, 3008), (3008, 4112)], ids=["landscape", "portrait"])
def test_every_format_gives_the_same_stored_crop(tmp_path: Path, size: tuple[int, int]) -> None:
    pixels = picture(*size)
    files = write(pixels, tmp_path)
    records = {kind: row(path, size, 4 if kind == "ds4" else 1) for kind, path in files.items()}
    crops = {kind: stored(tmp_path, record) for kind, record in records.items()}
    assert max(crops["bmp"].shape) == 320
    for kind, crop in crops.items():
        off = np.abs(crop - crops["bmp"])
        mean, largest = TOLERANCE[kind]
        assert off.mean() <= mean and off.max() <= largest, (kind, off.mean(), off.max())
    left, top, right, bottom = plan_crop(records["bmp"], SHARDS).region
    direct = cv2.resize(pixels[top:bottom, left:right], crops["bmp"].shape[1::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(crops["bmp"] - direct).mean() < 1  # in two steps or in one


def test_a_turned_image_is_refused(tmp_path: Path) -> None:
    landscape = row(tmp_path / "a.bmp", (4112, 3008), 1)
    Image.new("RGB", (3008, 4112)).save(tmp_path / "a.bmp")
    with pytest.raises(RawDataError, match="image is 3008x4112, frame 'k' was recorded with 4112x3008"):
        read_record_image(tmp_path, landscape, (0, 0, 4112, 3008), 4)
    both = io.BytesIO()
    Image.new("RGB", (752, 1028)).save(both, "JPEG")
    (tmp_path / "a.bmp").write_bytes(both.getvalue())
    turned = replace(landscape, image_width=3008, image_height=4112, image_divisor=4)
    with pytest.raises(RawDataError, match=r"as 1/4 of 3008x4112, but .*principal point \(2116.0, 1424.0\)"):
        read_record_image(tmp_path, turned, (0, 0, 3008, 4112), 4)
