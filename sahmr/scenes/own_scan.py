"""A scan of any format in metres, with its up axis: both are detected, or given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sahmr.errors import RawDataError
from sahmr.units import METRES
from sahmr.untrusted.gltf import read_gltf
from sahmr.untrusted.meshes import PlyMesh, read_ply
from sahmr.untrusted.obj import read_obj
from sahmr.untrusted.stl_off import read_off, read_stl

READERS: dict[str, Callable[[Path], PlyMesh]] = {
    ".ply": read_ply, ".obj": read_obj, ".glb": read_gltf, ".gltf": read_gltf, ".stl": read_stl, ".off": read_off,
}  # fmt: skip
SCAN_UNITS = {"metres": 1.0, **METRES}
_SHORT = {"m": "metres", "cm": "centimetres", "mm": "millimetres", "in": "inches", "ft": "feet"}
_NAMED_UNITS = {short: SCAN_UNITS[name] for short, name in _SHORT.items()}
UPS = ("x", "-x", "y", "-y", "z", "-z")
_GLTF = (".glb", ".gltf")  # y is up and lengths are metres by its specification
_ROOM_M = (2.0, 30.0)  # the longest side of a scanned room
_HEIGHT_M = (1.0, 5.0)  # of one; with no ceiling, of its furniture
_WILD = 0.005  # of the points at either end of an axis, left out: scans have flying ones


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnScan:
    """A user's scan, in its own axes, metres.

    Attributes:
        vertices: as stored, times the unit.
        faces: triangles; none for a point cloud, which has voxels and no distance field.
        unit: in which it is stored.
        up: length 1; None if it was not asked for.
        size_m: sides of the box of all but its outermost points.
        told: what was detected and what was given, for people.
    """

    vertices: Float[ndarray, "vertices 3"]
    faces: Int[ndarray, "faces 3"]
    unit: str
    up: Float[ndarray, "3"] | None
    size_m: tuple[float, float, float]
    told: str

    @property
    def is_cloud(self) -> bool:
        """Whether it has points alone: fit for prediction, not for evaluation."""
        return len(self.faces) == 0


def full_unit(name: str) -> str:
    """Of :data:`SCAN_UNITS` for a short name as ``mm``; anything else as it is."""
    return _SHORT.get(name.lower(), name)


def unit_in_name(path: Path) -> tuple[str, float]:
    """The unit that a scan's name states and its metres: ``scan.mm.ply``; metres without one.

    Raises:
        RawDataError: if it is no unit.
    """
    words = path.name.split(".")[1:-1]
    if not words:
        return "m", 1.0
    if len(words) > 1 or words[0].lower() not in _NAMED_UNITS:
        raise RawDataError(
            f"{path}: its name states the unit {'.'.join(words)[:40]!r}; allowed: {', '.join(_NAMED_UNITS)}, as in "
            f"scan.mm{path.suffix}, or none, for metres; rename it"
        )
    return words[0].lower(), _NAMED_UNITS[words[0].lower()]


def read_mesh(path: Path) -> PlyMesh:
    """A mesh or point cloud of any format as stored; transforms within the file applied, textures left out.

    Raises:
        RawDataError: if the format is unknown, the file is damaged, or a face names no vertex.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise RawDataError(
            f"{path}: a scan is not read from {path.suffix or 'a file without suffix'}; allowed: {', '.join(READERS)}; "
            "convert it"
        )
    mesh = reader(path)
    if len(mesh.vertices) == 0:
        raise RawDataError(f"{path}: has no vertices; export it again")
    if len(mesh.faces) and (mesh.faces.min() < 0 or mesh.faces.max() >= len(mesh.vertices)):
        wrong = mesh.faces.max() if mesh.faces.max() >= len(mesh.vertices) else mesh.faces.min()
        raise RawDataError(f"{path}: a face names vertex {wrong} of {len(mesh.vertices)}; export it again")
    return mesh


def open_scan(path: Path, *, unit: str = "auto", up: str = "auto", need_up: bool = True) -> OwnScan:
    """Read a scan, and detect its unit and its up axis where they are not given.

    Args:
        path: of one of :data:`READERS`' formats.
        unit: of :data:`SCAN_UNITS`, or "auto": that in which its longest side is 2 to 30 m, and its height 1 to 5 m
            if there are several; an error where metres fit but for the height, and another unit with it.
        up: of :data:`UPS`, or "auto": glTF's y, else the side that most surfaces face.
        need_up: False leaves up out where it cannot be detected.

    Raises:
        RawDataError: as :func:`read_mesh`; or if a unit fits no room, several fit, or no axis stands out.
    """
    mesh = read_mesh(path)
    low, high = _box(mesh)
    axis, how = _up(path, mesh, up, need_up)
    height = None if axis is None else float(np.ptp(np.quantile(mesh.vertices @ axis, (_WILD, 1 - _WILD))))
    found = unit if unit != "auto" else _unit(path, float((high - low).max()), height)
    if found not in SCAN_UNITS:
        raise RawDataError(f"--scan-unit: found {found[:40]!r}; allowed: auto, {', '.join(SCAN_UNITS)}")
    factor = SCAN_UNITS[found]
    size = tuple(float(side) for side in (high - low) * factor)
    what = (
        f"{len(mesh.faces):,} triangles" if len(mesh.faces) else f"a cloud of {len(mesh.vertices):,} points, no faces"
    )
    told = (
        f"{path}: {what}; {' x '.join(f'{side:.2f}' for side in size)} m ({found}, "
        f"{'detected' if unit == 'auto' else 'given'}); {how}"
    )
    return OwnScan(
        vertices=mesh.vertices * factor,
        faces=mesh.faces,
        unit=found,
        up=axis,
        size_m=(size[0], size[1], size[2]),
        told=told,
    )


def unit_by_size(mesh: PlyMesh) -> str | None:
    """The unit that :func:`open_scan` finds or refuses, without the way up; None: that decides."""
    low, high = _box(mesh)
    fits = _fitting_units(float((high - low).max()))
    return "metres" if "metres" in fits else fits[0] if len(fits) == 1 else None


def _box(mesh: PlyMesh) -> tuple[Float[ndarray, "3"], Float[ndarray, "3"]]:
    """Of all but its outermost points, in its own unit."""
    low, high = np.quantile(mesh.vertices, (_WILD, 1 - _WILD), axis=0)
    return low, high


def _fitting_units(longest: float) -> list[str]:
    return [name for name, metres in SCAN_UNITS.items() if _ROOM_M[0] <= longest * metres <= _ROOM_M[1]]


def _unit(path: Path, longest: float, height: float | None) -> str:
    """The unit that makes a room of it; by the height, if several do, but never another one where metres may be."""
    fits = _fitting_units(longest)
    if not fits:
        raise RawDataError(
            f"{path}: its longest side is {longest:.4g}: no room of {_ROOM_M[0]:g} to {_ROOM_M[1]:g} m in any of "
            f"{', '.join(SCAN_UNITS)}; give --scan-unit"
        )
    high = [name for name in fits if height is not None and _HEIGHT_M[0] <= height * SCAN_UNITS[name] <= _HEIGHT_M[1]]
    if len(fits) == 1:
        return fits[0]
    if "metres" in fits:
        if "metres" in high or not high:
            return "metres"
        high = ["metres", *high]  # a high hall, or a room in feet: only its owner knows
    if len(high) == 1:
        return high[0]
    raise RawDataError(
        f"{path}: its longest side is {longest:.4g}, which could be {' or '.join(high or fits)}; give --scan-unit"
    )


def _up(path: Path, mesh: PlyMesh, up: str, need_up: bool) -> tuple[Float[ndarray, "3"] | None, str]:
    """The axis, and whence it is."""
    if up in UPS:
        axis = np.zeros(3)
        axis["xyz".index(up[-1])] = -1.0 if up[0] == "-" else 1.0
        return axis, f"up is {up} (given)"
    if up != "auto":
        raise RawDataError(f"--scan-up: found {up[:40]!r}; allowed: auto, {', '.join(UPS)}")
    if path.suffix.lower() in _GLTF:
        return np.array([0.0, 1.0, 0.0]), "up is y (glTF's)"
    from sahmr.scenes.scan_up import find_scan_up  # needs torch: whoever knows up and unit does without its start

    try:
        found = find_scan_up(mesh.vertices, mesh.faces)
    except ValueError as problem:
        if not need_up:
            return None, f"up is not known: {problem}"
        raise RawDataError(f"{path}: {problem}; give --scan-up") from None
    axis = found.up
    nearest = UPS[2 * int(np.abs(axis).argmax()) + (axis[np.abs(axis).argmax()] < 0)]
    tilt = float(np.degrees(np.arccos(min(1.0, np.abs(axis).max()))))
    return axis, f"up is {nearest}{f', tilted by {tilt:.1f} degrees' if tilt > 0.5 else ''} (detected)"
