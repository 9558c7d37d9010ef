"""Images: what is read, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sahmr.errors import RawDataError
from sahmr.readers.images import decode_region, image_size
from tests.worlds.raw_trees import image


def test_sixteen_bits_and_rotation_flags_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(RawDataError, match="8 bits per channel"):
        decode_region(tmp_path / "deep.png", (0, 0, 4, 4), 1)
    exif = Image.Exif()
    exif[0x0112] = 6
    with pytest.raises(RawDataError, match="EXIF says the image is rotated"):
        image_size(image(tmp_path / "turned.jpeg", exif=exif.tobytes()))
    with pytest.raises(RawDataError, match="no such file"):
        image_size(tmp_path / "none.png")


def test_gray_becomes_rgb(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 6), 9, np.uint8)).save(tmp_path / "gray.bmp")
    assert (decode_region(tmp_path / "gray.bmp", (0, 0, 6, 4), 1) == np.full((4, 6, 3), 9)).all()
    Image.fromarray(np.full((16, 16), 9, np.uint8)).save(tmp_path / "gray.jpeg")
    assert (decode_region(tmp_path / "gray.jpeg", (8, 0, 16, 12), 4) == np.full((3, 2, 3), 9)).all()
