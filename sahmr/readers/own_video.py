"""The door to videos: size from the header, and single frames, read forward."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from sahmr.errors import RawDataError
from sahmr.untrusted.regular import open_regular

_MOST_BYTES = 1 << 38  # a day of 4K
_JUMP = 1.5  # periods between two frames: more, and one in between did not decode
_REMEDY = "write its frames as images: ffmpeg -i VIDEO -start_number 0 FOLDER/%06d.png"


@dataclass(slots=True)
class _Opened:
    """A video being read forward: the frame before the next one, and its time in seconds."""

    capture: cv2.VideoCapture
    period: float
    at: int = -1
    time: float = 0.0


def video_size(path: Path) -> tuple[int, int]:
    """(width, height) of a video's frames.

    Raises:
        RawDataError: if it is missing, no video, or flagged as turned.
    """
    capture = _open(path).capture
    size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    capture.release()
    return size


def read_video_frame(path: Path, number: int) -> UInt8[ndarray, "rows columns 3"]:
    """RGB of a frame; the first has the number 0.

    Frames are counted by decoding them, as what a container says of places is often wrong; a process keeps the last
    video open, so that frames asked for in rising order are decoded once.

    Raises:
        RawDataError: as :func:`video_size`; if the video ends before, or a frame on the way does not decode, so that
            nobody knows which number the later ones have.
    """
    state = path.stat() if path.is_file() else None
    return _frame(path, state.st_mtime_ns if state else 0, number)


_kept: dict[tuple[Path, int], _Opened] = {}  # one at most


@lru_cache(maxsize=1)  # people in one frame follow each other
def _frame(path: Path, changed: int, number: int) -> UInt8[ndarray, "rows columns 3"]:
    opened = _kept.pop((path, changed), None)
    for other in _kept.values():
        other.capture.release()
    _kept.clear()
    if opened is None or opened.at >= number:
        opened = _open(path)
    while opened.at < number:
        _advance(path, opened)
    found, pixels = opened.capture.retrieve()
    if not found or pixels is None or pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise RawDataError(f"{path}: frame {number} does not decode; {_REMEDY}")
    _kept[path, changed] = opened
    return np.ascontiguousarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _advance(path: Path, opened: _Opened) -> None:
    if not opened.capture.grab():
        raise RawDataError(
            f"{path}: frame {opened.at + 1} does not decode, or the video ends before it (frames count from 0); "
            f"correct the boxes, or {_REMEDY}"
        )
    time = opened.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    jump = (time - opened.time) / opened.period if opened.at >= 0 else 0.0
    if jump > _JUMP:
        raise RawDataError(
            f"{path}: after frame {opened.at} {jump:.1f} frame times pass: a frame there does not decode, or was never "
            f"recorded, and later ones have no sure number; {_REMEDY}"
        )
    opened.at, opened.time = opened.at + 1, time


def _open(path: Path) -> _Opened:
    with open_regular(path, most_bytes=_MOST_BYTES):
        pass  # a regular file that may be read
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    rate = capture.get(cv2.CAP_PROP_FPS) if capture.isOpened() else 0.0
    if not rate > 0:
        raise RawDataError(f"{path}: not a readable video; {_REMEDY}")
    if turned := int(capture.get(cv2.CAP_PROP_ORIENTATION_META)) % 360:
        raise RawDataError(f"{path}: the video is flagged as turned by {turned} degrees; store it upright; {_REMEDY}")
    return _Opened(capture=capture, period=1 / rate)
