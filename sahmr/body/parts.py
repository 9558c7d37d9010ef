"""Contact body parts: the part id of every vertex."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sahmr.dimensions import NUM_COARSE, NUM_PARTS, NUM_VERTICES
from sahmr.errors import BodyModelError
from sahmr.untrusted.arrays import to_array
from sahmr.untrusted.pickles import load_npy


def read_parts(path: Path) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
    """Read ``seg_part_info.npy``.

    Returns:
        The 8 part names (id 0 first), part ids of the 6890 and of the 431 vertices.

    Raises:
        BodyModelError: on a missing key, a wrong length or an id outside 0..7.
    """
    content = load_npy(path, error=BodyModelError)
    wanted = ("predefined_segparts", "verts6890_pids", "verts431_pids")
    if not isinstance(content, dict) or any(key not in content for key in wanted):
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise BodyModelError(f"{path}: expected a dict with {list(wanted)}, found {found}")
    names = tuple(str(name) for name in content["predefined_segparts"])
    if len(names) != NUM_PARTS:
        raise BodyModelError(f"{path}: {len(names)} part names, expected {NUM_PARTS}")
    full = _part_ids(path, "verts6890_pids", content["verts6890_pids"], NUM_VERTICES)
    return names, full, _part_ids(path, "verts431_pids", content["verts431_pids"], NUM_COARSE)


def _part_ids(path: Path, key: str, values: object, length: int) -> NDArray[np.int64]:
    try:
        ids = to_array(values).astype(np.float64)
    except (TypeError, ValueError, OverflowError) as problem:
        raise BodyModelError(f"{path}: '{key}' is no array of numbers ({problem}); fetch it again") from None
    if ids.shape != (length,):
        raise BodyModelError(f"{path}: '{key}' has shape {ids.shape}, expected ({length},)")
    if not np.isin(ids, np.arange(NUM_PARTS)).all():
        raise BodyModelError(f"{path}: '{key}' holds ids outside 0..{NUM_PARTS - 1}")
    return ids.astype(np.int64)
