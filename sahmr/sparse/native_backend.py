"""Sparse convolution in plain torch, CPU and CUDA: the definition every other backend is tested against."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from sahmr.sparse import narrow
from sahmr.sparse.kernel_map import PARTS, Block, KernelMap
from sahmr.sparse.scratch import scratch

# Measured on a CPU, where nothing else is said.
_BLOCK_ROWS = 4096  # of the output: a block's gathered rows and products stay in the cache
_BLOCK_ROWS_CUDA = 1 << 18  # few large products; bounds memory
_FEW_ROWS, _FEW_TAPS = 512, 3  # up to 512 rows with a third of the taps in use, zeros for the rest cost nothing
_DENSE_CUDA = 1 << 29  # numbers gathered and multiplied at once on CUDA: 2 GiB. Calls cost more than zeros there
_WIDE = 1 << 14  # weights of a tap; beyond, partial sums of its gradient cost more than they save


def _block_rows(features: Tensor) -> int:
    return _BLOCK_ROWS if features.device.type == "cpu" else _BLOCK_ROWS_CUDA


def _gather(name: str, features: Tensor, row: Tensor) -> Tensor:
    return torch.index_select(features, 0, row, out=scratch.rows(name, len(row), features.shape[1], features))


def _by_tap(rows: Tensor, block: Block, parts: int = PARTS) -> list[Tensor]:
    """The pairs of each tap as [part, pairs / part, channels], each part a run of rows.

    Each part is multiplied by one thread alone: for such narrow matrices that is faster than all threads on one
    product.
    """
    width, per = rows.shape[1], PARTS // parts
    found, at = [], rows.storage_offset()
    for count in block.part_counts:
        length = count * per
        found.append(rows.as_strided((parts, length, width), (length * width, width, 1), at))
        at += count * PARTS * width
    return found


def _per_part(matrices: Tensor) -> tuple[Tensor, ...]:
    """Each tap's matrix, once for every part of its pairs."""
    return matrices[:, None].expand(-1, PARTS, -1, -1).unbind()


def _sum_products(
    rows: Float[Tensor, "pairs in_channels"], matrices: tuple[Tensor, ...], block: Block
) -> Float[Tensor, "outputs out_channels"]:
    """Multiply each tap's gathered rows by that tap's matrix and sum the products of each output row."""
    width = matrices[0].shape[2]
    products = scratch.rows("products", len(rows), width, rows)
    for count, tap_rows, matrix, out in zip(
        block.part_counts, _by_tap(rows, block), matrices, _by_tap(products, block), strict=True
    ):
        if count:
            torch.bmm(tap_rows, matrix, out=out)
    return torch.embedding_bag(products, block.bag, block.bag_start, mode=0, include_last_offset=True)[0]


def _is_dense(kernel_map: KernelMap, kernel: Tensor) -> bool:
    """Whether one product over all rows is faster than one per tap."""
    if kernel.device.type != "cpu":
        return kernel_map.table.numel() * max(kernel.shape[1:]) <= _DENSE_CUDA
    if kernel_map.num_outputs > _FEW_ROWS:
        return False
    return kernel_map.num_pairs * _FEW_TAPS > kernel_map.table.numel()


def _dense(features: Tensor, table: Tensor) -> Float[Tensor, "taps outputs channels"]:
    """What every output row reads under every tap, zero where there is nothing."""
    with_zero = torch.cat([features, features.new_zeros(1, features.shape[1])])
    return _gather("rows", with_zero, table.flatten()).view(*table.shape, -1)


def _forward_dense(features: Tensor, kernel: Tensor, table: Tensor) -> Tensor:
    products = scratch.rows("products", table.numel(), kernel.shape[2], features).view(*table.shape, -1)
    return torch.bmm(_dense(features, table), kernel, out=products).sum(0)


def _backward_dense(grad: Tensor, features: Tensor, kernel: Tensor, table: Tensor) -> tuple[Tensor, Tensor]:
    grad_rows = _dense(grad, table)  # [taps, inputs, out_channels]
    products = scratch.rows("products", table.numel(), kernel.shape[1], grad).view(*table.shape, -1)
    grad_features = torch.bmm(grad_rows, kernel.transpose(1, 2), out=products).sum(0)
    return grad_features, torch.bmm(features.t().expand(len(table), -1, -1), grad_rows)


def _forward_taps(features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
    matrices = _per_part(kernel)
    parts = [features.new_zeros(0, kernel.shape[2])]
    for block in kernel_map.blocks(_block_rows(features)):
        if any(block.part_counts):
            parts.append(_sum_products(_gather("rows", features, block.input), matrices, block))
        else:
            parts.append(features.new_zeros(block.last - block.first, kernel.shape[2]))
    return parts[1] if len(parts) == 2 else torch.cat(parts)


def _backward_taps(
    grad: Tensor, features: Tensor, kernel: Tensor, back: KernelMap, order: list[int]
) -> tuple[Tensor, Tensor]:
    grad_features = torch.zeros_like(features)  # [inputs, in_channels]
    # Views: copying 22 million weights costs more than a strided product.
    matrices = _per_part(kernel.transpose(1, 2))
    matrices = tuple(matrices[k] for k in order)
    parts = PARTS if kernel[0].numel() <= _WIDE else 1
    sums = kernel.new_zeros(len(kernel), parts, *kernel.shape[1:])
    sum_of_tap = sums.unbind()
    for block in back.blocks(_block_rows(features)):
        if not any(block.part_counts):
            continue
        grad_rows = _gather("grad", grad, block.input).index_fill_(0, block.filling, 0)  # [pairs, out_channels]
        grad_features[block.first : block.last] = _sum_products(grad_rows, matrices, block)
        rows = _gather("rows", features, block.output)  # again, not saved: up to 27 times the features
        for k, count, tap_rows, tap_grad in zip(
            order, block.part_counts, _by_tap(rows, block, parts), _by_tap(grad_rows, block, parts), strict=True
        ):
            if count:
                sum_of_tap[k].baddbmm_(tap_rows.transpose(1, 2), tap_grad)
    return grad_features, sums.sum(1)


class _Convolve(torch.autograd.Function):
    """Three ways to the same sum, which is fastest depends on sizes.

    One product per tap over the pairs; one over all rows with zeros for empty taps; or, of few channels, one of every
    input row with all taps (:mod:`sahmr.sparse.narrow`).
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
        ctx.save_for_backward(features, kernel)
        ctx.kernel_map = kernel_map
        if narrow.is_narrow(kernel_map, kernel):
            return narrow.convolve(features, kernel, kernel_map)
        if _is_dense(kernel_map, kernel):
            return _forward_dense(features, kernel, kernel_map.table)
        return _forward_taps(features, kernel, kernel_map)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        """Convolve the gradient over the reversed map; a symmetric map is its own reverse with the taps mirrored."""
        features, kernel = ctx.saved_tensors
        kernel_map: KernelMap = ctx.kernel_map
        back = kernel_map if kernel_map.is_symmetric else kernel_map.reversed()
        if narrow.is_narrow(kernel_map, kernel):
            turned = kernel.flip(0) if back.is_symmetric else kernel
            grad_features = narrow.convolve(grad, turned.transpose(1, 2), back)
            return grad_features, narrow.kernel_gradient(grad, features, kernel, kernel_map), None
        if _is_dense(back, kernel):
            table = back.table.flip(0) if back.is_symmetric else back.table
            return *_backward_dense(grad, features, kernel, table), None
        order = list(range(len(kernel)))
        if back.is_symmetric:
            order.reverse()
        return *_backward_taps(grad, features, kernel, back, order), None


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
        # Under autocast the features come in low precision, the weights do not.
        result: Tensor = _Convolve.apply(features, kernel.to(features.dtype), kernel_map)  # type: ignore[no-untyped-call]
        return result
