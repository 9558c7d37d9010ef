"""Adapter to torchsparse 1.4's CUDA convolution. NOT CHECKED: no such build could be installed where this was written.

It hands our own kernel maps to torchsparse, so that rounding, tap order and row order stay ours. Run
``pytest tests/sparse`` on a machine with torchsparse before relying on it.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from sahmr.sparse.kernel_map import KernelMap

try:
    import torchsparse
    import torchsparse.backend as _cuda
except ImportError as error:
    raise ImportError(
        "the sparse backend 'torchsparse' was asked for but torchsparse 1.4 is not installed; "
        "install it (it needs a CUDA tool chain) or choose the backend 'native'"
    ) from error
if not hasattr(_cuda, "convolution_forward_cuda"):
    raise ImportError(
        f"torchsparse {getattr(torchsparse, '__version__', 'of unknown version')} has no convolution_forward_cuda "
        "(2.x renamed its entry points, a build without CUDA lacks it); install torchsparse 1.4.0 with CUDA or choose "
        "the backend 'native'"
    )


def _pairs(kernel_map: KernelMap) -> tuple[Tensor, Tensor]:
    source, target, counts = kernel_map.pairs()
    return torch.stack([source, target], dim=1).int().contiguous(), counts.int().cpu()


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, kernel: Tensor, kernel_map: KernelMap) -> Tensor:
        features, kernel = features.contiguous(), kernel.contiguous()
        pairs, counts = _pairs(kernel_map)
        output = features.new_zeros(kernel_map.num_outputs, kernel.shape[2])
        _cuda.convolution_forward_cuda(features, output, kernel, pairs, counts, False)
        ctx.save_for_backward(features, kernel, pairs, counts)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        features, kernel, pairs, counts = ctx.saved_tensors
        grad_features, grad_kernel = torch.zeros_like(features), torch.zeros_like(kernel)
        _cuda.convolution_backward_cuda(
            features, grad_features, grad.contiguous(), kernel, grad_kernel, pairs, counts, False
        )
        return grad_features, grad_kernel, None


class TorchsparseBackend:
    """See :class:`sahmr.sparse.backend.Backend`."""

    name = "torchsparse"

    def convolve(
        self,
        features: Float[Tensor, "inputs in_channels"],
        kernel: Float[Tensor, "taps in_channels out_channels"],
        kernel_map: KernelMap,
    ) -> Float[Tensor, "outputs out_channels"]:
        """Convolve on the GPU, in the weights' precision: its kernels know no bfloat16.

        Raises:
            ValueError: if the features are not on a CUDA device.
        """
        if not features.is_cuda:
            raise ValueError("the sparse backend 'torchsparse' runs on CUDA only; choose 'native' for the CPU")
        result: Tensor = _Convolve.apply(  # type: ignore[no-untyped-call]
            features.to(kernel.dtype), kernel, kernel_map
        )
        return result.to(features.dtype)
