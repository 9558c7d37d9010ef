"""Reading a part of an image, reduced: what the fast way gives against decoding everything."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sahmr.errors import RawDataError
from sahmr.readers.images import decode_region
from sahmr.readers.jpeg import first_rows
from tests.worlds.raw_trees import put

WIDTH, HEIGHT = 208, 160
REGION = (40, 24, 168, 96)
SAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


def picture(seed: int = 3, scale: int = 16) -> np.ndarray:
    """Soft muted colors and a rectangle."""
    rng = np.random.default_rng(seed)
    shape = (HEIGHT // scale, WIDTH // scale)
    noise = rng.integers(60, 196, (*shape, 1)) + rng.integers(-20, 20, (*shape, 3))
    pixels = cv2.resize(noise.astype(np.uint8), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    pixels[60:90, 70:150] = (190, 130, 110)
    return pixels


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", **{"quality": 95, **options})
    return stream.getvalue()


def decode(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def mean_squares(pixels: np.ndarray, divisor: int) -> np.ndarray:
    rows, columns = pixels.shape[0] // divisor, pixels.shape[1] // divisor
    return pixels.reshape(rows, divisor, columns, divisor, 3).mean((1, 3))


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("divisor", [1, 2, 4])
def test_a_region_is_what_full_decoding_and_averaging_give(tmp_path: Path, sampling: str, divisor: int) -> None:
    data = jpeg(picture(), subsampling=SAMPLINGS[sampling])
    left, top, right, bottom = REGION
    expected = mean_squares(decode(data)[top:bottom, left:right].astype(float), divisor)
    found = decode_region(put(tmp_path / "a.jpeg", data), REGION, divisor)
    off = np.abs(found - expected)
    mean, largest = (0, 0) if divisor == 1 else (0.6, 3) if sampling == "4:4:4" else (1.0, 30)
    assert off.mean() <= mean and off.max() <= largest, (off.mean(), off.max())
    for name, options in (("a.png", {}), ("a.bmp", {})):
        Image.fromarray(decode(data)).save(tmp_path / name, **options)
        exact = decode_region(tmp_path / name, REGION, divisor)
        assert np.abs(exact - expected).max() <= 0.5


@pytest.mark.parametrize(
    "options", [{"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}, {"restart_marker_rows": 1}]
)
def test_first_rows_decode_as_in_the_whole_file(options: dict[str, int]) -> None:
    data = jpeg(picture(), **options)
    whole = decode(data)
    for rows in (8, 61, 96, 120):
        cut = first_rows(data, rows)
        part = decode(cut)
        assert len(cut) == len(data) and rows < len(part) < HEIGHT
        np.testing.assert_array_equal(part[:rows], whole[:rows])
    assert first_rows(data, 150) is data  # too little to gain


def test_gray_files_are_shortened_too() -> None:
    data = jpeg(picture()[..., 0])
    np.testing.assert_array_equal(decode(first_rows(data, 50))[:50], decode(data)[:50])
    assert len(decode(first_rows(data, 50))) == 72


def test_files_that_cannot_be_shortened_come_back_as_they_are() -> None:
    data = jpeg(picture())
    odd = {
        "progressive": jpeg(picture(), progressive=True),
        "cut": data[:-3],
        "bitmap that ends like a JPEG": b"BM" + data[2:],
        "header only": data[:200] + b"\xff\xd9",
        "nothing": b"\xff\xd8\xff\xd9",
        "height told later": data.replace((HEIGHT).to_bytes(2, "big") + (WIDTH).to_bytes(2, "big"), b"\0\0\0\xd0", 1),
    }
    for name, content in odd.items():
        assert first_rows(content, 16) is content, name


@pytest.mark.parametrize("divisor", [1, 4])
def test_a_cut_below_the_region_is_told(tmp_path: Path, divisor: int) -> None:
    data = jpeg(picture(scale=2))
    for keep in (0.5, 0.97):
        path = put(tmp_path / "a.jpeg", data[: int(len(data) * keep)])
        with pytest.raises(RawDataError, match="damaged image"):
            decode_region(path, (40, 0, 168, 24), divisor)


SCRIPT = """
import sys, hashlib
from pathlib import Path
from sahmr.readers.images import decode_region
folder = Path(sys.argv[1])
pixels = [decode_region(path, (40, 24, 168, 96), n).tobytes() for path in sorted(folder.iterdir()) for n in (1, 2, 4)]
print(hashlib.sha256(b"".join(pixels)).hexdigest())
"""


def test_pixels_do_not_depend_on_the_processor(tmp_path: Path) -> None:
    """libjpeg without its vector instructions, in a process of its own."""
    for name, sampling in SAMPLINGS.items():
        put(tmp_path / f"{name.replace(':', '')}.jpeg", jpeg(picture(), subsampling=sampling))
    paths = sorted(tmp_path.iterdir())
    here = hashlib.sha256(b"".join(decode_region(path, REGION, n).tobytes() for path in paths for n in (1, 2, 4)))
    environment = {**os.environ, "JSIMD_FORCENONE": "1"}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == here.hexdigest()
