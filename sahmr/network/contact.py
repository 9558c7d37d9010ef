"""The contact network: a sparse point-voxel U-Net that gives every voxel 12 numbers (SPVCNN; method 5)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sahmr.network.precision import precisely
from sahmr.network.size import ContactSize
from sahmr.sparse.backend import resolve_backend
from sahmr.sparse.kernel_map import Rounding
from sahmr.sparse.layers import ConvBlock, ResidualBlock, RowNorm, SparseConv, SparseNorm, SparseReLU
from sahmr.sparse.points import devoxelize_pairs, voxelize_pairs
from sahmr.sparse.tensor import Pyramid, SparseTensor


class PointMlp(nn.Sequential):
    """Linear, normalisation, ReLU on point features."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Linear(in_channels, out_channels), RowNorm(out_channels), nn.ReLU())


class ContactNet(nn.Module):
    """Four strides down, four up, with a point branch joined at strides 1, 16, 4 and 1.

    The "points" of the point branch are the voxels' own integer coordinates, so at stride 1 reading and averaging
    are identities.

    Args:
        in_channels, out_channels: features per voxel, in and out.
        size: widths.
        rounding: how voxel coordinates are halved.
        backend: sparse convolution backend.
    """

    def __init__(
        self, in_channels: int, out_channels: int, size: ContactSize, rounding: Rounding, *, backend: str = "native"
    ) -> None:
        super().__init__()
        ops = resolve_backend(backend)
        self.rounding: Rounding = rounding
        self.dropout = size.dropout
        self.out_channels = out_channels
        stem, down, up = size.stem, size.down, size.up
        self.fc_in = nn.Linear(in_channels, in_channels)
        self.stem = nn.Sequential(
            SparseConv(in_channels, stem, "same", ops),
            SparseNorm(stem),
            SparseReLU(),
            SparseConv(stem, stem, "same", ops),
            SparseNorm(stem),
            SparseReLU(),
        )

        def encoder(width_in: int, width_out: int) -> nn.Sequential:
            return nn.Sequential(
                ConvBlock(width_in, width_in, "down", ops),
                ResidualBlock(width_in, width_out, ops),
                ResidualBlock(width_out, width_out, ops),
            )

        def decoder(width_in: int, width_out: int, width_skip: int) -> nn.ModuleList:
            residual = nn.Sequential(
                ResidualBlock(width_out + width_skip, width_out, ops), ResidualBlock(width_out, width_out, ops)
            )
            return nn.ModuleList([ConvBlock(width_in, width_out, "up", ops), residual])

        self.stage1, self.stage2 = encoder(stem, down[0]), encoder(down[0], down[1])
        self.stage3, self.stage4 = encoder(down[1], down[2]), encoder(down[2], down[3])
        self.up1, self.up2 = decoder(down[3], up[0], down[2]), decoder(up[0], up[1], down[1])
        self.up3, self.up4 = decoder(up[1], up[2], down[0]), decoder(up[2], up[3], stem)
        self.classifier = nn.Sequential(nn.Linear(up[3], out_channels))
        self.point_transforms = nn.ModuleList(
            [PointMlp(stem, down[3]), PointMlp(down[3], up[1]), PointMlp(up[1], up[3])]
        )

    def forward(
        self, coords: Int[Tensor, "voxels 4"], features: Float[Tensor, "voxels in_channels"]
    ) -> Float[Tensor, "voxels out_channels"]:
        """Give every voxel its output, row by row.

        Args:
            coords: (x, y, z, batch), each voxel once; no voxels at all give an empty output.
            features: one row per voxel.

        Raises:
            ValueError: if a voxel occurs twice or its coordinates are out of range.
        """
        pyramid = Pyramid(coords, self.rounding)
        if len(coords) == 0:
            return features.new_zeros(0, self.out_channels)
        order = pyramid.lattice(1).order
        out = self._run(pyramid.sorted(), features.index_select(0, order))
        return torch.empty_like(out).index_copy(0, order, out)

    def _run(self, pyramid: Pyramid, features: Tensor) -> Tensor:
        points = pyramid.lattice(1).coords.to(torch.float32)  # [voxels, 4]
        x0 = self.stem(SparseTensor(features=self.fc_in(features), stride=1, pyramid=pyramid))
        x1, x2, x3, x4 = self.encode(x0)  # strides 2, 4, 8, 16

        # SPVCNN: Tang et al., Searching Efficient 3D Architectures with Sparse Point-Voxel Convolution, ECCV 2020.
        z1 = self._read(points, x4) + self.point_transforms[0](x0.features)  # [voxels, down[3]]
        y = self._join(self.up1, self._average(points, z1, x4), x3)  # stride 8
        y = self._join(self.up2, y, x2)  # stride 4
        z2 = self._read(points, y) + self.point_transforms[1](z1)  # [voxels, up[1]]
        y = self._join(self.up3, self._average(points, z2, y), x1)  # stride 2
        y = self._join(self.up4, y, x0)  # stride 1
        return precisely(self.classifier, y.features + self.point_transforms[2](z2))

    def encode(self, x0: SparseTensor) -> tuple[SparseTensor, SparseTensor, SparseTensor, SparseTensor]:
        """Run the encoder; strides 2, 4, 8, 16."""
        x1 = self.stage1(x0)
        x2 = self.stage2(x1)
        x3 = self.stage3(x2)
        return x1, x2, x3, self.stage4(x3)

    @staticmethod
    def _join(decoder: nn.Module, x: SparseTensor, skip: SparseTensor) -> SparseTensor:
        upsample, residual = decoder.children()
        fine = upsample(x)
        joined: SparseTensor = residual(fine.with_features(torch.cat([fine.features, skip.features], dim=1)))
        return joined

    @staticmethod
    def _read(points: Tensor, x: SparseTensor) -> Tensor:
        return devoxelize_pairs(points, x.pyramid.lattice(x.stride)).apply(x.features)

    def _average(self, points: Tensor, features: Tensor, like: SparseTensor) -> SparseTensor:
        averaged = voxelize_pairs(points, like.pyramid.lattice(like.stride)).apply(features)
        return like.with_features(F.dropout(averaged, self.dropout, self.training))
