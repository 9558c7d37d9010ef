"""What a prediction of one photograph starts from: scan, camera, pixels and box, read and compared."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from pipelines.photo_request import Request
from sahmr.cameras.box_files import read_boxes
from sahmr.cameras.boxes import PersonBox, boxes_of, check_box, check_image_size, choose_person, parse_box, told
from sahmr.cameras.photo_camera import LengthUnit, PhotoCamera, fit_to_image, need_metres
from sahmr.cameras.read import read_cameras
from sahmr.cameras.undistort import plan_undistortion
from sahmr.detect.network import Network
from sahmr.detect.people import find_people
from sahmr.errors import RawDataError
from sahmr.readers.images import Region, check_fits_camera, decode_region, image_size
from sahmr.scenes.own_scan import OwnScan, open_scan
from sahmr.scenes.scan import ScanLimits
from sahmr.shards.photo import Pixels
from sahmr.sight.figures import View
from sahmr.units import as_if

_ROOM_M = (1.0, 100.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """A photograph without distortion, and its view: a :class:`sahmr.shards.photo.Picture`."""

    file: Path
    pixels: UInt8[ndarray, "height width 3"]
    view: View
    camera: PhotoCamera
    was_distorted: bool

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), pixels."""
        return self.view.size

    def part(self, region: Region, divisor: int) -> UInt8[ndarray, "rows columns 3"]:
        """As the stage ``shards`` reads it: JPEGs are reduced by their decoder, unless their lens was undone."""
        if self.was_distorted or divisor == 1:
            return Pixels(self.pixels).part(region, divisor)
        return decode_region(self.file, region, divisor)


def read_room(asked: Request, limits: ScanLimits) -> OwnScan:
    """The scan in metres.

    Raises:
        RawDataError: as :func:`open_scan`, or if a given unit makes it no room.
    """
    scan = open_scan(asked.scene, unit=asked.scan_unit, up=asked.scan_up, need_up=False)
    longest = max(scan.size_m)
    if not limits.size_m[0] <= longest <= limits.size_m[1]:
        raise RawDataError(
            f"{asked.scene}: in {scan.unit} its longest side is {longest:.4g} m{as_if(longest, *_ROOM_M)}; allowed: "
            f"{limits.size_m[0]:g} to {limits.size_m[1]:g} m; give another --scan-unit, or auto"
        )
    return scan


def read_photo(asked: Request) -> Photo:
    """Camera, pixels and box, each compared with the others; the lens is undone.

    Raises:
        RawDataError: if a file is damaged, the camera is another image's, has no pose or no scale, or the box is no
            box of a person in the image.
    """
    size = image_size(asked.image)
    taken = fit_to_image(_pick_camera(asked), size)
    pose = need_metres(taken)
    check_fits_camera(asked.image, size, taken.intrinsics)
    box = _box(asked, size)
    lens = plan_undistortion(taken)
    pixels = lens.apply(decode_region(asked.image, (0, 0, *size), 1))
    moved = lens.move_box(box)
    if taken.distortion:
        check_box(f"{asked.image}, without distortion", moved, size)
    view = View(intrinsics=lens.camera.intrinsics, camera_from_world=pose, size=size, box=moved)
    return Photo(
        file=asked.image,
        pixels=np.asarray(pixels),
        view=view,
        camera=lens.camera,
        was_distorted=bool(taken.distortion),
    )


def _pick_camera(asked: Request) -> PhotoCamera:
    """The photograph's camera: the only one, the one that is named, or the one with the photograph's name."""
    cameras = read_cameras(asked.camera, cast("LengthUnit", asked.camera_unit))
    if asked.camera_name is not None:
        found = [camera for camera in cameras if camera.name == asked.camera_name]
    elif len(cameras) == 1:
        found = list(cameras)
    else:
        parts = asked.image.parts
        found = [camera for camera in cameras if Path(camera.name).parts == parts[-len(Path(camera.name).parts) :]]
    if len(found) == 1:
        return replace(found[0], source=asked.camera)
    names = ", ".join(camera.name for camera in cameras[:5])
    looked = asked.camera_name or asked.image.name
    raise RawDataError(
        f"{asked.camera}: {len(found) or 'no'} cameras of {looked!r} among its {len(cameras)} ({names[:200]}"
        f"{', ...' if len(cameras) > 5 else ''}); allowed: one; give --camera-name"
    )


def _box(asked: Request, size: tuple[int, int]) -> tuple[float, float, float, float]:
    if asked.box is not None:
        found, place = parse_box(asked.box), "--box"
    elif asked.detect:
        people = find_people(np.asarray(decode_region(asked.image, (0, 0, *size), 1)), asked.image.name, Network().look)
        chosen = choose_person("--detect", people, asked.person, image=asked.image.name)
        found, place = chosen.box, chosen.place
    else:
        assert asked.boxes is not None  # the command line insists on one of them
        chosen = _chosen(asked, asked.boxes, size)
        found, place = chosen.box, chosen.place
    check_box(place, found, size)
    return found


def _chosen(asked: Request, file: Path, size: tuple[int, int]) -> PersonBox:
    chosen = choose_person(str(file), boxes_of(read_boxes(file).people, asked.image), asked.person,
                           image=asked.image.name)  # fmt: skip
    check_image_size(chosen, size)
    return chosen


def describe(photo: Photo) -> str:
    """For people: which camera, size and box."""
    width, height = photo.view.size
    lens = ", lens undone" if photo.was_distorted else ""
    return f"camera {photo.camera.name}, {width}x{height}{lens}, box {told(photo.view.box)}"
