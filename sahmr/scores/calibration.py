"""Whether probabilities of contact hold: of the points said to be touched with 70 %, seven in ten should be."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.csv
from jaxtyping import Bool, Float
from numpy import ndarray
from scipy.spatial import cKDTree

from sahmr.targets import CONTACT_DISTANCE_M

BINS = 10  # of probability, equally wide
_HARMLESS_M = 1e-6  # of the box round the touching vertices, for rounding


def count_contacts(
    points: Float[ndarray, "points 3"],
    probability: Float[ndarray, " points"],
    touching: Float[ndarray, "vertices 3"],
) -> Float[ndarray, "10 3"]:
    """Per bin of probability: points, the sum of their probabilities, and how many are touched. Add up over images.

    A point is touched if it is nearer than 0.07 m (the targets' distance) to a touching vertex of the true body.

    Args:
        points: of the scan, any frame, metres.
        probability: of contact, of each.
        touching: vertices of the true body that touch, same frame; may be none.
    """
    is_touched = _touched(points, touching)
    bins = np.clip((probability * BINS).astype(np.int64), 0, BINS - 1)
    columns = [np.bincount(bins, weights, minlength=BINS) for weights in (None, probability, is_touched)]
    return np.stack([column.astype(np.float64) for column in columns], axis=1)


def _touched(points: Float[ndarray, "points 3"], touching: Float[ndarray, "vertices 3"]) -> Bool[ndarray, " points"]:
    found = np.zeros(len(points), dtype=bool)
    if len(touching):
        reach = CONTACT_DISTANCE_M + _HARMLESS_M
        near = ((points > touching.min(axis=0) - reach) & (points < touching.max(axis=0) + reach)).all(axis=1)
        distance, _ = cKDTree(touching).query(points[near], distance_upper_bound=CONTACT_DISTANCE_M)
        found[near] = distance < CONTACT_DISTANCE_M
    return found


def calibration_csv(counts: Float[ndarray, "10 3"]) -> str:
    """Mean probability, share touched and number of points of every bin that has any, as CSV for ``dvc plots``."""
    points, said, found = counts[counts[:, 0] > 0].T
    columns = {
        "predicted": np.round(said / points, 4),
        "touched": np.round(found / points, 4),
        "points": points.astype(int),
    }
    stream = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(columns), stream)
    return stream.getvalue().decode()
