"""What the root-and-contact network should predict, computed from the true mesh and the scene (method 8.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sahmr.dimensions import MAP_SIZE, NUM_PARTS
from sahmr.geometry.camera import image_to_unit, project
from sahmr.geometry.nearest import nearest_in_sample
from sahmr.structures import Batch, BodyTopology, Camera, PackedPoints, RootContactTargets, Targets

CONTACT_DISTANCE_M = 0.07  # reference: a scene point nearer than this to a contact-prone vertex has its part
_JITTER = 0.3  # of the scene's voxel pitch; reference, training only
_PREFILTER_M = 0.12  # scene points farther than this from the box of the contact vertices are not jittered
_Groups = list[tuple[Int[Tensor, " 6890"], Bool[Tensor, " batch"]]]  # part ids, and which samples they are of
_STAMP = ((0.25, 0.5, 0.25), (0.5, 1.0, 0.5), (0.25, 0.5, 0.25))


def make_targets(
    batch: Batch,
    voxel_centers: PackedPoints,
    topology: BodyTopology,
    *,
    pitch_m: float = 0.02,
    ignored_parts: Sequence[tuple[int, ...]] = (),
    generator: torch.Generator | None = None,
) -> RootContactTargets:
    """All targets of one batch.

    Args:
        batch: with ``targets``.
        voxel_centers: the voxels the network predicted for, camera frame, metres.
        topology: joint regressor and part ids.
        pitch_m: spacing of the scene's points; the scale of the training jitter.
        ignored_parts: of each sample the part ids that never count as contact-prone; empty: every part counts. The
            reference leaves out the hands (3, 4) on PROX.
        generator: jitters the points of the 2D part maps by U(-0.3, 0.3) of the pitch per axis; None: no jitter.

    Raises:
        ValueError: if the batch carries no ground truth.
    """
    if batch.targets is None:
        raise ValueError("make_targets needs a batch with ground truth, got targets=None")
    vertices = batch.targets.vertices_camera
    root = torch.einsum("v,bvc->bc", topology.joint_regressor[0], vertices)  # [batch, 3]
    root_map = _root_cell(root, batch.camera)
    groups = _group_parts(topology.part_full, ignored_parts, len(vertices))
    return RootContactTargets(
        root=root,
        root_map=root_map,
        heatmap=stamp_cells(root_map),
        scaled_depth=root[:, 2] * batch.camera.depth_scale,
        part_maps=part_maps(batch, vertices, groups, pitch_m=pitch_m, generator=generator),
        voxel_part=_label_groups(voxel_centers, vertices, groups),
        voxel_offset=root[voxel_centers.sample] - voxel_centers.xyz,
    )


def require_targets(batch: Batch) -> Targets:
    """The batch's ground truth.

    Raises:
        ValueError: if it has none.
    """
    if batch.targets is None:
        raise ValueError(f"training needs ground truth, the batch starting at {batch.keys[0]!r} has none")
    return batch.targets


def target_pelvis(batch: Batch, topology: BodyTopology) -> Float[Tensor, "batch 3"]:
    """H36M pelvis of the true meshes, camera frame, metres."""
    return torch.einsum("v,bvc->bc", topology.joint_regressor[0], require_targets(batch).vertices_camera)


def stamp_cells(cell: Int[Tensor, "batch 2"]) -> Float[Tensor, "batch 56 56"]:
    """Heat-maps that are zero but for the 3x3 stamp round one cell (u, v), which must lie in 1..54."""
    stamp = torch.tensor(_STAMP, device=cell.device)
    heatmap = torch.zeros(len(cell), MAP_SIZE, MAP_SIZE, device=cell.device)
    near = torch.arange(-1, 2, device=cell.device)  # [3]
    row = cell[:, 1, None, None] + near[None, :, None]  # [batch, 3, 1]
    column = cell[:, 0, None, None] + near[None, None, :]  # [batch, 1, 3]
    heatmap[torch.arange(len(cell), device=cell.device)[:, None, None], row, column] = stamp
    return heatmap


def label_points(
    points: PackedPoints, vertices: Float[Tensor, "batch 6890 3"], part: Int[Tensor, " 6890"]
) -> Int[Tensor, " points"]:
    """Part id of the nearest contact-prone vertex (part != 0) if it is nearer than 0.07 m, else 0.

    Args:
        points: camera frame, metres; sorted by sample.
        vertices: true meshes, camera frame, metres.
        part: part id 0..7 of each vertex.
    """
    label = torch.zeros(len(points.xyz), dtype=torch.long, device=points.xyz.device)
    best = points.xyz.new_full((len(points.xyz),), CONTACT_DISTANCE_M)
    prone = [(part == number).nonzero()[:, 0] for number in range(1, NUM_PARTS)]
    low, high = _part_boxes(vertices, prone)  # [batch, 7, 3] each
    close = _in_box(points, low.amin(dim=1), high.amax(dim=1))
    xyz, sample = points.xyz.index_select(0, close), points.sample.index_select(0, close)
    for number, rows in enumerate(prone, start=1):
        near = _inside(xyz, low[:, number - 1].index_select(0, sample), high[:, number - 1].index_select(0, sample))
        if len(near):
            some = PackedPoints(xyz=xyz.index_select(0, near), sample=sample.index_select(0, near))
            found = nearest_in_sample(some, vertices.index_select(1, rows))
            row = close[near]
            better = found < best[row]
            best[row[better]] = found[better]
            label[row[better]] = number
    return label


def _label_groups(
    points: PackedPoints, vertices: Float[Tensor, "batch 6890 3"], groups: _Groups
) -> Int[Tensor, " points"]:
    """:func:`label_points`, each group of samples by part ids of its own."""
    if len(groups) == 1:
        return label_points(points, vertices, groups[0][0])
    label = torch.zeros(len(points.xyz), dtype=torch.long, device=points.xyz.device)
    for part, which in groups:
        row = which[points.sample].nonzero()[:, 0]
        label[row] = label_points(PackedPoints(xyz=points.xyz[row], sample=points.sample[row]), vertices, part)
    return label


def _part_boxes(
    vertices: Float[Tensor, "batch 6890 3"], prone: Sequence[Int[Tensor, " _rows"]]
) -> tuple[Float[Tensor, "batch 7 3"], Float[Tensor, "batch 7 3"]]:
    """Lowest and highest corner of the box of each part's vertices, widened by 0.07 m; of no vertices: none."""
    empty = vertices.new_full((len(vertices), 1, 3), torch.inf)
    found = [vertices[:, rows] if len(rows) else empty for rows in prone]
    low = torch.stack([some.amin(dim=1) for some in found], dim=1) - CONTACT_DISTANCE_M
    high = torch.stack([some.amax(dim=1) for some in found], dim=1)
    return low, torch.where(high == torch.inf, -torch.inf, high) + CONTACT_DISTANCE_M


def _in_box(
    points: PackedPoints, low: Float[Tensor, "batch 3"], high: Float[Tensor, "batch 3"]
) -> Int[Tensor, " inside"]:
    """Rows of the points in their sample's box. One axis first: it rules out most of a large scene's points."""
    x, sample = points.xyz[:, 0], points.sample
    first, last = low[:, 0].index_select(0, sample), high[:, 0].index_select(0, sample)
    rows = ((x >= first) & (x <= last)).nonzero()[:, 0]
    some, sample = points.xyz.index_select(0, rows), sample.index_select(0, rows)
    return rows.index_select(0, _inside(some, low.index_select(0, sample), high.index_select(0, sample)))


def _inside(
    xyz: Float[Tensor, "points 3"], low: Float[Tensor, "points 3"], high: Float[Tensor, "points 3"]
) -> Int[Tensor, " inside"]:
    """Rows of the points between their own corners."""
    x, y, z = ((xyz >= low) & (xyz <= high)).unbind(dim=1)
    return (x & y & z).nonzero()[:, 0]


def part_maps(
    batch: Batch,
    vertices: Float[Tensor, "batch 6890 3"],
    groups: _Groups,
    *,
    pitch_m: float,
    generator: torch.Generator | None,
) -> Float[Tensor, "batch 7 56 56"]:
    """Cells of the crop where scene points close to each contact part appear, blurred by the stamp, at most 1."""
    scene = batch.scene
    low, high = torch.empty_like(vertices[:, 0]), torch.empty_like(vertices[:, 0])  # [batch, 3] each
    for part, which in groups:
        prone = vertices[which][:, part > 0]
        low[which], high[which] = prone.amin(dim=1) - _PREFILTER_M, prone.amax(dim=1) + _PREFILTER_M
    close = _in_box(scene, low, high)
    xyz, sample = scene.xyz.index_select(0, close), scene.sample.index_select(0, close)
    if generator is not None:
        noise = torch.rand(xyz.shape, generator=generator, device=generator.device).to(xyz.device)
        xyz = xyz + (2 * noise - 1) * _JITTER * pitch_m
    label = _label_groups(PackedPoints(xyz=xyz, sample=sample), vertices, groups)
    touching = label > 0
    xyz, sample, label = xyz[touching], sample[touching], label[touching]
    unit = image_to_unit(project(xyz, batch.camera.intrinsics[sample]), batch.camera.crop_box[sample])
    cell = (unit * (MAP_SIZE - 1)).round().long()  # [touching, 2]
    shown = ((cell >= 0) & (cell < MAP_SIZE)).all(dim=1)  # the jitter may push a point over the crop's edge
    maps = xyz.new_zeros(len(vertices), NUM_PARTS - 1, MAP_SIZE, MAP_SIZE)
    maps[sample[shown], label[shown] - 1, cell[shown, 1], cell[shown, 0]] = 1.0
    stamp = maps.new_tensor(_STAMP).expand(NUM_PARTS - 1, 1, 3, 3)
    return torch.nn.functional.conv2d(maps, stamp, padding=1, groups=NUM_PARTS - 1).clamp(max=1.0)


def _root_cell(root: Float[Tensor, "batch 3"], camera: Camera) -> Int[Tensor, "batch 2"]:
    """Cell (u, v) of the root in the 56-grid, clamped so that its 3x3 neighbourhood exists."""
    unit = image_to_unit(project(root, camera.intrinsics), camera.crop_box)
    return (unit * (MAP_SIZE - 1)).round().long().clamp(1, MAP_SIZE - 2)


def _group_parts(part: Int[Tensor, " 6890"], ignored: Sequence[tuple[int, ...]], count: int) -> _Groups:
    """Samples that leave out the same parts, together."""
    if ignored and len(ignored) != count:
        raise ValueError(f"ignored_parts of {len(ignored)} samples, the batch has {count}; give them for each or none")
    each = list(ignored) or [()] * count
    return [
        (_without(part, kind), torch.tensor([one == kind for one in each], dtype=torch.bool, device=part.device))
        for kind in dict.fromkeys(each)
    ] or [(part, torch.zeros(0, dtype=torch.bool, device=part.device))]


def _without(part: Int[Tensor, " 6890"], ignored: tuple[int, ...]) -> Int[Tensor, " 6890"]:
    """Part ids with some of them set to 0."""
    if not ignored:
        return part
    return torch.where(torch.isin(part, torch.tensor(ignored, device=part.device)), 0, part)
