"""JPEG files whose decoder stops at the last row that is wanted."""

from __future__ import annotations

from dataclasses import dataclass

_START, _END = b"\xff\xd8", b"\xff\xd9"
_BASELINE, _EXTENDED = 0xC0, 0xC1  # frame headers of files with all rows of all colors in one scan
_OTHER_FRAMES = {*range(0xC2, 0xD0)} - {0xC4, 0xC8, 0xCC}  # progressive, lossless, arithmetic, ...
_START_OF_SCAN = 0xDA
_SPARE_ROWS = 16  # smooth chroma up-sampling looks at the rows below


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """A frame header: where its height stands, the height, the rows of a block of all colors, the colors."""

    at: int
    height: int
    step: int
    colors: int


def first_rows(data: bytes, rows: int) -> bytes:
    """The same file claiming to end soon after its first ``rows`` rows; those decode to what they always do.

    Most of decoding time is spent on entropy coding, row by row from the top. Files where the trick does not work
    (progressive ones, several scans, no end marker as after a cut, no JPEG at all) are given back as they are: they
    decode more slowly, to the same pixels or the same error.
    """
    frame = _frame(data) if data.startswith(_START) and data.endswith(_END) else None
    if frame is None:
        return data
    height = -(-(rows + _SPARE_ROWS) // frame.step) * frame.step
    if height >= frame.height:
        return data
    return data[: frame.at] + height.to_bytes(2, "big") + data[frame.at + 2 :]


def _frame(data: bytes) -> _Frame | None:
    """Walk the segments up to the first scan; None unless it is baseline or extended, and the only scan."""
    frame, at = None, 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        kind = data[at + 1]
        if kind == 0xFF:  # padding
            at += 1
            continue
        if kind == _START_OF_SCAN:
            return frame if frame is not None and data[at + 4] == frame.colors else None
        if kind in _OTHER_FRAMES:
            return None
        if kind in (_BASELINE, _EXTENDED):
            frame = _read_frame(data, at)
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _read_frame(data: bytes, at: int) -> _Frame | None:
    """FF C0, length, precision, height, width, number of colors, then per color: id, sampling (h, v), table."""
    height, colors = int.from_bytes(data[at + 5 : at + 7], "big"), data[at + 9]
    sampling = data[at + 11 : at + 10 + 3 * colors : 3]
    if height == 0 or len(sampling) != colors:
        return None
    return _Frame(at=at + 5, height=height, step=8 * max(byte & 15 for byte in sampling), colors=colors)
