"""The places of the demo: rooms in the spirit of the RICH captures and PROX scenes, and their cameras.

Room frame: z up, floor at 0, metres; see room.py.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sahmr.demo.places.furniture import Piece, bench, chair, crate, floor_spots, low_wall, mat, shelf, sofa, table, wall
from sahmr.demo.places.room import Color, Room
from sahmr.demo.places.view import RoomCamera, look_at

Array = NDArray[np.float64]

FULL_WIDTH, FULL_HEIGHT = 4112, 3008  # of the RICH cameras, landscape


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraSpec:
    """Where a camera stands: azimuth in degrees round the room's middle, distance and height in metres.

    ``focal`` is in pixels of the published size; ``principal`` is the principal point's shift from the middle there.
    """

    azimuth: float
    distance: float
    height: float
    focal: float = 3575.0
    principal: tuple[float, float] = (0.0, 0.0)
    portrait: bool = False
    roll: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """One capture and scan: a room, its cameras (number = index) and the picture format of the first release."""

    name: str
    scan: str
    room: Room
    cameras: tuple[CameraSpec, ...]
    extension: str = "bmp"


def camera_view(spec: CameraSpec, divisor: int) -> RoomCamera:
    """The camera of a capture whose pictures are written ``divisor`` times smaller than published."""
    angle = np.radians(spec.azimuth)
    eye = np.array([spec.distance * math.cos(angle), spec.distance * math.sin(angle), spec.height])
    width, height = FULL_WIDTH // divisor, FULL_HEIGHT // divisor
    if spec.portrait:
        width, height = height, width
    full = (FULL_HEIGHT, FULL_WIDTH) if spec.portrait else (FULL_WIDTH, FULL_HEIGHT)
    scale = width / full[0]
    focal = spec.focal * scale
    cx, cy = (width - 1) / 2 + spec.principal[0] * scale, (height - 1) / 2 + spec.principal[1] * scale
    intrinsics = np.array([[focal, 0.0, cx], [0.0, focal, cy], [0.0, 0.0, 1.0]])
    target = np.array([0.0, 0.0, 0.75])
    return look_at(eye, target, intrinsics, (width, height), roll=float(np.radians(spec.roll)))


def _ring(azimuths: tuple[float, ...], seed: int) -> tuple[CameraSpec, ...]:
    """Cameras round the middle with slightly different distances, heights, lenses and tilts."""
    rng = np.random.default_rng([4112, seed])
    return tuple(
        CameraSpec(
            azimuth=azimuth,
            distance=float(rng.uniform(4.2, 5.6)),
            height=float(rng.uniform(1.2, 2.6)),
            focal=float(np.round(rng.uniform(3567, 3584), 3)),
            principal=(float(rng.uniform(-80, 60)), float(rng.uniform(-120, 90))),
            roll=float(rng.uniform(-2.5, 2.5)),
        )
        for azimuth in azimuths
    )


def _swap(cameras: tuple[CameraSpec, ...], number: int, **changes: float | bool) -> tuple[CameraSpec, ...]:
    changed = {name: getattr(cameras[number], name) for name in CameraSpec.__slots__} | changes
    return (*cameras[:number], CameraSpec(**changed), *cameras[number + 1 :])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Light:
    """Where light comes from, and what is behind everything."""

    toward: tuple[float, float, float]
    sky: tuple[Color, Color] = ((0.75, 0.8, 0.85), (0.35, 0.5, 0.8))
    indoor: bool = False


def _room(
    name: str,
    pieces: list[Piece],
    ground: tuple[str, Color],
    light: _Light,
    *,
    free: float = 1.8,
    floor: tuple[float, float] = (4.0, 4.0),
    reach: float = 60.0,
) -> Room:
    return Room(
        name=name,
        boxes=tuple(box for piece in pieces for box in piece.boxes),
        spots=tuple(spot for piece in pieces for spot in piece.spots) + floor_spots(free, free),
        floor=floor,
        floor_material=ground[0],
        floor_color=ground[1],
        light=light.toward,
        sky=light.sky,
        indoor=light.indoor,
        reach=reach,
    )


def _parking_lot_1() -> Capture:
    pieces = [
        wall(7.5, 2.8, (0.55, 0.32, 0.25), "brick").at(-3.2, 0.0),
        bench(1.9).at(-1.6, -1.3, 20),
        table(1.5, 0.8, 0.86, (0.5, 0.5, 0.48)).at(1.4, 1.5, 200),
        crate(0.44).at(1.6, -1.4, 25),
        low_wall(2.4, 0.5).at(-0.9, 2.3, -90),
        mat(2.0, 1.0, (0.15, 0.4, 0.2)).at(0.9, 0.0, 60),
    ]
    room = _room("ParkingLot1", pieces, ("asphalt", (0.20, 0.20, 0.21)), _Light(toward=(0.55, -0.35, 0.9)))
    cameras = _ring((-75, -38, -5, 25, 58, 88), 1)
    return Capture(name="ParkingLot1", scan="scan_camcoord", room=room, cameras=_swap(cameras, 1, focal=4646.2))


def _parking_lot_2() -> Capture:
    pieces = [
        low_wall(5.0, 0.47, (0.55, 0.52, 0.47)).at(-2.4, 0.0),
        bench(1.6, 0.43, (0.25, 0.35, 0.25)).at(1.2, -1.9, 110),
        crate(0.5, (0.28, 0.3, 0.34), "plain").at(-0.8, 1.3, 40),
        chair(0.45, (0.15, 0.3, 0.5)).at(0.9, 1.4, -100),
        wall(2.0, 2.2, (0.6, 0.6, 0.58)).at(-1.3, -2.6, 60),
    ]
    room = _room("ParkingLot2", pieces, ("tiles", (0.42, 0.40, 0.37)), _Light(toward=(-0.3, -0.6, 0.8)))
    cameras = _ring((-60, -22, 18, 55, 125), 2)
    return Capture(name="ParkingLot2", scan="scan_camcoord", room=room, cameras=_swap(cameras, 1, focal=4649.4))


def _pavallion() -> Capture:
    pieces = [
        table(1.6, 0.8, 0.84).at(0.3, 1.5, -90),
        bench(1.7, 0.46).at(1.6, -0.6, 165),
        bench(1.7, 0.46).at(-1.7, 0.4, 10),
        wall(5.0, 2.6, (0.5, 0.42, 0.33), "wood").at(0.0, 3.2, -90),
        crate(0.42, (0.6, 0.55, 0.5), "plain").at(-0.6, -1.8, 0),
    ]
    room = _room("Pavallion", pieces, ("parquet", (0.42, 0.33, 0.25)), _Light(toward=(0.35, -0.7, 0.85)))
    cameras = _ring((-150, -115, -85, -55, -20, 10), 3)
    for number in (3, 5):
        cameras = _swap(cameras, number, portrait=True)
    return Capture(
        name="Pavallion", scan="scan_camcoord", room=room, cameras=_swap(cameras, 2, focal=4646.1), extension="png"
    )


def _barbecue() -> Capture:
    pieces = [
        table(1.8, 0.8, 0.85, (0.4, 0.3, 0.2)).at(-0.4, 0.9, 0),
        bench(1.8, 0.44, (0.4, 0.3, 0.2)).at(1.1, 0.9, 0),
        chair(0.44, (0.7, 0.65, 0.2)).at(-1.5, -1.2, 35),
        chair(0.46, (0.15, 0.45, 0.25)).at(1.3, -1.5, 140),
        low_wall(3.5, 0.52, (0.38, 0.36, 0.33)).at(-2.6, 0.2),
        crate(0.8, (0.12, 0.12, 0.13), "plain").at(-1.6, 2.6, 15),
    ]
    room = _room("BBQ", pieces, ("grass", (0.16, 0.26, 0.09)), _Light(toward=(-0.2, 0.55, 0.9)))
    return Capture(name="BBQ", scan="scan_camcoord", room=room, cameras=_ring((-95, -55, -15, 30, 70), 4))


def _lecture_hall(scan: str) -> Capture:
    walls = [
        wall(8.0, 2.9, (0.78, 0.76, 0.70)).at(-3.4, 0.0),
        wall(8.0, 2.9, (0.70, 0.72, 0.74)).at(0.0, 3.6, -90),
    ]
    if scan == "chair":
        pieces = [
            chair(0.46, (0.1, 0.15, 0.3)).at(-1.3, -1.2, 10),
            chair(0.46, (0.1, 0.15, 0.3)).at(0.2, -1.7, 80),
            chair(0.46, (0.1, 0.15, 0.3)).at(1.3, 0.9, 200),
            table(1.5, 0.7, 0.88, (0.6, 0.55, 0.45)).at(-1.4, 1.4, -60),
            shelf(1.4, 1.6).at(-3.1, 2.3),
        ]
    else:
        pieces = [
            mat(2.0, 0.9, (0.45, 0.12, 0.3)).at(0.4, -0.9, 80),
            mat(2.0, 0.9, (0.1, 0.35, 0.4)).at(-1.2, 0.4, 70),
            bench(1.5, 0.45, (0.62, 0.5, 0.35)).at(1.4, 1.3, 225),
            crate(0.46, (0.65, 0.3, 0.15), "fabric").at(-1.7, -1.6, 30),
        ]
    light = _Light(toward=(0.25, -0.3, 1.0), sky=((0.80, 0.79, 0.76), (0.88, 0.88, 0.86)), indoor=True)
    room = _room("LectureHall", walls + pieces, ("parquet", (0.40, 0.30, 0.20)), light, reach=7.5)
    cameras = _swap(_ring((-80, -48, -12, 15, -25), 5), 3, focal=4648.3)
    name = "scan_chair_scene_camcoord" if scan == "chair" else "scan_yoga_scene_camcoord"
    return Capture(name="LectureHall", scan=name, room=room, cameras=cameras, extension="png")


def _gym() -> Capture:
    pieces = [
        wall(8.0, 3.0, (0.72, 0.66, 0.55), "wood").at(0.0, -3.4, 90),
        mat(2.1, 1.1, (0.5, 0.1, 0.08)).at(0.9, 0.6, 20),
        bench(2.0, 0.42, (0.55, 0.40, 0.22)).at(-1.4, -1.0, 40),
        crate(0.5, (0.15, 0.2, 0.45), "fabric").at(1.5, -1.3, 10),
        table(1.3, 0.7, 0.87, (0.35, 0.2, 0.12)).at(-1.3, 1.5, -20),
    ]
    light = _Light(toward=(-0.35, 0.3, 1.0), sky=((0.70, 0.68, 0.63), (0.82, 0.82, 0.80)), indoor=True)
    room = _room("Gym", pieces, ("tiles", (0.36, 0.42, 0.38)), light, reach=7.5)
    return Capture(name="Gym", scan="scan_camcoord", room=room, cameras=_ring((25, 62, 95, 130, 165), 6))


def rich_captures() -> tuple[Capture, ...]:
    """All captures; LectureHall comes twice, with two scans and the same cameras."""
    outdoors = (_parking_lot_1(), _parking_lot_2(), _pavallion(), _barbecue())
    return (*outdoors, _lecture_hall("chair"), _lecture_hall("yoga"), _gym())


def prox_rooms() -> dict[str, tuple[Room, CameraSpec]]:
    """PROX scenes by name, each with its one static camera (``focal`` counts 1920-pixel pictures)."""
    vicon = [
        wall(5.2, 2.6, (0.62, 0.66, 0.7)).at(-2.4, 0.0),
        sofa(1.7, (0.42, 0.16, 0.14)).at(-1.1, 1.2, -25),
        table(1.2, 0.7, 0.85).at(-1.0, -1.2, 20),
        chair(0.45, (0.15, 0.3, 0.5)).at(0.6, -1.3, 60),
    ]
    sofa_room = [
        wall(5.2, 2.6, (0.75, 0.72, 0.62)).at(-2.4, 0.0),
        wall(5.2, 2.6, (0.65, 0.60, 0.55)).at(0.0, 2.6, -90),
        sofa(2.1, (0.2, 0.3, 0.42)).at(-1.5, 0.2, 0),
        crate(0.42, (0.5, 0.36, 0.2)).at(0.7, 1.2, 20),
        mat(1.9, 1.2, (0.4, 0.35, 0.25)).at(0.2, -0.6, 90),
    ]
    library = [
        wall(5.2, 2.6, (0.7, 0.7, 0.66)).at(-2.4, 0.0),
        shelf(1.4, 1.9).at(-2.1, -1.4),
        shelf(1.2, 1.5, (0.4, 0.3, 0.22)).at(-2.1, 0.2),
        table(1.4, 0.8, 0.86).at(-0.6, 1.3, -40),
        chair(0.45, (0.5, 0.45, 0.1)).at(0.3, -1.0, 30),
        bench(1.4, 0.44).at(-1.2, -1.2, 15),
    ]
    camera = CameraSpec(azimuth=0.0, distance=3.6, height=1.7, focal=1060.0)
    parquet: tuple[str, Color] = ("parquet", (0.38, 0.28, 0.18))
    grey: tuple[str, Color] = ("tiles", (0.35, 0.36, 0.38))
    return {
        "vicon": (_prox_room("vicon", vicon, grey, (0.4, -0.3, 1.0)), camera),
        "N0Sofa": (_prox_room("N0Sofa", sofa_room, parquet, (0.3, -0.5, 1.0)), camera),
        "MPH1Library": (_prox_room("MPH1Library", library, parquet, (0.5, 0.3, 1.0)), camera),
    }


def _prox_room(name: str, pieces: list[Piece], ground: tuple[str, Color], toward: tuple[float, float, float]) -> Room:
    light = _Light(toward=toward, sky=((0.75, 0.73, 0.7), (0.85, 0.85, 0.82)), indoor=True)
    return _room(name, pieces, ground, light, free=1.2, floor=(2.8, 2.8), reach=4.5)
