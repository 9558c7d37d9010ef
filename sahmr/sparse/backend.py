"""What a sparse-convolution backend must offer, and how one is chosen."""

from __future__ import annotations

import importlib.util
import logging
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from sahmr.sparse.kernel_map import KernelMap

log = logging.getLogger(__name__)


@runtime_checkable
class Backend(Protocol):
    """A differentiable ``out[o] += in[i] @ kernel[k]`` over all pairs (i, o) of every tap k of a kernel map."""

    name: str

    def convolve(
        self,
        features: Float[Tensor, "inputs in_channels"],
        kernel: Float[Tensor, "taps in_channels out_channels"],
        kernel_map: KernelMap,
    ) -> Float[Tensor, "outputs out_channels"]:
        """Rows without any pair are zero."""
        ...


def resolve_backend(name: str = "auto") -> Backend:
    """Give the backend called ``native``, ``torchsparse`` or, for ``auto``, the best one that can run here.

    Raises:
        ValueError: for any other name.
        ImportError: if ``torchsparse`` is named but not installed.
    """
    if name == "auto":
        name = "torchsparse" if torch.cuda.is_available() and importlib.util.find_spec("torchsparse") else "native"
        log.info("sparse convolution backend: %s", name)
    if name == "native":
        from sahmr.sparse.native_backend import NativeBackend

        return NativeBackend()
    if name == "torchsparse":
        from sahmr.sparse.torchsparse_backend import TorchsparseBackend

        return TorchsparseBackend()
    raise ValueError(f"unknown sparse backend {name!r}; allowed are 'native', 'torchsparse' and 'auto'")
