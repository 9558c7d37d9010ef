"""A scan of a user's own for the scene store: any format and unit, a mesh or a cloud of points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from sahmr.scenes.own_scan import read_mesh, unit_in_name
from sahmr.scenes.scan import ScanLimits, check_size

Points = Float[ndarray, "points 3"]


def read_own_scan(path: Path, limits: ScanLimits) -> tuple[Points, Int[ndarray, "faces 3"]]:
    """Vertices in metres, in the axes of the file, and faces; a cloud has none.

    The unit is metres, or what the name states. A scan that is no room in it is refused, not scaled.

    Raises:
        RawDataError: as :func:`read_mesh`, or if the size is no scan's; saying the name that would make it one.
    """
    mesh, (unit, metres) = read_mesh(path), unit_in_name(path)
    vertices: Points = mesh.vertices * metres
    met = vertices[np.unique(mesh.faces)] if len(mesh.faces) else vertices
    remedy = f"the name states {unit}: rename it, as in {path.name.split('.')[0]}.mm{path.suffix} for millimetres"
    check_size(path, met, limits, remedy=remedy)
    return vertices, mesh.faces
