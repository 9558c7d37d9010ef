"""Calibrations that OpenCV writes: XML, YAML or JSON, RICH's among them; and ROS's YAML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from sahmr.cameras.checks import Array, refuse_fisheye
from sahmr.cameras.json_fields import read_object
from sahmr.cameras.photo_camera import LengthUnit, PhotoCamera, checked
from sahmr.errors import RawDataError
from sahmr.untrusted.texts import MOST_BYTES, read_text, read_xml

SUFFIXES = (".xml", ".yml", ".yaml")
_K = ("camera_matrix", "cameraMatrix", "Camera_Matrix", "Intrinsics", "K")
_DISTORTION = ("distortion_coefficients", "distCoeffs", "Distortion_Coefficients", "Distortion", "D")
_POSE = ("CameraMatrix",)  # RICH's name of [R t]
_WIDTH, _HEIGHT = ("image_width", "image_Width"), ("image_height", "image_Height")
_PINHOLE_MODELS = ("", "plumb_bob", "rational_polynomial", "radtan")  # ROS's names; OpenCV writes none
# At the start of a line, and every run of spaces bounded: a hostile line must not be tried at each of its characters.
_NODE = re.compile(
    r"^(\w{1,99}): {0,9}(?:!!opencv-matrix)? {0,9}\n {1,9}rows: {0,9}(\d{1,9}) {0,9}\n {1,9}cols: {0,9}(\d{1,9})"
    r" {0,9}\n(?: {1,9}dt: {0,9}\w{1,9} {0,9}\n)? {1,9}data: {0,9}\[([^\[\]{}:]*)\]",
    re.MULTILINE,
)
_SCALAR = re.compile(r"^(\w{1,99}): {0,9}([^\s\[{!][^\n]{0,999})$", re.MULTILINE)
_MOST_NUMBERS = 64  # of a matrix that is read; 3x4 is the largest
Nodes = dict[str, Array | str]  # matrices of any shape


def read_opencv_file(path: Path, unit: LengthUnit) -> tuple[PhotoCamera, ...]:
    """The camera of a calibration file.

    K, distortion and image size under the names of OpenCV's own samples, of ROS and of RICH; the pose of RICH's alone:
    ``CameraMatrix``, [R t] world to camera. ``extrinsic_parameters`` are chessboards', not the scan's, and not read.

    Args:
        path: .xml, .yml, .yaml or .json.
        unit: of the pose; no such file says.

    Raises:
        RawDataError: if it is damaged, lacks K, is a fisheye's, or is no camera (:func:`checked`).
    """
    nodes = _nodes(path)
    model = str(_find(nodes, ("distortion_model",)) or "")
    if model not in _PINHOLE_MODELS or str(_find(nodes, ("fisheye_model",)) or "0") != "0":
        raise refuse_fisheye(str(path), model or "fisheye")
    intrinsics = _matrix(path, nodes, _K, ((3, 3),))
    if intrinsics is None:
        raise RawDataError(f"{path}: no matrix of the names {', '.join(_K)}; found {sorted(nodes)[:10]}; add K")
    distortion = _matrix(path, nodes, _DISTORTION, None)
    pose = _matrix(path, nodes, _POSE, ((3, 4), (4, 4)))
    if pose is not None and len(pose) == 3:
        pose = np.concatenate([pose, [[0.0, 0.0, 0.0, 1.0]]])
    camera = PhotoCamera(
        name=path.stem,
        intrinsics=intrinsics,
        image_size=_size(path, nodes),
        distortion=() if distortion is None else _coefficients(distortion),
        camera_from_world=pose,
        unit=unit,
        source=path,
    )
    return (checked(camera),)


def _coefficients(found: Array) -> tuple[float, ...]:
    """As many as OpenCV takes: RICH's files hold two or three, which are the first of five."""
    values = [float(value) for value in found.ravel()]
    missing = max(0, 4 - len(values)) if values else 0
    return tuple(values + [0.0] * missing)


def _size(path: Path, nodes: Nodes) -> tuple[int, int] | None:
    width, height = _find(nodes, _WIDTH), _find(nodes, _HEIGHT)
    if width is None and height is None:
        return None
    if not (
        isinstance(width, str) and isinstance(height, str) and re.fullmatch(r"\d{1,6} \d{1,6}", f"{width} {height}")
    ):
        raise RawDataError(f"{path}: image_width is {width}, image_height {height}; allowed: two whole numbers")
    return int(width), int(height)


def _find(nodes: Nodes, names: tuple[str, ...]) -> Array | str | None:
    return next((nodes[name] for name in names if name in nodes), None)


def _matrix(
    path: Path, nodes: Nodes, names: tuple[str, ...], shapes: tuple[tuple[int, int], ...] | None
) -> Array | None:
    """The matrix of the first name that is there; of a vector, ``shapes`` None, any."""
    found = _find(nodes, names)
    if found is None:
        return None
    if isinstance(found, str) or (shapes is not None and found.shape not in shapes):
        what = repr(found[:40]) if isinstance(found, str) else "x".join(map(str, found.shape))
        allowed = "a vector" if shapes is None else " or ".join(f"{rows}x{columns}" for rows, columns in shapes)
        raise RawDataError(
            f"{path}: '{next(n for n in names if n in nodes)}' is {what}; allowed: a matrix of {allowed}"
        )
    return found


def _nodes(path: Path) -> Nodes:
    """Matrices and words at the top of a file, by name."""
    if path.suffix.lower() == ".xml":
        return {child.tag: _xml_node(path, child) for child in read_xml(path)}
    if path.suffix.lower() == ".json":
        return {name: _json_node(path, name, value) for name, value in read_object(path).items()}
    text = read_text(path, remedy="export it again", most_bytes=MOST_BYTES).replace("\r\n", "\n")
    nodes: Nodes = {name: word.strip(" \"'") for name, word in _SCALAR.findall(text)}
    for name, rows, columns, data in _NODE.findall(text):
        nodes[name] = _shaped(path, name, data.replace(",", " ").split(), rows, columns)
    return nodes


def _xml_node(path: Path, node: ElementTree.Element) -> Array | str:
    data = node.findtext("data")
    if data is None:
        return (node.text or "").strip()
    return _shaped(path, node.tag, data.split(), node.findtext("rows") or "", node.findtext("cols") or "")


def _json_node(path: Path, name: str, value: object) -> Array | str:
    if not isinstance(value, dict):
        return str(value)[:1000]
    data = value.get("data")
    words = [str(item) for item in data] if isinstance(data, list) else []
    return _shaped(path, name, words, str(value.get("rows", "")), str(value.get("cols", "")))


def _shaped(path: Path, name: str, words: list[str], rows: str, columns: str) -> Array | str:
    """A matrix as large as it says, of finite numbers; one too large for a camera's as its size in words."""
    if len(words) > _MOST_NUMBERS:
        return f"a matrix of {len(words)} numbers"
    try:
        values = np.array(words, dtype=np.float64)
        shape = (int(rows), int(columns))
    except ValueError:
        raise RawDataError(f"{path}: '{name[:40]}' holds something that is not a number; export it again") from None
    if min(shape) < 1 or max(shape) > _MOST_NUMBERS or shape[0] * shape[1] != values.size:
        raise RawDataError(
            f"{path}: '{name[:40]}' is {rows[:9]}x{columns[:9]} with {values.size} numbers; allowed: as many as it "
            "says; export it again"
        )
    if not np.isfinite(values).all():
        raise RawDataError(f"{path}: '{name[:40]}' holds NaN or infinite numbers; calibrate again")
    return values.reshape(shape)
