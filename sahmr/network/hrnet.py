"""HRNet, classification variant: four parallel resolutions that keep exchanging what they see."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from sahmr.network.size import HrnetSize

_EXPANSION = 4  # a bottleneck's output is four times as wide as its 3x3 convolution
_IMAGE_MEAN, _IMAGE_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet, RGB


def normalize_image(image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    """Map RGB in 0..1 to zero mean and unit variance over ImageNet."""
    mean, std = image.new_tensor(_IMAGE_MEAN), image.new_tensor(_IMAGE_STD)
    return (image - mean[:, None, None]) / std[:, None, None]


def _conv_norm(width_in: int, width_out: int, kernel: int, stride: int = 1, *, bias: bool = False) -> list[nn.Module]:
    return [nn.Conv2d(width_in, width_out, kernel, stride, kernel // 2, bias=bias), nn.BatchNorm2d(width_out)]


def _shrink(width_in: int, width_out: int) -> nn.Sequential:
    return nn.Sequential(*_conv_norm(width_in, width_out, 3, 2), nn.ReLU(inplace=True))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a skip, one width throughout."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = _conv_norm(width, width, 3)
        self.conv2, self.bn2 = _conv_norm(width, width, 3)

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch c h w"]:
        """Apply the block."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)).add_(x), inplace=True)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolution and a skip; the skip is a 1x1 convolution where the width changes."""

    def __init__(self, width_in: int, planes: int) -> None:
        super().__init__()
        width_out = planes * _EXPANSION
        self.conv1, self.bn1 = _conv_norm(width_in, planes, 1)
        self.conv2, self.bn2 = _conv_norm(planes, planes, 3)
        self.conv3, self.bn3 = _conv_norm(planes, width_out, 1)
        self.downsample = nn.Sequential(*(_conv_norm(width_in, width_out, 1) if width_in != width_out else []))

    def forward(self, x: Float[Tensor, "batch c h w"]) -> Float[Tensor, "batch d h w"]:
        """Apply the block."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)).add_(self.downsample(x)), inplace=True)


class ExchangeModule(nn.Module):
    """Basic blocks on every resolution, then every resolution receives the sum of all of them."""

    def __init__(self, channels: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(width) for _ in range(blocks))) for width in channels)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(self._exchange(channels, source, target) for source in range(len(channels)))
            for target in range(len(channels))
        )

    @staticmethod
    def _exchange(channels: Sequence[int], source: int, target: int) -> nn.Module:
        if source == target:
            return nn.Identity()
        if source > target:
            up = nn.Upsample(scale_factor=2 ** (source - target), mode="nearest")
            return nn.Sequential(*_conv_norm(channels[source], channels[target], 1), up)
        steps: list[nn.Module] = [_shrink(channels[source], channels[source]) for _ in range(target - source - 1)]
        return nn.Sequential(*steps, nn.Sequential(*_conv_norm(channels[source], channels[target], 3, 2)))

    def forward(self, maps: list[Tensor], num_outputs: int) -> list[Tensor]:
        """Give the first ``num_outputs`` resolutions; the others' exchange layers do not run."""
        maps = [branch(x) for branch, x in zip(self.branches, maps, strict=True)]
        fused = []
        for layers in list(self.fuse_layers)[:num_outputs]:
            assert isinstance(layers, nn.ModuleList)
            total = layers[0](maps[0]) + layers[1](maps[1])
            for layer, x in zip(list(layers)[2:], maps[2:], strict=True):
                total.add_(layer(x))
            fused.append(F.relu(total, inplace=True))
        return fused


class Hrnet(nn.Module):
    """The trunk, with or without its classification head.

    Args:
        size: widths and depths.
        with_head: end in the ``head_width`` channels at stride 32; otherwise in the highest resolution, stride 4.
    """

    def __init__(self, size: HrnetSize, *, with_head: bool) -> None:
        super().__init__()
        # Wang et al., Deep High-Resolution Representation Learning for Visual Recognition, PAMI 2021; its names.
        self.with_head = with_head
        self.conv1, self.bn1 = _conv_norm(3, size.stem, 3, 2)
        self.conv2, self.bn2 = _conv_norm(size.stem, size.stem, 3, 2)
        wide, ch = size.bottleneck_planes * _EXPANSION, size.channels
        widths_in = [size.stem] + [wide] * (size.bottleneck_blocks - 1)
        self.layer1 = nn.Sequential(*(Bottleneck(width, size.bottleneck_planes) for width in widths_in))
        keep = nn.Sequential(*_conv_norm(wide, ch[0], 3), nn.ReLU(inplace=True))
        # Identities stand where a resolution goes on unchanged; the reference numbers the entries like this.
        self.transition1 = nn.ModuleList([keep, nn.Sequential(_shrink(wide, ch[1]))])
        self.transition2 = nn.ModuleList([nn.Identity()] * 2 + [nn.Sequential(_shrink(ch[1], ch[2]))])
        self.transition3 = nn.ModuleList([nn.Identity()] * 3 + [nn.Sequential(_shrink(ch[2], ch[3]))])
        for stage, modules in zip((2, 3, 4), size.modules, strict=True):
            exchange = (ExchangeModule(ch[:stage], size.blocks) for _ in range(modules))
            self.add_module(f"stage{stage}", nn.ModuleList(exchange))
        if with_head:
            self._add_head(size)
        # The layout in which the CPU's convolutions work: any other is converted in every call.
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)

    def _add_head(self, size: HrnetSize) -> None:
        pairs = zip(size.channels, size.head_planes, strict=True)
        self.incre_modules = nn.ModuleList(nn.Sequential(Bottleneck(width, planes)) for width, planes in pairs)
        widths = [planes * _EXPANSION for planes in size.head_planes]
        self.downsamp_modules = nn.ModuleList(
            nn.Sequential(*_conv_norm(fine, coarse, 3, 2, bias=True), nn.ReLU(inplace=True))
            for fine, coarse in pairwise(widths)
        )
        self.final_layer = nn.Sequential(*_conv_norm(widths[-1], size.head_width, 1, bias=True), nn.ReLU(inplace=True))

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channels h w"]:
        """Run the trunk on normalised images; the map has a quarter of the side, or with the head a 32nd."""
        image = image.contiguous(memory_format=torch.channels_last)
        x = F.relu(self.bn1(self.conv1(image)), inplace=True)  # [batch, stem, height / 2, width / 2]
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)  # [batch, stem, height / 4, width / 4]
        x = self.layer1(x)  # [batch, 4 * planes, height / 4, width / 4]
        maps = [transition(x) for transition in self.transition1]  # strides 4, 8
        maps = self._stage(self.stage2, maps, 2)
        maps = self._stage(self.stage3, [*maps, self.transition2[2](maps[-1])], 3)  # strides 4, 8, 16
        maps = self._stage(self.stage4, [*maps, self.transition3[3](maps[-1])], 4 if self.with_head else 1)
        return self._head(maps) if self.with_head else maps[0]

    @staticmethod
    def _stage(modules: Tensor | nn.Module, maps: list[Tensor], num_outputs: int) -> list[Tensor]:
        assert isinstance(modules, nn.ModuleList)
        for i, module in enumerate(modules):
            maps = module(maps, num_outputs if i == len(modules) - 1 else len(maps))
        return maps

    def _head(self, maps: list[Tensor]) -> Tensor:
        y: Tensor = self.incre_modules[0](maps[0])  # [batch, 4 * head_planes[0], height / 4, width / 4]
        for down, widen, x in zip(self.downsamp_modules, list(self.incre_modules)[1:], maps[1:], strict=True):
            y = widen(x) + down(y)
        y = self.final_layer(y)  # [batch, head_width, height / 32, width / 32]
        return y
