"""Which of many cameras stand behind a wall of their scan: one look each, whatever number of pictures they took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sahmr.cameras.photo_camera import PhotoCamera, need_metres
from sahmr.errors import RawDataError
from sahmr.scenes.own_room import read_own_scan
from sahmr.scenes.scan import ScanLimits
from sahmr.sight.walls import Walls, behind_a_wall


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is said of the cameras of a scan, by their names.

    Attributes:
        behind: certain.
        suspected: it may be the scan's faces that are turned round.
        unread: why the scan could not be looked at; None: it was.
    """

    behind: dict[str, str]
    suspected: dict[str, str]
    unread: str | None = None


def standing_of(scan: Path, cameras: Sequence[PhotoCamera]) -> Standing:
    """Look at a scan from every camera; a cloud of points has no walls.

    A scan that is damaged or no room is left to the stage that stores it, which refuses it.

    Args:
        scan: a user's, in the unit that its name states.
        cameras: with poses in metres; a lens' distortion is not undone, as it moves no camera.
    """
    try:
        vertices, faces = read_own_scan(scan, ScanLimits())
    except RawDataError as error:
        return Standing(behind={}, suspected={}, unread=str(error))
    found = Standing(behind={}, suspected={})
    if len(faces) == 0:
        return found
    walls = Walls(vertices, faces)
    for camera in cameras:
        seen = walls.seen(camera.intrinsics, need_metres(camera), _size(camera))
        certain, suspected = behind_a_wall(seen.back_share, walls.inward_share)
        if certain is not None:
            found.behind[camera.name] = certain
        if suspected is not None:
            found.suspected[camera.name] = suspected
    return found


def _size(camera: PhotoCamera) -> tuple[int, int]:
    """Of its pictures; where the file does not say, with the principal point in the middle."""
    if camera.image_size is not None:
        return camera.image_size
    width, height = (round(2 * float(camera.intrinsics[axis, 2]) + 1) for axis in range(2))
    return width, height
