"""Light on meshes and scenes: normals, colors, shadows."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

_SKY, _LAMP = 0.34, 0.46  # shares of light beside the constant rest
_REST = 0.36
_CELL_M = 0.02  # of the grid a shadow is cast on
_SOFT = 3  # cells a shadow's edge is blurred by, either way
_CLEAR_M = 0.03  # a surface less than this below what casts a shadow lies in none


def smooth_normals(vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]) -> Float[ndarray, "faces 3"]:
    """Normal of every face, averaged over its corners' neighbours, length 1; zero where all of it has no area."""
    return unit(vertex_normals(vertices, faces)[faces].sum(axis=1))


def vertex_normals(
    vertices: Float[ndarray, "vertices 3"], faces: Int[ndarray, "faces 3"]
) -> Float[ndarray, "vertices 3"]:
    """Normal of every vertex, averaged over its faces by area, length 1; zero where all of them have none."""
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])  # length: twice the area
    spread = np.repeat(normal, 3, axis=0)  # [3 faces, 3], a row per corner
    sums = [np.bincount(faces.ravel(), spread[:, axis], minlength=len(vertices)) for axis in range(3)]
    return unit(np.stack(sums, axis=1))


def unit(vectors: Float[ndarray, "*n axes"]) -> Float[ndarray, "*n axes"]:
    """Made length 1; zero stays zero."""
    shortened: Float[ndarray, "*n axes"] = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True).clip(1e-12)
    return shortened


def lit(
    normals: Float[ndarray, "n 3"], color: Float[ndarray, "n 3"], up: Float[ndarray, "3"], lamp: Float[ndarray, "3"]
) -> Float[ndarray, "n 3"]:
    """Colors 0..255 under a sky above and one lamp.

    Args:
        normals: towards the viewer, length 1.
        color: as under full light, 0..255.
        up, lamp: directions towards sky and lamp, length 1, same frame.
    """
    sky, direct = (1 + normals @ up) / 2, (normals @ lamp).clip(0)
    shaded: Float[ndarray, "n 3"] = (color * (_REST + _SKY * sky + _LAMP * direct)[:, None]).clip(0, 255)
    return shaded


def shadow(
    points: Float[ndarray, "points 3"], casters: Float[ndarray, "casters 3"], lamp: Float[ndarray, "3"]
) -> Float[ndarray, " points"]:
    """How much of each point lies in the shadow of others, 0..1, with a soft edge.

    Args:
        points: of the scene, any frame, metres.
        casters: points a few millimetres to two centimetres apart that keep off the light, same frame.
        lamp: direction towards the light, length 1.
    """
    side = unit(np.cross(lamp, np.eye(3)[np.abs(lamp).argmin()]))
    axes = np.stack([side, np.cross(lamp, side), lamp])
    ours, theirs = points @ axes.T, casters @ axes.T
    dark, total = np.zeros(len(points)), 0.0
    reach = (_SOFT + 1) * _CELL_M
    if len(points):
        low, high = ours[:, :2].min(axis=0) - reach, ours[:, :2].max(axis=0) + reach
        theirs = theirs[((theirs[:, :2] > low) & (theirs[:, :2] < high)).all(axis=1)]
    if len(points) == 0 or len(theirs) == 0:
        return dark
    low = theirs[:, :2].min(axis=0) - reach
    cells = np.floor((theirs[:, :2] - low) / _CELL_M).astype(int)
    size = cells.max(axis=0) + _SOFT + 2
    top = np.full(tuple(size), -np.inf)
    for shift in ((0, 0), (1, 0), (0, 1), (-1, 0), (0, -1)):  # vertices are up to two cells apart
        np.maximum.at(top, tuple((cells + shift).T), theirs[:, 2])
    where = np.floor((ours[:, :2] - low) / _CELL_M).astype(int)
    for across in range(-_SOFT, _SOFT + 1):
        for along in range(-_SOFT, _SOFT + 1):
            weight = np.exp(-(across**2 + along**2) / _SOFT**2)
            cell = where + np.array([across, along])
            is_inside = ((cell >= 0) & (cell < size)).all(axis=1)
            dark[is_inside] += weight * (top[tuple(cell[is_inside].T)] > ours[is_inside, 2] + _CLEAR_M)
            total += weight
    return dark / total
