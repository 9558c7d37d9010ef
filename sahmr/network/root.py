"""The root network: image -> pelvis heat-map, scaled depth, voxel features and contact-part maps (method 4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sahmr.dimensions import NUM_PARTS
from sahmr.geometry.camera import unit_to_image, unproject
from sahmr.network.hrnet import Hrnet
from sahmr.network.precision import precisely
from sahmr.network.size import NetworkSize
from sahmr.structures import Camera


@dataclass(frozen=True, slots=True, kw_only=True)
class RootMaps:
    """The root network's output, no activation on any channel.

    Attributes:
        heatmap: pelvis heat-map.
        scaled_depth: depth times crop width / focal length.
        features: what the voxels sample.
        part_maps: contact parts 1..7.
    """

    heatmap: Float[Tensor, "batch h w"]
    scaled_depth: Float[Tensor, "batch h w"]
    features: Float[Tensor, "batch channels h w"]
    part_maps: Float[Tensor, "batch 7 h w"]


class RootNet(nn.Module):
    """HRNet's highest resolution and one 1x1 convolution.

    Args:
        size: trunk and number of feature channels.
    """

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.image_features = size.image_features
        self.hrnet = Hrnet(size.root_hrnet, with_head=False)
        self.out_conv = nn.Conv2d(size.root_hrnet.channels[0], 2 + size.image_features + NUM_PARTS - 1, 1)

    def forward(self, image: Float[Tensor, "batch 3 height width"]) -> RootMaps:
        """Run on a normalised image; the maps have a quarter of its side."""
        out = precisely(self.out_conv, self.hrnet(image)).contiguous()
        last_feature = 2 + self.image_features
        return RootMaps(
            heatmap=out[:, 0], scaled_depth=out[:, 1], features=out[:, 2:last_feature], part_maps=out[:, last_feature:]
        )


@torch.no_grad()
def decode_root(
    heatmap: Float[Tensor, "batch h w"], scaled_depth: Float[Tensor, "batch h w"], camera: Camera
) -> tuple[Int[Tensor, "batch 2"], Float[Tensor, "batch 3"]]:
    """Read the root off the maps: arg-max pixel, depth there, un-projected. No gradient flows through.

    Returns:
        The arg-max cell (u, v), and the root, camera frame, metres. An untrained network may give a root behind
        the camera (negative depth); it is returned as it is.
    """
    width = heatmap.shape[2]
    flat = heatmap.flatten(1).argmax(dim=1)
    cell = torch.stack([flat % width, flat // width], dim=1)
    depth = scaled_depth.flatten(1).gather(1, flat[:, None])[:, 0] / camera.depth_scale
    unit = cell / cell.new_tensor([heatmap.shape[2] - 1, heatmap.shape[1] - 1])
    return cell, unproject(unit_to_image(unit, camera.crop_box), depth, camera.intrinsics)
