"""Trainable layers on sparse tensors; parameter names and tap order are those of torchsparse 1.4."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sahmr.sparse.backend import Backend
from sahmr.sparse.tensor import SparseTensor

Kind = Literal["same", "down", "up"]
_TAPS = {"same": 27, "down": 8, "up": 8}


class SparseConv(nn.Module):
    """Sparse convolution without bias.

    Args:
        kind: ``same``: 3x3x3 on the occupied voxels only; ``down``: 2x2x2 of stride 2; ``up``: its transpose,
            back to the voxels the finer stride had.
        backend: who multiplies.
    """

    def __init__(self, in_channels: int, out_channels: int, kind: Kind, backend: Backend) -> None:
        super().__init__()
        self.kind = kind
        self.backend = backend
        fan = (out_channels if kind == "up" else in_channels) * _TAPS[kind]
        bound = 1 / math.sqrt(fan)  # formats (f)
        self.kernel = nn.Parameter(torch.empty(_TAPS[kind], in_channels, out_channels).uniform_(-bound, bound))

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Convolve; ``down`` and ``up`` change the stride."""
        if self.kind == "same":
            kernel_map, stride = x.pyramid.same(x.stride), x.stride
        elif self.kind == "down":
            kernel_map, stride = x.pyramid.down(x.stride), 2 * x.stride
        else:
            kernel_map, stride = x.pyramid.up(x.stride), x.stride // 2
        features = self.backend.convolve(x.features, self.kernel, kernel_map)
        return SparseTensor(features=features, stride=stride, pyramid=x.pyramid)


class PointwiseConv(nn.Module):
    """1x1x1 convolution: a linear map without bias whose matrix is stored input first."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(in_channels)
        self.kernel = nn.Parameter(torch.empty(in_channels, out_channels).uniform_(-bound, bound))

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Multiply every row."""
        return x.with_features(x.features @ self.kernel)


class RowNorm(nn.BatchNorm1d):
    """Batch normalisation over rows that also works, on its running statistics, for fewer than two rows."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise [rows, channels]."""
        if len(input) == 0:
            return input
        if self.training and len(input) == 1:
            return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(input)


class SparseNorm(RowNorm):
    """:class:`RowNorm` on a sparse tensor: one statistic over all voxels of the batch."""

    def forward(self, x: SparseTensor) -> SparseTensor:  # type: ignore[override]
        """Normalise the features."""
        return x.with_features(super().forward(x.features))


class SparseReLU(nn.Module):
    """ReLU on a sparse tensor."""

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Clip the features at zero, in place: the normalisation before it does not need its own output."""
        return x.with_features(F.relu(x.features, inplace=True))


class ConvBlock(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(self, in_channels: int, out_channels: int, kind: Kind, backend: Backend) -> None:
        super().__init__()
        self.net = nn.Sequential(
            SparseConv(in_channels, out_channels, kind, backend), SparseNorm(out_channels), SparseReLU()
        )

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Apply the block."""
        result: SparseTensor = self.net(x)
        return result


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions and a skip, which is a 1x1x1 convolution where the width changes."""

    def __init__(self, in_channels: int, out_channels: int, backend: Backend) -> None:
        super().__init__()
        self.net = nn.Sequential(
            SparseConv(in_channels, out_channels, "same", backend),
            SparseNorm(out_channels),
            SparseReLU(),
            SparseConv(out_channels, out_channels, "same", backend),
            SparseNorm(out_channels),
        )
        self.downsample = (
            nn.Sequential()
            if in_channels == out_channels
            else nn.Sequential(PointwiseConv(in_channels, out_channels), SparseNorm(out_channels))
        )

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Apply the block."""
        skip: SparseTensor = self.downsample(x)
        return x.with_features(F.relu(self.net(x).features.add_(skip.features), inplace=True))
