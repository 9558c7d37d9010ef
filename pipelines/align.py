"""Tool: move cameras without scale into a scan's frame, metres, by pairs of points or by a scale and a rotation."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from pipelines.stage import log, stage
from sahmr.cameras.align import align_pairs, move_cameras, read_pairs, stated_similarity
from sahmr.cameras.explicit import write_explicit
from sahmr.cameras.photo_camera import LengthUnit, PhotoCamera, need_metres
from sahmr.cameras.read import read_cameras
from sahmr.errors import ExportError, RawDataError
from sahmr.geometry.rigid_numpy import invert_rigid
from sahmr.geometry.similarity import Similarity
from sahmr.scenes.own_scan import SCAN_UNITS, UPS, OwnScan, full_unit, open_scan
from sahmr.units import as_if

_FAR_M = 30.0  # from the scan's box: a camera is in its room


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for.

    Attributes:
        cameras: a file or folder of cameras.
        scan, scan_unit, scan_up: of the scan, and what is known of it.
        pairs: file of points in both frames; None with ``scale`` and ``rotation``.
        scale, rotation, translation: metres per unit, scan from model, metres; None with ``pairs``.
        unit: of the cameras' file, where it does not say.
        most_residual: what a pair may be off, metres.
        output: JSON file of the moved cameras.
    """

    cameras: Path
    scan: Path
    scan_unit: str
    scan_up: str
    pairs: Path | None
    scale: float | None
    rotation: str | None
    translation: tuple[float, ...]
    unit: str
    most_residual: float
    output: Path


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, and align."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=Path, required=True, help="camera file, or folder of a COLMAP model")
    parser.add_argument("--scan", type=Path, required=True, help="ply, obj, glb, gltf, stl or off")
    parser.add_argument(
        "--pairs", type=Path, help="text: x y z in the cameras' frame, x y z in the scan's (its own unit)"
    )
    parser.add_argument("--scale", type=float, help="metres per unit of the cameras; with --rotation")
    parser.add_argument("--rotation", help="scan from cameras: axes such as x,-z,y, or nine numbers row by row")
    parser.add_argument("--translation", type=float, nargs=3, default=(0.0, 0.0, 0.0), metavar=("X", "Y", "Z"),
                        help="where the cameras' origin is in the scan, metres")  # fmt: skip
    parser.add_argument("--unit", choices=("unknown", "m"), default="unknown", help="of cameras whose file has none")
    parser.add_argument(
        "--scan-unit", type=full_unit, choices=("auto", *SCAN_UNITS), default="auto", help="or m, cm, mm, in, ft"
    )
    parser.add_argument("--scan-up", choices=("auto", *UPS), default="auto")
    parser.add_argument("--most-residual", type=float, default=0.1, help="what a pair may be off, metres")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to be made")
    asked = vars(parser.parse_args(argv))
    run(Request(**{**asked, "translation": tuple(asked["translation"])}))


def run(request: Request) -> Similarity:
    """Write the cameras in the scan's frame, and report scale, residuals and the scan's size, unit and up.

    Raises:
        RawDataError: if a file is damaged, the pairs or the rotation are none, neither is given and the cameras have
            no scale, or the cameras end up far from the scan.
        ExportError: if the output is there already.
    """
    if request.output.exists():
        raise ExportError(f"--output: {request.output} is there already; name a new file, or remove it first")
    cameras = read_cameras(request.cameras, cast("LengthUnit", request.unit))
    scan = open_scan(request.scan, unit=request.scan_unit, up=request.scan_up, need_up=False)
    log.info("align: %s", scan.told)
    similarity, how = _similarity(request, scan, [camera.unit for camera in cameras])
    moved = move_cameras(cameras, similarity)
    _check_near(request, scan, moved)
    write_explicit(request.output, moved, about=f"{request.cameras.name} in metres and the axes of {request.scan.name}")
    log.info("align: %s; %d cameras -> %s", how, len(moved), request.output)
    return similarity


def _similarity(request: Request, scan: OwnScan, units: list[LengthUnit]) -> tuple[Similarity, str]:
    """Scan from cameras, and what to say of it."""
    stated = (request.scale, request.rotation)
    if request.pairs is not None and stated == (None, None):
        model, marked = read_pairs(request.pairs)
        fit = align_pairs(request.pairs, model, marked * SCAN_UNITS[scan.unit], request.most_residual)
        off = ", ".join(f"{1000 * value:.1f}" for value in fit.residuals[:20])
        rms = 1000 * float(np.sqrt((fit.residuals**2).mean()))
        count = len(fit.residuals)
        how = f"scale {fit.similarity.scale:.6g} m per unit; residuals of {count} pairs: {off} mm, RMS {rms:.1f}"
        return fit.similarity, how
    if request.pairs is None and request.scale is not None and request.rotation is not None:
        made = stated_similarity(request.scale, request.rotation, request.translation)
        return made, f"scale {request.scale:.6g} m per unit and rotation as given"
    found = "more" if request.pairs is not None else "half of the second" if stated != (None, None) else "neither"
    has_scale = "are in metres already, but may have other axes" if set(units) == {"m"} else "have no scale"
    raise RawDataError(
        f"{request.cameras}: these cameras {has_scale}; allowed: either --pairs, three or more points in both frames, "
        f"or --scale and --rotation; found {found}"
    )


def _check_near(request: Request, scan: OwnScan, cameras: Sequence[PhotoCamera]) -> None:
    """Cameras stand in their room, or not far from it."""
    low, high = scan.vertices.min(axis=0), scan.vertices.max(axis=0)
    for camera in cameras:
        center = invert_rigid(need_metres(camera))[:3, 3]
        off = float(np.sqrt((np.maximum(0.0, np.maximum(low - center, center - high)) ** 2).sum()))
        if not off <= _FAR_M:
            raise RawDataError(
                f"{request.cameras}: camera {camera.name[:80]!r} ends up {off:.4g} m away from the scan's box"
                f"{as_if(off, 1, _FAR_M)}; allowed: {_FAR_M:g} m; check the pairs, --scale and --scan-unit"
            )


if __name__ == "__main__":
    main()
