"""A scan as a camera sees it: depth, its edges, and how well a photograph agrees with them."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray

from sahmr.geometry.rigid_numpy import apply_rigid
from sahmr.sight.walls import FAR_M, NEAR_M, reduced

WIDE = 480  # columns of a depth picture at most
_LARGEST = 24  # pixels of a voxel's side: nearer ones leave gaps
_BLUR_PX = 2.0
_CREASE = 6e-4  # relative curvature of the inverse depth per pixel squared: planes have none, a corner 3e-3
_JUMP = (0.25, 0.5)  # of the logarithm of the depth, as Canny takes it: weaker ones go on from stronger ones
_SLOPE_STEP = 1000  # of whole numbers that Canny reads
_BORDER_PX = 6
_SPECK_PX = 12  # of a crease: fewer pixels are the voxels' own steps
_GRID = 64  # columns of the coarse grid that poses are compared on


def depth_picture(
    points: Float[ndarray, "voxels 3"],
    pitch_m: float,
    intrinsics: Float[ndarray, "3 3"],
    camera_from_world: Float[ndarray, "4 4"],
    size: tuple[int, int],
) -> Float[ndarray, "rows columns"]:
    """Depth of the nearest voxel at every pixel of the photograph, reduced to at most :data:`WIDE` columns.

    Args:
        points: voxel centres, world frame, metres.
        pitch_m: their side.
        intrinsics, camera_from_world: of the photograph.
        size: (width, height) of the photograph.

    Returns:
        Metres along the line of sight; infinite where there is none.
    """
    scale, columns, rows = reduced(size, WIDE)
    focal, center = intrinsics[[0, 1], [0, 1]] * scale, (intrinsics[:2, 2] + 0.5) * scale
    found = apply_rigid(camera_from_world, np.asfortranarray(points.astype(np.float64)))
    found = found[(found[:, 2] > NEAR_M) & (found[:, 2] < FAR_M)]
    depth = found[:, 2]
    pixel = found[:, :2] / depth[:, None] * focal + center  # from the picture's corner
    wide = np.minimum(np.ceil(focal[0] * pitch_m / depth), _LARGEST).astype(int)
    picture = np.full(rows * columns, np.inf)
    for side in np.unique(wide).tolist():
        some = wide == side
        first = np.floor(pixel[some] - (side - 1) / 2).astype(int)
        for across in range(side):
            for down in range(side):
                x, y = first[:, 0] + across, first[:, 1] + down
                inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
                np.minimum.at(picture, y[inside] * columns + x[inside], depth[some][inside])
    made: Float[ndarray, "rows columns"] = picture.reshape(rows, columns)
    return made


def depth_edges(depth: Float[ndarray, "rows columns"]) -> Bool[ndarray, "rows columns"]:
    """Where a scan's surfaces end or bend: on a plane the inverse depth is linear over the picture, elsewhere not."""
    known: Bool[ndarray, "rows columns"] = np.isfinite(depth)
    if not known.any():
        return known
    inverse = np.where(known, 1 / depth.clip(NEAR_M), 0.0)
    share, smooth = (cv2.GaussianBlur(each, (0, 0), _BLUR_PX) for each in (known.astype(float), inverse))
    smooth = smooth / share.clip(1e-6)
    bend = np.abs(cv2.Laplacian(smooth, cv2.CV_64F)) / smooth.clip(1e-6)
    fine = np.log(np.where(known, inverse, smooth.clip(1 / FAR_M)))
    slopes = [np.round(cv2.Sobel(fine, cv2.CV_64F, *axis) * _SLOPE_STEP) for axis in ((1, 0), (0, 1))]
    across, down = (slope.clip(-32_000, 32_000).astype(np.int16) for slope in slopes)
    jumps = cv2.Canny(across, down, _JUMP[0] * _SLOPE_STEP, _JUMP[1] * _SLOPE_STEP) > 0
    around = cv2.dilate(jumps.astype(np.uint8), np.ones((9, 9))) > 0
    inner = np.zeros_like(known)
    inner[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX] = True  # at the border all planes seem to bend
    creases = (bend > _CREASE) & (share > 0.95) & inner & ~around
    _, label, facts, _ = cv2.connectedComponentsWithStats(creases.astype(np.uint8), connectivity=8)
    creases &= facts[label, cv2.CC_STAT_AREA] >= _SPECK_PX
    found: Bool[ndarray, "rows columns"] = (jumps & known) | creases
    return found


def edge_agreement(
    image: UInt8[ndarray, "height width 3"], edges: Bool[ndarray, "rows columns"]
) -> tuple[float, float]:
    """How strong the photograph's own edges are where the scan has some, and where its mirror image has some.

    Returns:
        Mean rank of the photograph's gradient along them, 0 to 1; 0.5 is chance.
    """
    rows, columns = edges.shape
    grey = cv2.cvtColor(cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    grey = cv2.GaussianBlur(grey.astype(float), (0, 0), 1.0)
    strength = np.hypot(cv2.Sobel(grey, cv2.CV_64F, 1, 0), cv2.Sobel(grey, cv2.CV_64F, 0, 1))
    strength = cv2.dilate(strength, np.ones((5, 5)))  # a calibration is off by a pixel or two
    flat = np.empty(strength.size)
    flat[np.argsort(strength, axis=None, kind="stable")] = np.linspace(0, 1, strength.size)
    rank = flat.reshape(strength.shape)
    if not edges.any():
        return 0.5, 0.5
    return float(rank[edges].mean()), float(rank[:, ::-1][edges].mean())


def image_share(
    points: Float[ndarray, "voxels 3"],
    intrinsics: Float[ndarray, "3 3"],
    camera_from_world: Float[ndarray, "4 4"],
    size: tuple[int, int],
) -> float:
    """Roughly, which share of the image sees the scan: of cells as large as 64 to its width, those with a voxel."""
    found = apply_rigid(camera_from_world, np.asfortranarray(points.astype(np.float64)))
    found = found[(found[:, 2] > NEAR_M) & (found[:, 2] < FAR_M)]
    cell = size[0] / _GRID
    rows = max(1, int(size[1] / cell))
    focal, center = intrinsics[[0, 1], [0, 1]], intrinsics[:2, 2] + 0.5
    place = np.floor((found[:, :2] / found[:, 2:] * focal + center) / cell)
    inside = ((place >= 0) & (place < (_GRID, rows))).all(axis=1)
    seen = np.zeros((rows, _GRID), dtype=bool)
    seen[place[inside, 1].astype(int), place[inside, 0].astype(int)] = True
    return float(seen.mean())
