"""What travels in memory: cameras, packed points, samples, batches and the network's outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

_T = TypeVar("_T")


def move_to(value: _T, device: torch.device | str) -> _T:
    """Copy a (nested) dataclass of tensors to a device; non-tensors stay as they are."""
    changes = {}
    for field in fields(value):  # type: ignore[arg-type]  # every caller passes one of the classes below
        item = getattr(value, field.name)
        if isinstance(item, Tensor):
            changes[field.name] = item.to(device)
        elif hasattr(item, "__dataclass_fields__"):
            changes[field.name] = move_to(item, device)
    return replace(value, **changes)  # type: ignore[type-var]


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """Cameras of a batch and the square crop each image was cut to.

    Attributes:
        intrinsics: K of the full-resolution image, pixels (no distortion, zero skew).
        camera_from_world: rigid transform, metres; ``x_camera = camera_from_world @ x_world``.
        crop_box: (left, top, right, bottom) of the square crop, full-image pixels; the box corners are the
            *centres* of the crop's first and last pixel (align-corners convention of the reference).
    """

    intrinsics: Float[Tensor, "batch 3 3"]
    camera_from_world: Float[Tensor, "batch 4 4"]
    crop_box: Float[Tensor, "batch 4"]

    @property
    def crop_width(self) -> Float[Tensor, " batch"]:
        """Side of the crop box in full-image pixels."""
        return self.crop_box[:, 2] - self.crop_box[:, 0]

    @property
    def depth_scale(self) -> Float[Tensor, " batch"]:
        """Crop width / focal length: ``scaled_depth = depth * depth_scale`` (method 4, ``Z~ = Z * w / f``)."""
        return self.crop_width / self.intrinsics[:, 0, 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedPoints:
    """Points of all samples end to end; point ``i`` belongs to ``sample[i]``. Metres; the frame is the field's."""

    xyz: Float[Tensor, "points 3"]
    sample: Int[Tensor, " points"]

    def ends(self, batch_size: int) -> list[int]:
        """Points of sample ``i`` are ``ends[i] .. ends[i + 1] - 1``; only for points sorted by sample."""
        wanted = torch.arange(batch_size + 1, device=self.sample.device)
        found: list[int] = torch.searchsorted(self.sample.contiguous(), wanted).tolist()
        return found


def rank_in_sample(sample: Int[Tensor, " points"], batch_size: int) -> Int[Tensor, " points"]:
    """Number the points of each sample from 0; the points must be sorted by sample."""
    count = torch.bincount(sample, minlength=batch_size)
    return torch.arange(len(sample), device=sample.device) - (count.cumsum(0) - count)[sample]


def pack_points(clouds: Sequence[Float[Tensor, "_n 3"]]) -> PackedPoints:
    """Put one cloud per sample end to end, in order."""
    lengths = torch.tensor([len(cloud) for cloud in clouds], dtype=torch.long)
    sample = torch.repeat_interleave(torch.arange(len(clouds)), lengths)
    xyz = torch.cat(list(clouds)) if clouds else torch.zeros(0, 3)
    return PackedPoints(xyz=xyz, sample=sample.to(xyz.device))


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Ground truth of a batch.

    Attributes:
        vertices_camera: 6890 SMPL-topology vertices, camera frame, metres.
        vertex_contact: True where the vertex touches the scene (RICH labels).
        has_contact: False where the raw data carry no labels (PROX, uncolored RICH meshes): then
            ``vertex_contact`` is all False and means *unknown*.
    """

    vertices_camera: Float[Tensor, "batch 6890 3"]
    vertex_contact: Bool[Tensor, "batch 6890"]
    has_contact: Bool[Tensor, " batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One person-image, decoded and cropped; no batch dimension.

    Attributes:
        key: unique ``img_key``.
        image: RGB crop.
        intrinsics, camera_from_world, crop_box: as in :class:`Camera`.
        scene_key: which scene store entry the points came from.
        scene_camera: scene points inside the crop's viewing frustum, camera frame, metres.
        vertices_camera, vertex_contact, has_contact: as in :class:`Targets`; None without ground truth.
        dataset: name of its card; empty where none is known.
    """

    key: str
    image: UInt8[Tensor, "3 224 224"]
    intrinsics: Float[Tensor, "3 3"]
    camera_from_world: Float[Tensor, "4 4"]
    crop_box: Float[Tensor, " 4"]
    scene_key: str
    scene_camera: Float[Tensor, "points 3"]
    vertices_camera: Float[Tensor, "6890 3"] | None
    vertex_contact: Bool[Tensor, " 6890"] | None
    has_contact: bool
    dataset: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one step of training or inference reads.

    Attributes:
        keys: one ``img_key`` per sample.
        image: RGB in 0..1, *not* normalised (the networks normalise).
        camera: cameras and crop boxes.
        scene: scene points inside each crop's frustum, camera frame, metres.
        targets: None at inference.
        datasets: name of each sample's card, where it counts; empty: it does not.
    """

    keys: tuple[str, ...]
    image: Float[Tensor, "batch 3 height width"]
    camera: Camera
    scene: PackedPoints
    targets: Targets | None
    datasets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactPoints:
    """Scene points the body is predicted to touch, padded to a fixed count (method 6).

    Attributes:
        xyz_camera: camera frame, metres; zero where padded.
        part: part id 0..7, 0 where padded (or where no voxel was in contact).
        mask: ``part != 0``.
    """

    xyz_camera: Float[Tensor, "batch contacts 3"]
    part: Int[Tensor, "batch contacts"]
    mask: Bool[Tensor, "batch contacts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RootContact:
    """Everything the root-and-contact network predicts (method 4-6). Camera frame, metres.

    Attributes:
        heatmap: raw pelvis heat-map.
        scaled_depth: raw map of ``Z * crop_width / focal``.
        part_maps: raw 2D contact-part maps of parts 1..7.
        root_map: arg-max cell (u, v) of the heat-map.
        initial_root: un-projected root r.
        anchor_root: the root the region of interest was built round: ``initial_root``, or in training its
            noisy ground-truth substitute.
        points: scene points near the root; ``sample`` says whose.
        voxel_of_point: which of the voxels each lies in.
        voxel_centers: centres of the occupied voxels near the root; ``sample`` says whose.
        voxel_confidence: raw logit per voxel.
        voxel_offset: predicted vector from centre to root.
        voxel_part: logits of the 8 part ids.
        root: refined root r*.
        contacts: contact points selected from the scene.
    """

    heatmap: Float[Tensor, "batch 56 56"]
    scaled_depth: Float[Tensor, "batch 56 56"]
    part_maps: Float[Tensor, "batch 7 56 56"]
    root_map: Int[Tensor, "batch 2"]
    initial_root: Float[Tensor, "batch 3"]
    anchor_root: Float[Tensor, "batch 3"]
    points: PackedPoints
    voxel_of_point: Int[Tensor, " points"]
    voxel_centers: PackedPoints
    voxel_confidence: Float[Tensor, " voxels"]
    voxel_offset: Float[Tensor, "voxels 3"]
    voxel_part: Float[Tensor, "voxels 8"]
    root: Float[Tensor, "batch 3"]
    contacts: ContactPoints


@dataclass(frozen=True, slots=True, kw_only=True)
class MeshPrediction:
    """Output of the mesh network (method 7). Metres, camera axes.

    Attributes:
        root: the root the mesh hangs on (refined root, or its training substitute), camera frame.
        vertices_anchor: origin at ``root``.
        vertices_camera: ``vertices_anchor + root``.
        contacts_anchor: reconstructed contact points, origin at ``root``; auxiliary.
        contacts_input_anchor: the contact points fed in, origin at ``root``.
        contacts_mask: which of them are real.
    """

    root: Float[Tensor, "batch 3"]
    vertices_anchor: Float[Tensor, "batch 6890 3"]
    vertices_camera: Float[Tensor, "batch 6890 3"]
    contacts_anchor: Float[Tensor, "batch contacts 3"]
    contacts_input_anchor: Float[Tensor, "batch contacts 3"]
    contacts_mask: Bool[Tensor, "batch contacts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RootContactTargets:
    """What the root-and-contact network should have said (method 8.1). Camera frame, metres.

    Attributes:
        root: H36M pelvis of the true mesh.
        root_map: its cell (u, v) of the 56-grid, clamped to 1..54 so that the 3x3 stamp fits.
        heatmap: zero but for the stamp.
        scaled_depth: depth x crop width / focal length of the root.
        part_maps: 2D maps of the contact parts 1..7, values 0..1.
        voxel_part: part id 0..7 of each predicted voxel, 0 = no contact.
        voxel_offset: vector from each voxel's centre to the root.
    """

    root: Float[Tensor, "batch 3"]
    root_map: Int[Tensor, "batch 2"]
    heatmap: Float[Tensor, "batch 56 56"]
    scaled_depth: Float[Tensor, " batch"]
    part_maps: Float[Tensor, "batch 7 56 56"]
    voxel_part: Int[Tensor, " voxels"]
    voxel_offset: Float[Tensor, "voxels 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyTopology:
    """The tables that SMPL topology brings along; built by the stage ``bodies``.

    Attributes:
        template_joints: 14 H36M joints of the T-posed neutral body, global_orient pi about x (upright in a y-down
            camera), origin at its own H36M pelvis, metres.
        template_coarse: its 431 coarse vertices, same frame.
        coarse_to_full: which of the 6890 vertices each coarse vertex is.
        joint_regressor: H36M regressor (17 joints, row 0 the pelvis).
        part_full, part_coarse: contact part id 0..7 of each vertex.
        faces: triangles of the 6890-vertex mesh.
    """

    template_joints: Float[Tensor, "14 3"]
    template_coarse: Float[Tensor, "431 3"]
    coarse_to_full: Int[Tensor, " 431"]
    joint_regressor: Float[Tensor, "17 6890"]
    part_full: Int[Tensor, " 6890"]
    part_coarse: Int[Tensor, " 431"]
    faces: Int[Tensor, "faces 3"]
