"""What is certainly wrong with a camera in a scan, what is only suspected, and which mistake would explain it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sahmr.cameras.photo_camera import OPENCV_FROM_OPENGL
from sahmr.geometry.rigid_numpy import invert_rigid
from sahmr.scenes.own_scan import OwnScan
from sahmr.sight.depth import image_share
from sahmr.sight.figures import Sight, View, floor_height, outside, tilt
from sahmr.sight.walls import behind_a_wall
from sahmr.units import METRES

LEAST_SEEN, FEW_SEEN = 0.02, 0.4  # shares of the image: below, it sees nothing; below, too little
FAR_M = 30.0  # from the scan's box
_UPSIDE_DOWN_DEG, _ROLLED_DEG = 120.0, 50.0
_BELOW_M, _HIGH_M = -0.3, 6.0  # of a camera over the floor
_PERSON_M = (0.35, 3.0)  # lying to jumping, with a box that is a little large
_MIRRORED, _CLEAR = 0.06, 0.6  # by how much the mirror image agrees better, and how well
_SAMPLE = 20_000  # voxels that other poses are tried with
_FITS_OUTSIDE_M, _FITS_HIGH_M = 3.0, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to refuse and what to say.

    Attributes:
        wrong: certain: no prediction can be right.
        suspected: may be wrong; the prediction goes on and says so.
    """

    wrong: tuple[str, ...]
    suspected: tuple[str, ...]


def judge(scan: OwnScan, voxels: Float[ndarray, "voxels 3"], view: View, sight: Sight) -> Verdict:
    """Compare the numbers with what rooms and cameras are like.

    Args:
        scan, voxels, view: what :func:`sahmr.sight.figures.look` saw.
        sight: the numbers.
    """
    wrong, suspected = list(_certain(sight)), list(_possible(sight))
    is_rolled = sight.tilt_deg is not None and sight.tilt_deg > _ROLLED_DEG
    if wrong or is_rolled or sight.image_share < FEW_SEEN:
        reasons = list(dict.fromkeys(_explanations(scan, voxels, view)))
        if reasons:
            found = f"it would fit if {', or if '.join(reasons[:3])}"
            if wrong:
                wrong.append(found)
            else:
                suspected.append(found)
    return Verdict(wrong=tuple(wrong), suspected=tuple(suspected))


def _certain(sight: Sight) -> Iterator[str]:
    if sight.outside_m > FAR_M:
        yield f"the camera is {sight.outside_m:.4g} m away from the scan's box (allowed: {FAR_M:g} m)"
    if sight.image_share < LEAST_SEEN:
        yield f"no scan point in view: {sight.image_share:.0%} of the image sees the scan"
    elif sight.frustum_points == 0:
        yield "no scan point in view of the box, between 0.5 and 12.5 m"
    if sight.tilt_deg is not None and sight.tilt_deg > _UPSIDE_DOWN_DEG:
        yield f"the camera is upside down: the photograph's up is {sight.tilt_deg:.0f} degrees off the scan's"
    if sight.floor_m is not None and sight.floor_m < _BELOW_M:
        yield f"the camera is {-sight.floor_m:.2f} m below the floor (is --scan-up right?)"
    if (found := behind_a_wall(sight.back_share, sight.inward_share)[0]) is not None:
        yield found


def _possible(sight: Sight) -> Iterator[str]:
    if LEAST_SEEN <= sight.image_share < FEW_SEEN:
        yield f"only {sight.image_share:.0%} of the image sees the scan: the pose may be wrong, or the scan is small"
    if sight.tilt_deg is not None and _ROLLED_DEG < sight.tilt_deg <= _UPSIDE_DOWN_DEG:
        yield f"the photograph's up is {sight.tilt_deg:.0f} degrees off the scan's: turned, or --scan-up is another"
    if sight.floor_m is not None and sight.floor_m > _HIGH_M:
        yield f"the camera is {sight.floor_m:.1f} m above the floor"
    if (found := behind_a_wall(sight.back_share, sight.inward_share)[1]) is not None:
        yield found
    if sight.person_m is not None and not _PERSON_M[0] <= sight.person_m <= _PERSON_M[1]:
        yield (
            f"standing where the scan is seen below it, the person in the box would be {sight.person_m:.2f} m tall: "
            "the focal length, the scan's unit or the box may be of something else"
        )
    if sight.mirrored_agreement > max(_CLEAR, sight.agreement + _MIRRORED):
        yield (
            f"the photograph's edges lie better on the scan's when mirrored ({sight.mirrored_agreement:.2f} against "
            f"{sight.agreement:.2f}): it may be a mirror image, as front cameras store"
        )


def _explanations(scan: OwnScan, voxels: Float[ndarray, "voxels 3"], view: View) -> Iterator[str]:
    """Mistakes that are common, each undone: those after which camera and scan belong together."""
    some = voxels[:: max(1, len(voxels) // _SAMPLE)]
    for reason, pose in _mistakes(view.camera_from_world):
        if _fits(scan, some, view, pose):
            yield reason


def _mistakes(pose: Float[ndarray, "4 4"]) -> Iterator[tuple[str, Float[ndarray, "4 4"]]]:
    inverse = invert_rigid(pose)
    yield "the matrix is world_from_camera, not camera_from_world (or the other way round)", inverse
    yield "its convention is the other one (opengl, not opencv, or the other way round)", OPENCV_FROM_OPENGL @ pose
    both = "it is the other way round (world_from_camera) and of the other convention (opengl)"
    yield both, OPENCV_FROM_OPENGL @ inverse
    yield both, OPENCV_FROM_OPENGL @ inverse @ OPENCV_FROM_OPENGL
    for unit, metres in METRES.items():
        moved = pose.copy()
        moved[:3, 3] *= metres
        yield f"the camera's position is in {unit}", moved
        moved = pose.copy()
        moved[:3, 3] /= metres
        yield f"the scan is in {unit}, which --scan-unit says", moved
    for name, turn in (
        ("the camera has y up and the scan z", [[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
        ("the camera has z up and the scan y, or y down and the scan z up", [[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
    ):
        matrix = np.eye(4)
        matrix[:3, :3] = turn
        yield f"{name} (see: python -m pipelines.align --rotation)", pose @ matrix


def _fits(scan: OwnScan, voxels: Float[ndarray, "voxels 3"], view: View, pose: Float[ndarray, "4 4"]) -> bool:
    center = invert_rigid(pose)[:3, 3]
    height, turned = floor_height(scan, voxels, center), tilt(scan, pose)
    return (
        outside(voxels, center) <= _FITS_OUTSIDE_M
        and (height is None or 0 <= height <= _FITS_HIGH_M)
        and (turned is None or turned <= _ROLLED_DEG)
        and image_share(voxels, view.intrinsics, pose, view.size) >= FEW_SEEN
    )
