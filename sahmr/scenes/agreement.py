"""Whether a distance field and a scan are of the same surface, in the same unit, order and place.

A field says where the surface is (its zero), how far away everything is, and which side is in front; a scan says the
same by its voxels and its faces. Where they contradict each other, the field is tried in other units, orders, places
and signs, and the message names the one that would fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from sahmr.geometry.distance_field import sample_distance
from sahmr.scenes.section import FieldLimits as FieldLimits  # what callers pass
from sahmr.scenes.signed_distance import DistanceGrid
from sahmr.scenes.store import Scene
from sahmr.scenes.voxels import cross, dot
from sahmr.settings import Share
from sahmr.units import METRES

_SAMPLES = 20_000  # voxels, and faces, looked at; shares are then exact within half a percent
_SLOPE_QUANTILE = 0.75  # of the faces: at corners and thin things the distance grows more slowly
_GUESS_SAMPLES = 2_000  # of them, for each of some twenty guesses
_LEAST_SHIFT_STEPS, _SHIFT_ROUNDS = 0.5, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """What of a scan is compared. World frame, metres.

    Attributes:
        voxels: centres of some of its voxels.
        pitch_m: their side.
        centers, normals: of some of its faces; unit length.
    """

    voxels: Float[ndarray, "voxels 3"]
    pitch_m: float
    centers: Float[ndarray, "faces 3"]
    normals: Float[ndarray, "faces 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Measures of :class:`FieldLimits`, and the median distance between voxels and zero, metres."""

    inside_share: Share
    near_share: Share
    front_share: Share
    slope: float
    off_m: float

    def agrees(self, limits: FieldLimits) -> bool:
        """Whether the field is that of the scan."""
        shares = ("inside_share", "near_share", "front_share")
        in_range = limits.slope[0] <= self.slope <= limits.slope[1]
        return in_range and all(getattr(self, name) >= getattr(limits, name) for name in shares)


def surface_of(triangles: Float[ndarray, "faces 3 3"], voxels: Float[ndarray, "voxels 3"], pitch_m: float) -> Surface:
    """Some faces and voxels, evenly spread over their lists. Flat faces have no front and take no part."""
    some = triangles[:: max(1, len(triangles) // _SAMPLES)]
    normals = cross(some[:, 1] - some[:, 0], some[:, 2] - some[:, 0])
    length = np.sqrt(dot(normals, normals))
    has_area = length > 0
    return Surface(
        voxels=voxels[:: max(1, len(voxels) // _SAMPLES)].astype(np.float64),
        pitch_m=pitch_m,
        centers=some[has_area].mean(axis=1),
        normals=normals[has_area] / length[has_area, None],
    )


def distance_at(grid: DistanceGrid, points: Float[ndarray, "n 3"]) -> Float[ndarray, " n"]:
    """The field's distances, metres; outside its box those of the border."""
    values = torch.from_numpy(np.ascontiguousarray(grid.values))
    lower, upper = (torch.from_numpy(end).float() for end in (grid.lower, grid.upper))
    found: Float[ndarray, " n"] = sample_distance(values, lower, upper, torch.from_numpy(points).float()).numpy()
    return found


def compare(grid: DistanceGrid, surface: Surface) -> Fit:
    """How well a field and a scan agree; see :class:`FieldLimits`."""
    spacing = grid.spacing_m
    is_inside = ((surface.voxels >= grid.lower - spacing) & (surface.voxels <= grid.upper + spacing)).all(axis=1)
    off = np.abs(distance_at(grid, surface.voxels))
    # Half a cell's shadow along the normal: as little as the grid can tell apart, or thin things fall between.
    reach = (np.abs(surface.normals) * spacing).sum(axis=1) + surface.pitch_m  # [faces]
    shift = surface.normals * reach[:, None]
    rise = distance_at(grid, surface.centers + shift) - distance_at(grid, surface.centers - shift)
    slope = rise / (2 * reach)
    is_near = (off <= tolerance_m(grid, surface.pitch_m)) & is_inside
    return Fit(
        inside_share=float(is_inside.mean()),
        near_share=float(is_near.mean()),
        front_share=float((slope > 0).mean()) if len(slope) else 1.0,
        slope=float(np.quantile(np.abs(slope), _SLOPE_QUANTILE)) if len(slope) else 1.0,
        off_m=float(np.median(off)),
    )


def tolerance_m(grid: DistanceGrid, pitch_m: float) -> float:
    """How far a voxel of the surface may be from the field's zero: one grid step and one voxel."""
    return float(grid.spacing_m.max()) + pitch_m


def describe(fit: Fit, grid: DistanceGrid, surface: Surface, limits: FieldLimits) -> str:
    """Everything about a fit that the limits do not allow."""
    told = []
    if fit.inside_share < limits.inside_share:
        low, high = surface.voxels.min(axis=0), surface.voxels.max(axis=0)
        told.append(
            f"its min and max, {_corner(grid.lower)} to {_corner(grid.upper)}, hold {fit.inside_share:.0%} of the scan "
            f"at {_corner(low)} to {_corner(high)} (at least {limits.inside_share:.0%})"
        )
    if fit.near_share < limits.near_share:
        told.append(
            f"{fit.near_share:.0%} of the scan's voxels are within {tolerance_m(grid, surface.pitch_m):.2g} m of its "
            f"zero (at least {limits.near_share:.0%}), in the median they are {fit.off_m:.2g} m away"
        )
    if not limits.slope[0] <= fit.slope <= limits.slope[1]:
        told.append(f"its distances grow by {fit.slope:.3g} m per metre ({limits.slope[0]:g} to {limits.slope[1]:g})")
    if fit.front_share < limits.front_share:
        told.append(
            f"{fit.front_share:.0%} of the scan's faces have their front on its larger side (at least "
            f"{limits.front_share:.0%})"
        )
    return "; ".join(told)


def guess(grid: DistanceGrid, surface: Surface, limits: FieldLimits) -> str | None:
    """What the field looks like: the first of the usual mistakes that, undone, makes it fit; None if none does."""
    if not len(surface.centers):
        return None
    if grid.values.min() >= 0:
        return "it holds no negative distance: which side is in front was lost"
    few = replace(
        surface,
        voxels=surface.voxels[:: _SAMPLES // _GUESS_SAMPLES],
        centers=surface.centers[:: _SAMPLES // _GUESS_SAMPLES],
        normals=surface.normals[:: _SAMPLES // _GUESS_SAMPLES],
    )
    is_scaled = not limits.slope[0] <= compare(grid, few).slope <= limits.slope[1]
    for what, changed in (*_other_units(grid, is_scaled), *_other_orders(grid)):
        if compare(changed, few).agrees(limits):
            return what
    shift = _shift(grid, few)
    moved = replace(grid, lower=grid.lower + shift, upper=grid.upper + shift)
    is_far = np.abs(shift).max() > _LEAST_SHIFT_STEPS * grid.spacing_m.max()
    return f"as if shifted by {_corner(-shift)} m" if is_far and compare(moved, few).agrees(limits) else None


def _other_units(grid: DistanceGrid, is_scaled: bool) -> Iterator[tuple[str, DistanceGrid]]:
    """What is in another unit, and the field in metres.

    Args:
        grid: as shipped.
        is_scaled: whether its distances grow too fast or too slowly to be metres.
    """
    for unit, metres in METRES.items():
        nearer, farther = (replace(grid, values=grid.values * np.float32(by)) for by in (metres, 1 / metres))
        if is_scaled:
            yield f"its distances are as if in {unit}", nearer
        lower, upper = grid.lower * metres, grid.upper * metres
        yield f"all of it is as if in {unit}", replace(nearer, lower=lower, upper=upper)
        yield f"its min and max are as if in {unit}", replace(grid, lower=lower, upper=upper)
        lower, upper = grid.lower / metres, grid.upper / metres
        yield f"the scan is as if in {unit}", replace(farther, lower=lower, upper=upper)


def _other_orders(grid: DistanceGrid) -> Iterator[tuple[str, DistanceGrid]]:
    """Sign and axes: what is wrong, and the field without it."""
    yield "its sign is inverted, or the scan's faces are inside out", replace(grid, values=-grid.values)
    if len(set(grid.values.shape)) == 1:
        for axes in list(permutations(range(3)))[1:]:
            order = "".join(f"[{'xyz'[axes.index(axis)]}]" for axis in range(3))
            yield f"it fits as {order}, not [x][y][z]", replace(grid, values=grid.values.transpose(axes))
    for axis, name in enumerate("xyz"):
        yield f"its {name} axis runs backwards", replace(grid, values=np.flip(grid.values, axis))


def _shift(grid: DistanceGrid, surface: Surface) -> Float[ndarray, "3"]:
    """How far the field must be moved for its zero to meet the voxels: Gauss-Newton, each round the nearer half."""
    shift = np.zeros(3)
    step = grid.spacing_m
    for _ in range(_SHIFT_ROUNDS):
        places = surface.voxels - shift
        off = distance_at(grid, places)
        ends = [np.eye(3)[axis] * step for axis in range(3)]
        slope = np.stack(
            [(distance_at(grid, places + end) - distance_at(grid, places - end)) / (2 * end.sum()) for end in ends], 1
        )  # [voxels, 3]
        kept = np.abs(off) <= np.quantile(np.abs(off), 0.9)
        normal = np.einsum("ni,nj->ij", slope[kept], slope[kept]) + 1e-6 * np.eye(3)
        shift = shift + np.linalg.solve(normal, np.einsum("ni,n->i", slope[kept], off[kept]))
    return np.round(shift, 3)


def compare_stored(scene: Scene, limits: FieldLimits) -> str | None:
    """Compare a stored field with the voxels beside it; None if they agree. A wrong sign cannot be seen here.

    Args:
        scene: as the store has it.
        limits: how far they may differ.

    Returns:
        What is found, and what the field looks like.
    """
    grid = DistanceGrid(
        values=scene.sdf.numpy(),
        lower=scene.sdf_min.numpy().astype(np.float64),
        upper=scene.sdf_max.numpy().astype(np.float64),
    )
    return compare_points(grid, scene.points.numpy(), float(scene.attributes["voxel_pitch_m"]), limits)


def compare_points(
    grid: DistanceGrid, points: Float[ndarray, "points 3"], pitch_m: float, limits: FieldLimits
) -> str | None:
    """Compare a field with voxels that came without faces; None if they agree. A wrong sign cannot be seen here.

    Args:
        grid: the field.
        points: centres of the voxels, metres, the field's frame.
        pitch_m: their side.
        limits: how far they may differ.

    Returns:
        What is found, and what the field looks like.
    """
    some = points[:: max(1, len(points) // _GUESS_SAMPLES)].astype(np.float64)
    ends = [np.eye(3)[axis] * grid.spacing_m for axis in range(3)]
    slope = np.stack([distance_at(grid, some + end) - distance_at(grid, some - end) for end in ends], 1) / (
        2 * grid.spacing_m
    )  # [voxels, 3]; stands in for the normals of faces, which nobody has
    length = np.sqrt(dot(slope, slope))
    kept = length > 0
    surface = Surface(
        voxels=some,
        pitch_m=pitch_m,
        centers=some[kept],
        normals=slope[kept] / length[kept, None],
    )
    limits = replace(limits, front_share=0.0)
    fit = compare(grid, surface)
    if fit.agrees(limits):
        return None
    looks = guess(grid, surface, limits)
    return f"{describe(fit, grid, surface, limits)}{'; ' if looks else ''}{looks or ''}"


def _corner(point: Float[ndarray, "3"]) -> str:
    return f"({', '.join(f'{value:.3g}' for value in point)})"
