"""Cameras of a frame without scale, moved into a scan's: by pairs of points, or by a scale and a rotation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sahmr.cameras.checks import LARGEST, check_rigid
from sahmr.cameras.photo_camera import PhotoCamera
from sahmr.errors import RawDataError
from sahmr.geometry.similarity import Similarity, SimilarityFit, fit_similarity
from sahmr.untrusted.texts import MOST_BYTES, read_text

_AXES = re.compile(r"[+-]?[xyz],[+-]?[xyz],[+-]?[xyz]")
_SCALES = (1e-6, 1e6)


def read_pairs(path: Path) -> tuple[Float[ndarray, "pairs 3"], Float[ndarray, "pairs 3"]]:
    """Pairs of points: in each line x, y, z in the model's frame and x, y, z of the same place in the scan's.

    Numbers with spaces, tabs, commas or semicolons between; lines that begin with ``#`` are comments, and a first line
    of words is a heading.

    Raises:
        RawDataError: if a line is anything else.
    """
    rows, seen = list[list[float]](), 0
    text = read_text(path, remedy="write it as text", most_bytes=MOST_BYTES)
    for number, line in enumerate(text.splitlines(), start=1):
        words = re.sub(r"[,;]", " ", line.split("#")[0]).split()
        if not words:
            continue
        seen += 1
        try:
            row = [float(word) for word in words]
        except ValueError:
            row = []
        if seen == 1 and not row and not any(word[0].isdigit() for word in words):
            continue
        if len(row) != 6 or not all(abs(value) < LARGEST for value in row):
            raise RawDataError(
                f"{path}, line {number}: {line[:80]!r}; allowed: six numbers below {LARGEST:g}, x y z in the model and "
                "x y z in the scan"
            )
        rows.append(row)
    pairs = np.array(rows, dtype=np.float64).reshape(-1, 6)
    return pairs[:, :3], pairs[:, 3:]


def align_pairs(
    path: Path, model: Float[ndarray, "pairs 3"], scan: Float[ndarray, "pairs 3"], most_residual_m: float
) -> SimilarityFit:
    """The similarity from the model's frame to the scan's.

    Args:
        path: the file of pairs, for errors.
        model, scan: points; the scan's in metres.
        most_residual_m: what a pair may be off after it.

    Raises:
        RawDataError: on too few pairs, pairs in one place or on one line, mirrored axes, or a pair too far off.
    """
    try:
        fit = fit_similarity(model, scan)
    except ValueError as problem:
        raise RawDataError(f"{path}: {problem}") from None
    if fit.mirrored:
        raise RawDataError(
            f"{path}: the pairs fit only if an axis is mirrored; allowed: right-handed axes on both sides; correct the "
            "points' signs, or export the scan or the cameras again"
        )
    worst = int(fit.residuals.argmax())
    if not fit.residuals[worst] <= most_residual_m:
        raise RawDataError(
            f"{path}: pair {worst + 1} is {fit.residuals[worst]:.3g} m off after the fit (all: "
            f"{', '.join(f'{value:.3g}' for value in fit.residuals[:20])}); allowed: {most_residual_m:g} m; measure it "
            "again, or give --most-residual"
        )
    return fit


def stated_similarity(scale: float, rotation: str, translation: Sequence[float]) -> Similarity:
    """The similarity of a scale, a rotation and a translation that a user gives.

    Args:
        scale: metres per unit of the model.
        rotation: scan from model: three axes of the model for the scan's x, y and z (``x,-z,y``: the scan's z is the
            model's y), or nine numbers row by row.
        translation: where the model's origin is in the scan, metres.

    Raises:
        RawDataError: if they are no similarity.
    """
    if not _SCALES[0] <= scale <= _SCALES[1]:
        raise RawDataError(f"--scale: found {scale:g}; allowed: {_SCALES[0]:g} to {_SCALES[1]:g} metres per unit")
    matrix = np.eye(4)
    matrix[:3, :3] = _rotation(rotation)
    matrix[:3, 3] = translation
    check_rigid("--rotation, --translation", matrix, remedy="correct them")
    return Similarity(scale=scale, rotation=matrix[:3, :3].copy(), translation=matrix[:3, 3].copy())


def _rotation(text: str) -> Float[ndarray, "3 3"]:
    if _AXES.fullmatch(text):
        return np.array([signed_axis(part) for part in text.split(",")])
    try:
        numbers = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != 9:
        raise RawDataError(
            f"--rotation: found {text[:80]!r}; allowed: three axes such as x,-z,y, or nine numbers row by row"
        )
    return np.array(numbers).reshape(3, 3)


def signed_axis(name: str) -> Float[ndarray, "3"]:
    """The unit vector of ``x``, ``-x``, ``+y`` ..."""
    axis = np.zeros(3)
    axis["xyz".index(name[-1])] = -1.0 if name[0] == "-" else 1.0
    return axis


def move_cameras(cameras: Sequence[PhotoCamera], similarity: Similarity) -> tuple[PhotoCamera, ...]:
    """The cameras in the scan's frame, metres.

    Raises:
        RawDataError: if one has no pose.
    """
    moved = []
    for camera in cameras:
        if camera.camera_from_world is None:
            raise RawDataError(f"{camera.source}: camera {camera.name!r} has K alone; allowed: cameras with a pose")
        pose = similarity.move_camera(camera.camera_from_world)
        moved.append(replace(camera, camera_from_world=pose, unit="m"))
    return tuple(moved)
