"""ScenePic's commands for a square body on a floor."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

import numpy as np

from sahmr.report.viewer import LAYERS, commands, library
from tests.report.tiles import FACES, floor, square, tile

BODY = {"true": square(-0.2, -0.5, 0.4, 3.0), "predicted": square(-0.1, -0.5, 0.4, 3.1), "scene": floor()}


def meshes(**changes: Any) -> dict[str, dict[str, Any]]:
    found = json.loads(commands(tile(**BODY | changes), FACES))
    return {command["MeshId"]: command for command in found if command["CommandType"] == "DefineMesh"}


def unpack(text: str) -> np.ndarray:
    """A packed array of float32: zlib, then the numbers of rows and columns."""
    raw = base64.b64decode(text)
    return np.frombuffer(zlib.decompress(raw[:-5]), np.float32).reshape(struct.unpack("<IB", raw[-5:]))


def test_both_bodies_the_scan_and_the_contact_points_are_there() -> None:
    points = floor().points[::4000]
    found = meshes(contacts=points, true_contacts=points)
    assert list(found) == ["scan", "touched", "ground truth", "prediction", "contacts"]
    assert {mesh["LayerId"] for mesh in found.values()} == set(LAYERS)
    assert "contacts" not in meshes() and "touched" not in meshes()
    assert "scan" not in meshes(scene=floor(height=50.0))  # too far


def test_same_tile_same_text() -> None:
    assert commands(tile(**BODY), FACES) == commands(tile(**BODY), FACES)


def test_faces_are_packed_alike() -> None:
    found = meshes()
    assert found["prediction"]["Definition"]["TriangleBuffer"] == found["ground truth"]["Definition"]["TriangleBuffer"]


def test_up_is_up_and_sizes_stay() -> None:
    corners = unpack(meshes()["ground truth"]["Definition"]["VertexBuffer"])[:, :3]
    height = corners[:, 1]
    np.testing.assert_allclose(height[:2] - height[2:][::-1], 0.4, atol=1e-3)  # y down in the photograph, up here
    np.testing.assert_allclose(np.linalg.norm(corners[0] - corners[1]), 0.4, atol=1e-3)


def test_library_loads_nothing_and_has_its_licence() -> None:
    found = library()
    assert "MIT License" in found and "Microsoft" in found
    assert "sourceMappingURL" not in found
    assert "</script" not in found
