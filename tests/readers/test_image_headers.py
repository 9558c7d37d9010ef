"""What is not one picture with 8 bits per channel is refused by its header, whatever a decoder makes of it."""

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sahmr.errors import RawDataError
from sahmr.readers.images import decode_region, image_size

RGB = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)


def png(bits: int, kind: int, *, extra: bytes = b"") -> bytes:
    """A sound PNG of 64 x 48 pixels of any depth and color type."""
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    rows = b"".join(b"\0" + bytes(64 * channels * bits // 8) for _ in range(48))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 48, bits, kind, 0, 0, 0))
    rest = (chunk(extra[:4], extra[4:]) if extra else b"") + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + rest


def saved(kind: str, mode: str = "RGB", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(RGB).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def deep_jpeg() -> bytes:
    content = bytearray(saved("JPEG"))
    content[content.index(b"\xff\xc0") + 4] = 12
    return bytes(content)


def bmp_of_16_bits() -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, 64, 48, 1, 16, 0, 64 * 48 * 2, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + 64 * 48 * 2, 0, 0, 54) + head + bytes(64 * 48 * 2)


def bmp_of_10_bits() -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, 64, 48, 1, 32, 3, 64 * 48 * 4, 0, 0, 0, 0)
    masks = struct.pack("<III", 0x3FF << 20, 0x3FF << 10, 0x3FF)
    return b"BM" + struct.pack("<IHHI", 66 + 64 * 48 * 4, 0, 0, 66) + head + masks + bytes(64 * 48 * 4)


TWO = {"save_all": True, "append_images": [Image.fromarray(RGB[::-1].copy())]}
REFUSED = {
    "png of 16 bits, color": (png(16, 2), "PNG header states 16 bits per channel (color); allowed: 8 bits"),
    "png of 16 bits, grey": (png(16, 0), "states 16 bits per channel (grey)"),
    "png of 16 bits, alpha": (png(16, 6), "states 16 bits per channel (color with alpha)"),
    "png of 1 bit": (png(1, 0), "states 1 bits per channel"),
    "png of 2 bits": (png(2, 0), "states 2 bits per channel"),
    "png of 4 bits": (png(4, 0), "states 4 bits per channel"),
    "png with alpha": (png(8, 6), "image mode is RGBA"),
    "grey png with alpha": (png(8, 4), "image mode is LA"),
    "png with a transparent color": (png(8, 2, extra=b"tRNS" + bytes(6)), "has transparent pixels (tRNS)"),
    "animated png": (saved("PNG", **TWO), "the PNG is an animation"),
    "jpeg of 12 bits": (deep_jpeg(), "the JPEG header states 12 bits per channel; allowed: 8"),
    "two jpegs in one": (saved("MPO", **TWO), "holds 2 pictures (MPO); allowed: one per file"),
    "bmp of 16 bits": (bmp_of_16_bits(), "the BMP header states 16 bits per pixel"),
    "bmp of 10 bits": (bmp_of_10_bits(), "the BMP header states [10, 10, 10] bits per channel"),
    "bmp of 1 bit": (saved("BMP", "1"), "the BMP header states 1 bits per pixel"),
    "tiff": (saved("TIFF"), "not a readable image (JPEG, PNG, BMP): it is a TIFF; convert it"),
    "ppm": (saved("PPM"), "it is a PPM; convert it"),
    "webp": (saved("WEBP"), "it is a WebP; convert it"),
    "gif": (saved("GIF", "P"), "it is a GIF; convert it"),
}
TAKEN = {
    "jpeg": saved("JPEG"),
    "progressive jpeg": saved("JPEG", progressive=True),
    "grey jpeg": saved("JPEG", "L"),
    "png": saved("PNG"),
    "grey png": saved("PNG", "L"),
    "bmp": saved("BMP"),
    "grey bmp": saved("BMP", "L"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_images_are_refused_by_both_doors(name: str, tmp_path: Path) -> None:
    content, says = REFUSED[name]
    path = tmp_path / "image.png"
    path.write_bytes(content)
    for read in (image_size, lambda path: decode_region(path, (0, 0, 32, 16), 1)):
        with pytest.raises(RawDataError, match=rf"image\.png: .*{re.escape(says)}"):
            read(path)


@pytest.mark.parametrize("name", TAKEN)
def test_images_of_8_bits_are_taken(name: str, tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(TAKEN[name])
    assert image_size(path) == (64, 48)
    assert decode_region(path, (0, 0, 32, 16), 1).shape == (16, 32, 3)
