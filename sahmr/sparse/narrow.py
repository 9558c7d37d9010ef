"""Sparse convolution of few channels on the CPU, where calls cost more than products: one product for all taps.

Every input row is multiplied by the matrices of all taps at once, also of taps under which nothing reads it, and each
output row sums up what it reads. Order of the sums as in :mod:`sahmr.sparse.native_backend`: channels, then taps.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from sahmr.sparse.kernel_map import KernelMap
from sahmr.sparse.scratch import scratch

# Measured on one core against one product per tap: 3 times as fast with 8 channels, 2 with 16, equal with 32.
_NARROW = 1 << 10  # weights of a tap
_FEW = 1 << 22  # products at once: 16 MiB, half of a cache


def is_narrow(kernel_map: KernelMap, kernel: Float[Tensor, "taps in_channels out_channels"]) -> bool:
    """Whether this way is the faster one, forward and backward."""
    if kernel.device.type != "cpu" or kernel[0].numel() > _NARROW:
        return False
    rows = max(kernel_map.num_inputs, kernel_map.num_outputs)
    return 0 < rows * len(kernel) * max(kernel.shape[1:]) <= _FEW


def convolve(
    rows: Float[Tensor, "inputs in_channels"],
    kernel: Float[Tensor, "taps in_channels out_channels"],
    kernel_map: KernelMap,
) -> Float[Tensor, "outputs out_channels"]:
    """Convolve over the pairs of a kernel map."""
    taps, width_in, width = kernel.shape
    matrix = kernel.transpose(0, 1).reshape(width_in, taps * width)
    products = torch.mm(rows, matrix, out=scratch.rows("products", len(rows), taps * width, rows))
    read, start = kernel_map.bags()
    return torch.embedding_bag(products.view(-1, width), read, start, mode=0, include_last_offset=True)[0]


def kernel_gradient(
    grad: Float[Tensor, "outputs out_channels"],
    features: Float[Tensor, "inputs in_channels"],
    kernel: Float[Tensor, "taps in_channels out_channels"],
    kernel_map: KernelMap,
) -> Float[Tensor, "taps in_channels out_channels"]:
    """Gradient of the kernel: the shorter side gathers what the longer one has under every tap, zeros for nothing."""
    taps, width_in, width = kernel.shape
    if kernel_map.num_outputs <= kernel_map.num_inputs:
        read = _all_taps(features, kernel_map)  # [outputs, taps * in_channels]
        # With the long side first the same product takes four times as long.
        return (grad.t() @ read).view(width, taps, width_in).permute(1, 2, 0).contiguous()
    given = _all_taps(grad, kernel_map.reversed())  # [inputs, taps * out_channels]
    return (features.t() @ given).view(width_in, taps, width).transpose(0, 1).contiguous()


def _all_taps(features: Tensor, kernel_map: KernelMap) -> Float[Tensor, "outputs taps_times_channels"]:
    padded = F.pad(features, (0, 0, 0, 1))  # the zero row that places without input read
    width, read = features.shape[1], kernel_map.places()
    rows = torch.index_select(padded, 0, read, out=scratch.rows("rows", len(read), width, features))
    return rows.view(kernel_map.num_outputs, -1)
