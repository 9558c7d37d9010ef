"""Bits per channel, pictures and kind of an image by its header: decoders convert in silence what is not 8 bits."""

from __future__ import annotations

from sahmr.errors import RawDataError

HEAD_BYTES = 1 << 16  # enough for every header but those of JPEG files with long EXIF; those are followed further
_PNG, _JPEG, _BMP = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"BM"
_COLOR_TYPES = {0: "grey", 2: "color", 3: "palette", 4: "grey with alpha", 6: "color with alpha"}
# Formats that cameras, scanners and converters write, and this pipeline does not read.
_OTHERS = {
    b"GIF8": "GIF", b"II*\0": "TIFF", b"MM\0*": "TIFF", b"II+\0": "TIFF", b"P5": "PGM", b"P6": "PPM", b"P3": "PPM",
    b"\0\0\0\x0cjP": "JPEG 2000", b"\xff\x0a": "JPEG XL", b"v/1\x01": "OpenEXR", b"8BPS": "Photoshop",
}  # fmt: skip
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG's frame headers
_CONVERT = "convert it to 8 bits per channel, by the full range it was recorded with (12-bit values / 16)"


def other_format(head: bytes) -> str:
    """``": it is a TIFF, convert it"`` for a sound file of a format that is not read, else ""."""
    kind = next((name for magic, name in _OTHERS.items() if head.startswith(magic)), None)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        kind = "WebP"
    elif head[4:8] == b"ftyp":
        kind = "HEIF or AVIF"
    return "" if kind is None else f": it is a {kind}; convert it"


def check_bits(name: str, content: bytes) -> None:
    """Insist on 8 bits per channel and one picture per file.

    Args:
        name: of the file, for messages.
        content: its beginning, or all of it.

    Raises:
        RawDataError: saying how many bits the header states. Damaged headers are left to the decoder.
    """
    if content.startswith(_PNG):
        _check_png(name, content)
    elif content.startswith(_JPEG):
        _check_jpeg(name, content)
    elif content.startswith(_BMP):
        _check_bmp(name, content)


def _refuse(name: str, found: str) -> None:
    raise RawDataError(f"{name}: {found}; allowed: 8 bits per channel; {_CONVERT}")


def _check_png(name: str, content: bytes) -> None:
    """IHDR: bits per sample and color type; tRNS: transparency; acTL: an animation."""
    if content[12:16] != b"IHDR" or len(content) < 26:
        return
    bits, kind = content[24], _COLOR_TYPES.get(content[25], "unknown")
    if bits != 8:
        _refuse(name, f"the PNG header states {bits} bits per channel ({kind})")
    at = 8
    while at + 8 <= len(content):
        length, chunk = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        if chunk == b"tRNS":
            raise RawDataError(f"{name}: the PNG has transparent pixels (tRNS); allowed: none; store it without alpha")
        if chunk == b"acTL":
            raise RawDataError(f"{name}: the PNG is an animation; allowed: one picture per file")
        if chunk == b"IDAT":
            return
        at += 12 + length


def _check_jpeg(name: str, content: bytes) -> None:
    """Frame header: bits per sample."""
    at = 2
    while at + 10 <= len(content) and content[at] == 0xFF:
        kind = content[at + 1]
        if kind == 0xFF:  # padding
            at += 1
            continue
        if kind in _FRAMES:
            if content[at + 4] != 8:
                _refuse(name, f"the JPEG header states {content[at + 4]} bits per channel")
            return
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")


def _check_bmp(name: str, content: bytes) -> None:
    """Bits per pixel; with bit fields, bits per channel."""
    if len(content) < 54:
        return
    bits = int.from_bytes(content[28:30], "little")
    compression = int.from_bytes(content[30:34], "little")
    if bits not in (8, 24, 32):
        _refuse(name, f"the BMP header states {bits} bits per pixel")
    if bits == 32 and compression in (3, 6):
        masks = [int.from_bytes(content[at : at + 4], "little") for at in (54, 58, 62)]
        if any(mask.bit_count() != 8 for mask in masks):
            _refuse(name, f"the BMP header states {[mask.bit_count() for mask in masks]} bits per channel")
