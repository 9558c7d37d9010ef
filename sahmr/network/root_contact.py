"""The root-and-contact network: image and scene points -> root and contact points (method 4-6)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from sahmr.dimensions import NUM_PARTS
from sahmr.geometry.camera import image_to_unit, project
from sahmr.geometry.voxel import unique_voxels, voxel_center, voxel_index
from sahmr.network.batch_check import check_batch, require_finite
from sahmr.network.contact import ContactNet
from sahmr.network.contact_points import select_contacts
from sahmr.network.hrnet import normalize_image
from sahmr.network.precision import float32_region
from sahmr.network.root import RootNet, decode_root
from sahmr.network.size import Behaviour, NetworkSize, RootRegion, Vote
from sahmr.structures import Batch, Camera, PackedPoints, RootContact, rank_in_sample

_BEHIND = 1e-3  # metres; nearer than this to the image plane a point has no pixel


def substitute_far_roots(
    root: Float[Tensor, "batch 3"],
    target: Float[Tensor, "batch 3"],
    distance: float,
    noise_std: tuple[float, float, float],
    generator: torch.Generator | None,
) -> Float[Tensor, "batch 3"]:
    """Replace roots farther than ``distance`` from the truth by the truth plus Gaussian noise.

    Args:
        root, target: camera frame, metres.
        distance: metres.
        noise_std: per camera axis, metres.
        generator: source of the noise (on the CPU), which is drawn for every sample, used or not.
    """
    noise = torch.randn(target.shape, generator=generator).to(target) * target.new_tensor(noise_std)
    far = (root - target).norm(dim=1, keepdim=True) > distance  # [batch, 1]
    return torch.where(far, target + noise, root)


def crop_to_region(scene: PackedPoints, anchor: Float[Tensor, "batch 3"], region: RootRegion) -> PackedPoints:
    """Keep the points near the root or its two companions before and behind it (along camera z).

    A sample without any such point keeps all its points; a sample without points stays empty.

    Args:
        scene: camera frame, metres; sorted by sample.
        anchor: the root of each sample.
        region: of what size.
    """
    kept = []
    for (first, last), root in zip(
        pairwise(scene.ends(len(anchor))), anchor, strict=True
    ):  # no copy of the root per point
        x, y, z = (axis - own for axis, own in zip(scene.xyz[first:last].unbind(1), root, strict=True))
        steps = (z / region.anchor_spacing).round_().clamp_(-1, 1)  # to the nearest of the three anchors
        z -= steps * region.anchor_spacing
        near = (x.square_() + y.square_() + z.square_() < region.roi_radius**2).nonzero()[:, 0]
        kept.append(near + first if len(near) else torch.arange(first, last, device=near.device))
    rows = torch.cat(kept)
    return PackedPoints(xyz=scene.xyz.index_select(0, rows), sample=scene.sample.index_select(0, rows))


def sample_maps(
    maps: Float[Tensor, "batch channels h w"], points: PackedPoints, camera: Camera
) -> Float[Tensor, "points channels"]:
    """Read a map bilinearly (align-corners) at each point's projection; zero outside the crop or behind the camera.

    Args:
        maps: maps that cover the crop.
        points: camera frame, metres; sorted by sample.
        camera: one per sample.
    """
    sample = points.sample
    place = rank_in_sample(sample, len(maps))
    in_front = points.xyz[:, 2:] > _BEHIND
    safe = torch.where(in_front, points.xyz, torch.ones_like(points.xyz))
    unit = image_to_unit(project(safe, camera.intrinsics[sample]), camera.crop_box[sample])  # [points, 2]
    grid = torch.where(in_front, unit * 2 - 1, torch.full_like(unit, -3.0))
    if len(sample) == 0:
        return maps.new_zeros(0, maps.shape[1])
    longest = int(place.max()) + 1
    padded = grid.new_full((len(maps), longest, 2), -3.0)
    padded[sample, place] = grid
    # Samples have different numbers of points: each is padded to the longest, read at once, and unpadded.
    read = F.grid_sample(maps, padded[:, None], mode="bilinear", padding_mode="zeros", align_corners=True)
    return F.embedding(sample * longest + place, read[:, :, 0].transpose(1, 2).flatten(0, 1))


def vote_root(
    voxels: PackedPoints,
    offset: Float[Tensor, "voxels 3"],
    confidence: Float[Tensor, " voxels"],
    anchor: Float[Tensor, "batch 3"],
    vote: Vote,
) -> Float[Tensor, "batch 3"]:
    """Let every voxel of a sample vote for its root and average the votes by confidence.

    Args:
        voxels: centres, camera frame, metres; sorted by sample or not.
        offset: predicted vector from centre to root.
        confidence: raw network output.
        anchor: what a sample without voxels gets.
        vote: weight of a vote, see :class:`Behaviour`.

    Source: Shen et al., CVPR 2023 and the reference code, which takes the softmax over *sigmoids*.
    """
    sample = voxels.sample
    score = confidence.sigmoid() if vote == "softmax_sigmoid" else confidence
    top = score.new_full((len(anchor),), -torch.inf)
    top = top.scatter_reduce(0, sample, score.detach(), "amax")
    weight = (score - top[sample]).exp()  # [voxels]; softmax per sample, its maximum subtracted
    total = score.new_zeros(len(anchor)).scatter_add(0, sample, weight)
    votes = (voxels.xyz + offset) * (weight / total[sample])[:, None]  # [voxels, 3]
    summed = score.new_zeros(len(anchor), 3).scatter_add(0, sample[:, None].expand(-1, 3), votes)
    return torch.where((total > 0)[:, None], summed, anchor)


@dataclass(frozen=True, slots=True, kw_only=True)
class Voxels:
    """Occupied voxels of the region of interest.

    Attributes:
        coords: (x, y, z, sample).
        centers: camera frame, metres.
        points: the scene points they were made from.
        voxel_of_point: which voxel each point lies in.
    """

    coords: Int[Tensor, "voxels 4"]
    centers: PackedPoints
    points: PackedPoints
    voxel_of_point: Int[Tensor, " points"]


def voxelize(points: PackedPoints, voxel_size: float) -> Voxels:
    """List the occupied voxels, sorted by (sample, x, y, z)."""
    coords, row = unique_voxels(voxel_index(points.xyz, voxel_size), points.sample)
    centers = PackedPoints(xyz=voxel_center(coords[:, :3], voxel_size).to(points.xyz), sample=coords[:, 3])
    return Voxels(coords=coords, centers=centers, points=points, voxel_of_point=row)


class RootContactNet(nn.Module):
    """Root network, contact network and what lies between.

    Args:
        size: widths and depths.
        behaviour: switches and geometry of the region of interest.
        backend: sparse convolution backend.
    """

    def __init__(self, size: NetworkSize, behaviour: Behaviour, *, backend: str = "native") -> None:
        super().__init__()
        self.behaviour = behaviour
        self.max_contacts = size.max_contacts
        self.voxel_size = size.voxel_size
        self.root_net = RootNet(size)
        self.contact_net = ContactNet(
            3 + size.image_features, 4 + NUM_PARTS, size.contact, behaviour.rounding, backend=backend
        )

    def part_maps_of(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 7 h w"]:
        """Predict only the 2D contact-part maps of an image (RGB in 0..1); the sparse network does not run."""
        maps: Tensor = self.root_net(normalize_image(image)).part_maps
        return maps

    def forward(
        self,
        batch: Batch,
        *,
        targets_root: Float[Tensor, "batch 3"] | None = None,
        generator: torch.Generator | None = None,
    ) -> RootContact:
        """Predict root and contact points.

        Samples for which there is little to go by still get finite results: no scene points near the root: all of
        its points are used; no points at all: the root stays at its anchor and there is no contact; a predicted
        root behind the camera or beyond the scene: kept as it is, so usually all points are used; points behind
        the camera: voxels without image features; no voxel in contact: all contact points are padding.

        Args:
            batch: images, cameras and scene points.
            targets_root: true pelvis, camera frame, metres; in training mode replaces anchors that are far off.
            generator: source of every random draw; a fixed seed when None.

        Raises:
            BatchError: for what :func:`check_batch` refuses; or, in evaluation mode, if a root is not finite.
        """
        check_batch(batch)
        region = self.behaviour.region
        maps = self.root_net(normalize_image(batch.image))
        with float32_region(batch.image.device):
            root_map, initial_root = decode_root(maps.heatmap, maps.scaled_depth, batch.camera)
            if not self.training:  # a training that diverges is reported with its epoch and step
                require_finite(batch.keys, initial_root=initial_root)
            generator = generator or torch.Generator().manual_seed(0)
            anchor = initial_root
            if self.training and targets_root is not None:
                anchor = substitute_far_roots(
                    anchor, targets_root, region.substitution_distance, region.root_noise_std, generator
                )
            voxels = voxelize(crop_to_region(batch.scene, anchor, region), self.voxel_size)
            centers = voxels.centers
            sampled = sample_maps(maps.features, centers, batch.camera)
            features = torch.cat([anchor[centers.sample] - centers.xyz, sampled], dim=1)  # [voxels, 3 + channels]
        out = self.contact_net(voxels.coords, features)  # [voxels, 12]
        confidence, offset, part_logits = out[:, 0], out[:, 1:4], out[:, 4:]
        part = part_logits.argmax(dim=1) if len(out) else out.new_zeros(0, dtype=torch.long)
        return RootContact(
            heatmap=maps.heatmap,
            scaled_depth=maps.scaled_depth,
            part_maps=maps.part_maps,
            root_map=root_map,
            initial_root=initial_root,
            anchor_root=anchor,
            points=voxels.points,
            voxel_of_point=voxels.voxel_of_point,
            voxel_centers=centers,
            voxel_confidence=confidence,
            voxel_offset=offset,
            voxel_part=part_logits,
            root=vote_root(centers, offset, confidence, anchor, self.behaviour.vote),
            contacts=select_contacts(
                voxels.points,
                part[voxels.voxel_of_point],
                len(anchor),
                self.max_contacts,
                self.behaviour.contact_sampling,
                generator,
            ),
        )
