"""The skin of the made-up person: one implicit surface around a T-pose skeleton.

Frame of everything here: the body frame of the SMPL family, y up, facing +z, +x is the person's left, metres.
The surface is symmetric in x, so only the left half is described. The numbers were chosen by eye.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Array = NDArray[np.float64]
Triple = tuple[float, float, float]

SOLE_Y = -1.172  # the floor under a standing person whose pelvis joint is at y = -0.22


@dataclass(frozen=True, slots=True, kw_only=True)
class Tube:
    """A limb: elliptic cross-sections strung along a straight axis, rounded at both ends.

    ``stations`` are rows of (fraction of the axis, radius along ``side``, radius across, shift across), metres.
    """

    start: Triple
    end: Triple
    stations: tuple[tuple[float, float, float, float], ...]
    side: Triple = (1.0, 0.0, 0.0)
    blend: float = 0.03

    def distance(self, points: Array) -> Array:
        """Approximate signed distance [n] of points [n, 3], negative inside."""
        start, along = np.array(self.start), np.array(self.end) - np.array(self.start)
        length = float(np.linalg.norm(along))
        axis = along / length
        side = np.array(self.side) - axis * (np.array(self.side) @ axis)
        side /= np.linalg.norm(side)
        across = np.cross(axis, side)
        local = points - start
        height = local @ axis
        station = np.clip(height / length, 0.0, 1.0)
        table = np.array(self.stations)
        radius_side, radius_across, shift = PchipInterpolator(table[:, 0], table[:, 1:])(station).T
        smaller = np.minimum(radius_side, radius_across)
        over = (height - station * length) / smaller  # [n]; beyond the rounded ends
        q = np.sqrt((local @ side / radius_side) ** 2 + ((local @ across - shift) / radius_across) ** 2 + over**2)
        return np.asarray((q - 1.0) * smaller)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ellipsoid:
    """An axis-aligned ellipsoid; ``carve`` cuts it out of the body instead of adding it."""

    center: Triple
    radii: Triple
    blend: float = 0.03
    carve: bool = False

    def distance(self, points: Array) -> Array:
        """Approximate signed distance [n] of points [n, 3], negative inside."""
        local = (points - np.array(self.center)) / np.array(self.radii)
        norm = np.sqrt((local**2).sum(1))  # [n]; 1 on the surface
        slope = np.sqrt(((local / np.array(self.radii)) ** 2).sum(1))
        return np.asarray(norm * (norm - 1.0) / np.maximum(slope, 1e-9))  # Quilez, first-order distance to an ellipsoid


def _round(*stations: tuple[float, float]) -> tuple[tuple[float, float, float, float], ...]:
    """Circular cross-sections from (fraction, radius) pairs."""
    return tuple((t, r, r, 0.0) for t, r in stations)


def _torso() -> list[Tube | Ellipsoid]:
    """Pelvis, belly, chest and neck. Side is x; ``across`` of an upward axis is -z, hence the negated shifts."""
    profile = (  # height y, half width, half depth, centre z
        (-0.335, 0.140, 0.098, -0.008), (-0.27, 0.162, 0.112, -0.012), (-0.17, 0.152, 0.102, 0.000),
        (-0.06, 0.134, 0.092, 0.006), (0.04, 0.143, 0.101, 0.004), (0.13, 0.158, 0.106, -0.002),
        (0.20, 0.152, 0.094, -0.012), (0.255, 0.100, 0.066, -0.020),
    )  # fmt: skip
    low, high = profile[0][0], profile[-1][0]
    stations = tuple(((y - low) / (high - low), a, b, -z) for y, a, b, z in profile)
    return [
        Tube(start=(0.0, low, 0.0), end=(0.0, high, 0.0), stations=stations),
        Ellipsoid(center=(0.076, -0.335, -0.060), radii=(0.082, 0.085, 0.072), blend=0.04),  # seat
        Ellipsoid(center=(0.070, 0.140, 0.062), radii=(0.075, 0.055, 0.034), blend=0.05),  # chest muscle
        Ellipsoid(center=(0.075, 0.170, -0.080), radii=(0.060, 0.085, 0.030), blend=0.05),  # shoulder blade
        Tube(start=(0.0, 0.24, -0.022), end=(0.0, 0.385, 0.006), stations=_round((0, 0.062), (0.5, 0.053), (1, 0.052))),
        Tube(  # slope from the neck to the shoulder
            start=(0.02, 0.262, -0.025), end=(0.15, 0.238, -0.018), side=(0.0, 1.0, 0.0), blend=0.04,
            stations=((0, 0.045, 0.050, 0), (1, 0.042, 0.050, 0)),
        ),
    ]  # fmt: skip


def _arm() -> list[Tube | Ellipsoid]:
    """Shoulder to fingertips; side is y (thin direction of the hand), ``across`` of a +x axis is then +z."""
    up = (0.0, 1.0, 0.0)
    parts: list[Tube | Ellipsoid] = [
        Ellipsoid(center=(0.180, 0.226, -0.014), radii=(0.062, 0.058, 0.056), blend=0.05),
        Tube(
            start=(0.18, 0.226, -0.014), end=(0.43, 0.22, -0.03), side=up, blend=0.04,
            stations=((0, 0.054, 0.052, 0), (0.45, 0.049, 0.047, 0.003), (0.8, 0.041, 0.041, 0), (1, 0.039, 0.038, 0)),
        ),
        Tube(
            start=(0.43, 0.22, -0.03), end=(0.69, 0.22, -0.03), side=up,
            stations=((0, 0.038, 0.038, 0), (0.25, 0.041, 0.044, 0), (0.7, 0.030, 0.034, 0), (1, 0.022, 0.030, 0)),
        ),
        Tube(  # palm
            start=(0.69, 0.219, -0.03), end=(0.775, 0.217, -0.028), side=up, blend=0.02,
            stations=((0, 0.020, 0.029, 0), (0.5, 0.018, 0.040, 0.002), (1, 0.013, 0.041, 0.0)),
        ),
        Tube(  # thumb
            start=(0.706, 0.212, -0.004), end=(0.757, 0.200, 0.050), side=up, blend=0.015,
            stations=_round((0, 0.017), (0.6, 0.0125), (1, 0.0105)),
        ),
    ]  # fmt: skip
    fingers = ((0.0, 0.006, 0.864), (-0.0205, 0.001, 0.874), (-0.041, -0.003, 0.866), (-0.0605, -0.009, 0.844))
    for z, spread, tip in fingers:
        stations = ((0.0, 0.0105, 0.0105, 0.0), (1.0, 0.0082, 0.0085, 0.0))
        finger = Tube(start=(0.77, 0.217, z), end=(tip, 0.212, z + spread), side=up, blend=0.004, stations=stations)
        parts.append(finger)
    return parts


def _leg() -> list[Tube | Ellipsoid]:
    """Hip to toes; side is x, ``across`` of a downward axis is then +z."""
    return [
        Tube(
            start=(0.088, -0.34, -0.004), end=(0.100, -0.69, 0.0), blend=0.045,
            stations=((0, 0.083, 0.090, 0), (0.35, 0.077, 0.083, 0.004), (0.75, 0.061, 0.065, 0.003),
                      (1, 0.052, 0.056, 0.004)),
        ),
        Tube(
            start=(0.100, -0.69, 0.0), end=(0.092, -1.09, -0.03),
            stations=((0, 0.051, 0.055, 0.004), (0.3, 0.053, 0.058, -0.014), (0.6, 0.044, 0.048, -0.008),
                      (0.85, 0.034, 0.039, 0), (1, 0.033, 0.039, 0.002)),
        ),
        Ellipsoid(center=(0.100, -0.688, 0.040), radii=(0.030, 0.038, 0.020), blend=0.03),  # kneecap
        Ellipsoid(center=(0.090, -1.137, -0.052), radii=(0.033, 0.040, 0.034), blend=0.03),  # heel
        Tube(
            start=(0.091, -1.118, -0.03), end=(0.108, -1.151, 0.125), blend=0.03,
            stations=((0, 0.032, 0.042, 0), (0.45, 0.037, 0.034, 0), (0.8, 0.046, 0.022, 0), (1, 0.040, 0.017, 0)),
        ),
    ]  # fmt: skip


def _head() -> list[Tube | Ellipsoid]:
    """Skull, face, nose, lips, ears and carved eye sockets."""
    return [
        Ellipsoid(center=(0.0, 0.462, 0.006), radii=(0.076, 0.090, 0.098), blend=0.03),
        Ellipsoid(center=(0.0, 0.412, 0.044), radii=(0.060, 0.078, 0.060), blend=0.04),
        Ellipsoid(center=(0.0, 0.352, 0.074), radii=(0.030, 0.022, 0.026), blend=0.035),  # chin
        Ellipsoid(center=(0.040, 0.374, 0.026), radii=(0.014, 0.022, 0.028), blend=0.03),  # jaw corner
        Ellipsoid(center=(0.030, 0.463, 0.089), radii=(0.030, 0.009, 0.014), blend=0.018),  # brow
        Ellipsoid(center=(0.031, 0.443, 0.108), radii=(0.018, 0.012, 0.014), blend=0.016, carve=True),
        Ellipsoid(center=(0.031, 0.443, 0.090), radii=(0.014, 0.010, 0.010), blend=0.006),  # eyeball
        Tube(
            start=(0.0, 0.452, 0.098), end=(0.0, 0.412, 0.120), blend=0.014,
            stations=((0, 0.007, 0.007, 0), (0.8, 0.0135, 0.012, 0), (1, 0.014, 0.011, 0)),
        ),
        Ellipsoid(center=(0.0, 0.379, 0.1005), radii=(0.023, 0.010, 0.008), blend=0.010),  # lips
        Ellipsoid(center=(0.0, 0.3785, 0.112), radii=(0.020, 0.002, 0.006), blend=0.006, carve=True),
        Ellipsoid(center=(0.079, 0.432, -0.004), radii=(0.009, 0.031, 0.019), blend=0.010),  # ear
    ]  # fmt: skip


@cache
def _parts() -> tuple[Tube | Ellipsoid, ...]:
    return tuple(_torso() + _leg() + _head() + _arm())


def _smooth_minimum(a: Array, b: Array, blend: float) -> Array:
    # Polynomial smooth minimum (Quilez): two surfaces melt into each other within ``blend`` of their meeting line.
    overlap = np.maximum(blend - np.abs(a - b), 0.0) / blend
    return np.asarray(np.minimum(a, b) - overlap**2 * blend / 4)


def body_distance(points: Array) -> Array:
    """Approximate signed distance [n] to the skin for points [n, 3]; negative inside, metres.

    Exact only near the surface, which is all that polygonising and projecting need.
    """
    mirrored = np.stack([np.abs(points[:, 0]), points[:, 1], points[:, 2]], 1)
    total = np.full(len(points), 1.0)
    for part in _parts():
        near = _near(part, mirrored)
        distance = part.distance(mirrored[near])
        if isinstance(part, Ellipsoid) and part.carve:
            total[near] = -_smooth_minimum(-total[near], distance, part.blend)
        else:
            total[near] = _smooth_minimum(total[near], distance, part.blend)
    floor = SOLE_Y - points[:, 1]
    return np.asarray(-_smooth_minimum(-total, -floor, 0.012))


def _near(part: Tube | Ellipsoid, points: Array) -> NDArray[np.bool_]:
    """Which points lie close enough to a part for it to matter (a box with 6 cm to spare)."""
    corners: Sequence[Triple]
    if isinstance(part, Ellipsoid):
        corners, reach = (part.center,), max(part.radii)
    else:
        corners, reach = (part.start, part.end), max(max(a, b) + abs(c) for _, a, b, c in part.stations)
    low, high = np.min(corners, axis=0) - reach - 0.06, np.max(corners, axis=0) + reach + 0.06
    return np.asarray(((points >= low) & (points <= high)).all(1))


def project(points: Array, steps: int = 3) -> Array:
    """Move points [n, 3] onto the skin along its gradient."""
    for _ in range(steps):
        normal = body_normals(points)
        points = points - normal * np.clip(body_distance(points), -0.01, 0.01)[:, None]
    return points


def body_normals(points: Array, step: float = 5e-4) -> Array:
    """Outward directions [n, 3] of the distance field, divided by its slope (length 1 where it is exact)."""
    # Four samples at the corners of a tetrahedron give the gradient, where central differences take six (Quilez).
    tetra = np.array([[1.0, -1.0, -1.0], [-1.0, -1.0, 1.0], [-1.0, 1.0, -1.0], [1.0, 1.0, 1.0]])
    values = [body_distance(points + step * corner) for corner in tetra]  # [n] each
    gradient = sum(corner * value[:, None] for corner, value in zip(tetra, values, strict=True)) / (4 * step)
    squared = (gradient**2).sum(1, keepdims=True)
    return np.asarray(gradient / np.maximum(squared, 0.05))
