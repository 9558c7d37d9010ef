"""Opening a stranger's glTF 2.0: geometry of its scene, transforms applied; no picture or address is opened."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sahmr.errors import RawDataError
from sahmr.files import is_plain_name
from sahmr.untrusted.gltf_data import Accessors, item, whole
from sahmr.untrusted.meshes import PlyMesh
from sahmr.untrusted.obj import fans
from sahmr.untrusted.regular import LARGEST, read_regular

_MOST_JSON = 1 << 26  # bytes of the description
_MOST_VERTICES = 1 << 26  # of all instances together: a node may show one mesh many times
_MOST_PARTS = 1 << 18
_MOST_NODES = 1 << 20
_GLB, _JSON, _BIN = b"glTF", 0x4E4F534A, 0x004E4942
_POINTS, _TRIANGLES, _STRIP, _FAN = 0, 4, 5, 6  # modes; 1 to 3 are lines
_Part = tuple[ndarray, ndarray]  # points of a primitive, its triangles
_PACKED = ("KHR_draco_mesh_compression", "EXT_meshopt_compression")


def read_gltf(path: Path) -> PlyMesh:
    """All triangles and points of the default scene of a .glb or .gltf, in the axes of the scene: y up, metres.

    Skins, morph targets, cameras, materials and textures are left out; buffers may be in the file, as data in its
    JSON, or files beside it.

    Raises:
        RawDataError: if the file is missing or damaged, its nodes go in circles, an accessor leads out of its buffer,
            or its geometry is compressed.
    """
    try:
        content, chunk = _parts(path)
        with np.errstate(all="ignore"):  # transforms may overflow; reported below
            return _mesh(path, content, Accessors(path, content, list(_buffers(path, content, chunk))))
    except RecursionError:
        raise RawDataError(f"{path}: nested too deeply; export it again") from None


def _parts(path: Path) -> tuple[dict[str, Any], bytes | None]:
    """The description, and the binary chunk of a .glb."""
    content = read_regular(path)
    chunk = None
    if content[:4] == _GLB:
        if len(content) < 20 or struct.unpack_from("<II", content, 4) != (2, len(content)):
            raise RawDataError(f"{path}: not a whole glTF 2.0 file of {len(content):,} bytes; export it again")
        length, kind = struct.unpack_from("<II", content, 12)
        end = 20 + length
        if kind != _JSON or end > len(content):
            raise RawDataError(f"{path}: its first chunk is no JSON, or cut short; export it again")
        if end + 8 <= len(content):
            size, kind = struct.unpack_from("<II", content, end)
            if kind == _BIN and end + 8 + size <= len(content):
                chunk = content[end + 8 : end + 8 + size]
        content = content[20:end]
    if len(content) > _MOST_JSON:
        raise RawDataError(
            f"{path}: its description has {len(content):,} bytes; allowed: {_MOST_JSON:,}; store it as .glb"
        )
    try:
        found = json.loads(content.decode("utf-8"))
    except ValueError as problem:
        raise RawDataError(f"{path}: no glTF file ({problem!s:.100}); export it again") from None
    if not isinstance(found, dict) or not isinstance(found.get("asset"), dict):
        raise RawDataError(f"{path}: no glTF file (no 'asset'); export it again")
    needed = found.get("extensionsRequired", [])
    if packed := [name for name in _PACKED if isinstance(needed, list) and name in needed]:
        raise RawDataError(f"{path}: its geometry is compressed ({packed[0]}); export it without compression")
    return found, chunk


def _buffers(path: Path, content: dict[str, Any], chunk: bytes | None) -> Iterator[bytes]:
    buffers = content.get("buffers", [])
    for number in range(len(buffers) if isinstance(buffers, list) else 0):
        address = item(path, content, "buffers", number).get("uri")
        if address is None and number == 0 and chunk is not None:
            yield chunk
        elif isinstance(address, str) and address.startswith("data:"):
            try:
                yield base64.b64decode(address.partition(",")[2], validate=True)
            except (binascii.Error, ValueError):
                raise RawDataError(f"{path}: buffer {number} is no base64; export it again") from None
        elif isinstance(address, str) and is_plain_name(address) and ":" not in address:
            yield read_regular(path.parent / address, most_bytes=LARGEST)
        else:
            raise RawDataError(
                f"{path}: buffer {number} is at {str(address)[:80]!r}; allowed: in the file or beside it; store it "
                "as .glb"
            )


def _mesh(path: Path, content: dict[str, Any], accessors: Accessors) -> PlyMesh:
    cache, shown, count = dict[int, list[_Part]](), list[tuple[_Part, ndarray]](), 0
    for number, transform in _placed(path, content):
        if number not in cache:
            cache[number] = list(_primitives(path, content, accessors, number))
        for part in cache[number]:  # counted before any is copied
            count += len(part[0])
            if count > _MOST_VERTICES or len(shown) >= _MOST_PARTS:
                raise RawDataError(
                    f"{path}: shows over {_MOST_VERTICES:,} vertices or {_MOST_PARTS:,} parts; export only the room"
                )
            shown.append((part, transform))
    vertices, faces, before = [np.zeros((0, 3))], [np.zeros((0, 3), dtype=np.int64)], 0
    for (points, triangles), transform in shown:
        vertices.append(points @ transform[:3, :3].T + transform[:3, 3])
        turned = np.linalg.det(transform[:3, :3]) < 0  # a mirrored copy shows its faces from the other side
        faces.append((triangles[:, ::-1] if turned else triangles) + before)
        before += len(points)
    made = np.concatenate(vertices)
    if not count or not np.isfinite(made).all():
        found = "NaN or infinite coordinates" if count else "no geometry in its scene"
        raise RawDataError(f"{path}: {found}; export it again")
    return PlyMesh(vertices=made, faces=np.concatenate(faces))


def _placed(path: Path, content: dict[str, Any]) -> Iterator[tuple[int, Float[ndarray, "4 4"]]]:
    """Meshes of the default scene with the product of the transforms above them. Each node has one parent at most."""
    scenes = content.get("scenes")
    if isinstance(scenes, list) and scenes:
        roots = item(path, content, "scenes", content.get("scene", 0)).get("nodes", [])
    else:  # without scenes all is shown
        roots = list(range(len(_list(path, content.get("nodes", [])))))
    waiting, seen = [(node, np.eye(4)) for node in reversed(_list(path, roots))], set[int]()
    while waiting:
        number, above = waiting.pop()
        node = item(path, content, "nodes", number)
        if number in seen or len(seen) > _MOST_NODES:
            raise RawDataError(f"{path}: node {number} hangs in two places, or in itself; export it again")
        seen.add(number)
        here = above @ _transform(path, number, node)
        if "mesh" in node:
            yield whole(path, node, "mesh"), here
        waiting += [(child, here) for child in reversed(_list(path, node.get("children", [])))]


def _list(path: Path, value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > _MOST_NODES:
        raise RawDataError(f"{path}: a list of nodes is a {type(value).__name__}; export it again")
    return value


def _transform(path: Path, number: int, node: dict[str, Any]) -> Float[ndarray, "4 4"]:
    """A node's matrix, stored column by column, or its translation, rotation (x, y, z, w) and scale."""
    try:
        values = {
            key: np.array(node.get(key, default), dtype=np.float64)
            for key, default in (
                ("matrix", np.eye(4).ravel()), ("translation", np.zeros(3)), ("rotation", [0, 0, 0, 1]),
                ("scale", np.ones(3)),
            )
        }  # fmt: skip
        fits = all(values[key].shape == (size,) for key, size in zip(values, (16, 3, 4, 3), strict=True))
    except (ValueError, TypeError):
        fits = False
    if not fits or not all((np.abs(value) < 1e9).all() for value in values.values()):
        raise RawDataError(f"{path}: node {number} has a transform that is none; export it again")
    if "matrix" in node:
        matrix: Float[ndarray, "4 4"] = values["matrix"].reshape(4, 4).T
        return matrix
    x, y, z, w = values["rotation"] / max(float(np.sqrt((values["rotation"] ** 2).sum())), 1e-12)
    rotation = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    made = np.eye(4)
    made[:3, :3], made[:3, 3] = rotation * values["scale"], values["translation"]
    return made


def _primitives(
    path: Path, content: dict[str, Any], accessors: Accessors, number: int
) -> Iterator[tuple[Float[ndarray, "vertices 3"], Int[ndarray, "faces 3"]]]:
    for primitive in _list(path, item(path, content, "meshes", number).get("primitives", [])):
        mode = primitive.get("mode", _TRIANGLES) if isinstance(primitive, dict) else -1
        if mode not in (_POINTS, _TRIANGLES, _STRIP, _FAN):
            continue  # lines
        attributes = primitive.get("attributes")
        if not isinstance(attributes, dict) or "POSITION" not in attributes:
            raise RawDataError(f"{path}: mesh {number} has no POSITION (compressed?); export it again, uncompressed")
        points = accessors.read(whole(path, attributes, "POSITION"), "VEC3")
        corners = np.arange(len(points), dtype=np.int64)
        if "indices" in primitive:
            corners = accessors.read(whole(path, primitive, "indices"), "SCALAR").ravel().astype(np.int64)
        if len(corners) and corners.max() >= len(points):
            raise RawDataError(f"{path}: mesh {number} names vertex {corners.max()} of {len(points)}; export it again")
        if len(corners) < len(points):  # primitives of one mesh often share all its vertices
            used, corners = np.unique(corners, return_inverse=True)
            points = points[used]
        yield points, _triangles(path, number, mode, corners)


def _triangles(path: Path, number: int, mode: int, corners: Int[ndarray, " corners"]) -> Int[ndarray, "faces 3"]:
    if mode == _POINTS:
        return np.zeros((0, 3), dtype=np.int64)
    if mode == _TRIANGLES:
        if len(corners) % 3:
            raise RawDataError(f"{path}: mesh {number} has {len(corners)} corners of triangles; export it again")
        return corners.reshape(-1, 3)
    if len(corners) < 3:
        return np.zeros((0, 3), dtype=np.int64)
    if mode == _FAN:
        return fans(corners[None])
    strip = np.stack([corners[:-2], corners[1:-1], corners[2:]], axis=1)
    strip[1::2] = strip[1::2, [1, 0, 2]]  # every other one is the other way round
    return strip
