"""Buffers that sparse convolutions keep between calls."""

from __future__ import annotations

import threading

import torch
from torch import Tensor


class _Scratch(threading.local):
    """Buffers kept between calls.

    Fresh memory of this size would be returned to the system after every block: on the CPU the page faults of
    getting it back cost as much as the products themselves. On CUDA torch's own allocator keeps it.
    """

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def rows(self, name: str, count: int, width: int, like: Tensor) -> Tensor:
        """Give an uninitialised [count, width] tensor; the next call with the same name may overwrite it."""
        if like.device.type != "cpu":
            return like.new_empty(count, width)
        buffer = self._buffers.get((name, like.dtype))
        if buffer is None or len(buffer) < count * width:
            with torch.inference_mode(False):  # a buffer made in inference mode could not serve a training later
                buffer = self._buffers[name, like.dtype] = like.new_empty(count * width)
        return buffer[: count * width].view(count, width)


scratch = _Scratch()
