"""Voxels and distance field of a user's scan, kept from an earlier photograph, made ahead, or made now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from sahmr.errors import RawDataError
from sahmr.scenes.kept_ahead import Ahead
from sahmr.scenes.kept_files import FIELD, VOXELS, Geometry, folder_of, load, make_field, make_voxels
from sahmr.scenes.section import Scenes
from sahmr.scenes.store import Scene


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptScan:
    """A scan and its place in a cache.

    Attributes:
        geometry, settings: what decides voxels and field.
        cache, folder: of all scans; name of this one's, see :func:`folder_of`.
        ahead: the process that may be at it already.
    """

    geometry: Geometry
    settings: Scenes
    cache: Path
    folder: str
    ahead: Ahead

    def voxels(self) -> tuple[Float[ndarray, "voxels 3"], bool]:
        """Centres, world frame, metres, Morton order; and whether they were kept from before.

        Raises:
            RawDataError: as :func:`make_voxels`.
        """
        was_kept = self.ahead.wait(self.folder, VOXELS)
        kept = load(self.cache / self.folder / VOXELS, "points")
        if kept is not None:
            return kept["points"], was_kept is not False
        return make_voxels(self.geometry, self.settings, self.cache / self.folder), False

    def scene(self, points: Float[ndarray, "voxels 3"]) -> tuple[Scene | None, bool]:
        """Voxels and field, None for a cloud; and whether the field was kept from before. After :meth:`voxels`.

        Raises:
            RawDataError: as :func:`make_field`.
        """
        if len(self.geometry.faces) == 0:
            return None, False
        was_kept = self.ahead.wait(self.folder, FIELD)
        place = self.cache / self.folder
        found = load(place / FIELD, "sdf")
        if found is None:
            make_field(self.geometry, self.settings, place)
            found, was_kept = load(place / FIELD, "sdf"), False
        if found is None:
            raise RawDataError(f"{place}: its {FIELD} is gone or damaged; run the command again")
        sdf, lower, upper = (torch.from_numpy(found[name].astype(np.float32)) for name in ("sdf", "lower", "upper"))
        attributes = {"voxel_pitch_m": self.settings.voxel_pitch_m}
        made = Scene(points=torch.from_numpy(points), sdf=sdf, sdf_min=lower, sdf_max=upper, attributes=attributes)
        return made, was_kept is not False


def kept_scan(geometry: Geometry, settings: Scenes, cache: Path, ahead: Ahead) -> KeptScan:
    """A scan's place in a cache; ``ahead`` may have been started for its file."""
    return KeptScan(
        geometry=geometry, settings=settings, cache=cache, folder=folder_of(geometry, settings), ahead=ahead
    )
