"""Sparse convolution in plain torch, CPU and CUDA: the definition every other backend is tested against."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from sahmr.sparse.kernel_map import Block, KernelMap

_BLOCK_ROWS = 2048  # measured on the CPU: a block's gathered rows and products stay in the second-level cache
_NARROW, _SMALL = 16, 1_000_000  # measured: below, one product with zeros for empty taps beats one product per tap


def _is_small(num_rows: int, kernel: Tensor) -> bool:
    width_in, width_out = kernel.shape[1:]
    widest = max(width_in, width_out)
    return widest <= _NARROW or (widest <= 4 * _NARROW and num_rows * width_in * width_out <= _SMALL)


class _Scratch(threading.local):
    """Buffers for one block's gathered rows and products, kept between calls.

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
            buffer = self._buffers[name, like.dtype] = like.new_empty(count * width)
        return buffer[: count * width].view(count, width)


_scratch = _Scratch()


def _gather(name: str, features: Tensor, row: Tensor) -> Tensor:
    return torch.index_select(features, 0, row, out=_scratch.rows(name, len(row), features.shape[1], features))


def _sum_products(
    rows: Float[Tensor, "pairs in_channels"], matrices: list[Tensor], block: Block
) -> Float[Tensor, "outputs out_channels"]:
    """Multiply each tap's gathered rows by that tap's matrix and sum the products of each output row."""
    products = _scratch.rows("products", len(rows), matrices[0].shape[1], rows)
    for tap_rows, matrix, out in zip(
        torch.split(rows, block.counts), matrices, torch.split(products, block.counts), strict=True
    ):
        if len(tap_rows):
            torch.mm(tap_rows, matrix, out=out)
    return torch.embedding_bag(products, block.bag, block.bag_start, mode=0, include_last_offset=True)[0]


def _dense_blocks(name: str, features: Tensor, kernel_map: KernelMap) -> Iterator[tuple[slice, Tensor]]:
    """Give runs of output rows, each with all taps' features side by side, [rows, taps * channels]."""
    index, taps = kernel_map.dense(), len(kernel_map.table)
    with_zero = torch.cat([features, features.new_zeros(1, features.shape[1])])  # what an empty tap reads
    for first in range(0, kernel_map.num_outputs, _BLOCK_ROWS):
        rows = slice(first, min(first + _BLOCK_ROWS, kernel_map.num_outputs))
        gathered = _gather(name, with_zero, index[rows].flatten())
        yield rows, gathered.view(rows.stop - rows.start, taps * features.shape[1])


def _forward_dense(features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    output = features.new_empty(kernel_map.num_outputs, kernel.shape[2])
    matrix = kernel.flatten(0, 1)
    for rows, gathered in _dense_blocks("rows", features, kernel_map):
        torch.mm(gathered, matrix, out=output[rows])
    return output


def _backward_dense(
    grad: Tensor, features: Tensor, kernel: Tensor, back: KernelMap, order: list[int]
) -> tuple[Tensor, Tensor]:
    matrix = kernel[order].transpose(1, 2).flatten(0, 1)
    grad_features, grad_matrix = torch.empty_like(features), torch.zeros_like(matrix)
    for rows, gathered in _dense_blocks("grad", grad, back):
        torch.mm(gathered, matrix, out=grad_features[rows])
        grad_matrix.addmm_(gathered.t(), features[rows])
    grad_kernel = torch.empty_like(kernel)
    grad_kernel[order] = grad_matrix.view(len(kernel), kernel.shape[2], kernel.shape[1]).transpose(1, 2)
    return grad_features, grad_kernel


def _forward_taps(features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    output = features.new_zeros(kernel_map.num_outputs, kernel.shape[2])
    matrices = list(kernel)
    for block in kernel_map.blocks(_BLOCK_ROWS):
        if len(block.input):
            output[block.first : block.last] = _sum_products(_gather("rows", features, block.input), matrices, block)
    return output


def _backward_taps(
    grad: Tensor, features: Tensor, kernel: Tensor, back: KernelMap, order: list[int]
) -> tuple[Tensor, Tensor]:
    grad_features, grad_kernel = torch.zeros_like(features), torch.zeros_like(kernel)
    matrices = [kernel[k].t() for k in order]  # views: copying 22 million weights costs more than a strided product
    for block in back.blocks(_BLOCK_ROWS):
        if len(block.input) == 0:
            continue
        grad_rows = _gather("grad", grad, block.input)
        grad_features[block.first : block.last] = _sum_products(grad_rows, matrices, block)
        rows = _gather("rows", features, block.output)  # again, not saved: up to 27 times the features
        by_tap = zip(order, torch.split(rows, block.counts), torch.split(grad_rows, block.counts), strict=True)
        for k, tap_rows, tap_grad in by_tap:
            if len(tap_rows):
                grad_kernel[k].addmm_(tap_rows.t(), tap_grad)
    return grad_features, grad_kernel


class _Convolve(torch.autograd.Function):
    """Two ways to the same sum: one product per tap over the pairs, or one product over all taps with zeros."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
        ctx.save_for_backward(features, kernel)
        ctx.kernel_map = kernel_map
        way = _forward_dense if _is_small(kernel_map.num_outputs, kernel) else _forward_taps
        return way(features, kernel, kernel_map)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """Convolve the gradient over the reversed map; a symmetric map is its own reverse with the taps mirrored."""
        features, kernel = ctx.saved_tensors
        kernel_map: KernelMap = ctx.kernel_map
        order, back = list(range(len(kernel))), kernel_map
        if kernel_map.is_symmetric:
            order.reverse()
        else:
            back = kernel_map.reversed()
        way = _backward_dense if _is_small(back.num_outputs, kernel) else _backward_taps
        grad_features, grad_kernel = way(grad.contiguous(), features, kernel, back, order)
        return grad_features, grad_kernel, None


class NativeBackend:
    """See :class:`sahmr.sparse.backend.Backend`."""

    name = "native"

    def convolve(
        self,
        features: Float[Tensor, "inputs in_channels"],
        kernel: Float[Tensor, "taps in_channels out_channels"],
        kernel_map: KernelMap,
    ) -> Float[Tensor, "outputs out_channels"]:
        """Convolve over the pairs of a kernel map."""
        if len(features) != kernel_map.num_inputs or len(kernel) != len(kernel_map.table):
            raise ValueError(
                f"features {tuple(features.shape)} and kernel {tuple(kernel.shape)} do not fit a kernel map of "
                f"{kernel_map.num_inputs} inputs and {len(kernel_map.table)} taps"
            )
        result: Tensor = _Convolve.apply(features, kernel, kernel_map)  # type: ignore[no-untyped-call]
        return result
