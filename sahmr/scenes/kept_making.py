"""Voxels and distance field of a scan from its file alone, told one after the other; a process of its own runs it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from sahmr.scenes.kept_files import FIELD, VOXELS, Geometry, folder_of, load, make_field, make_voxels
from sahmr.scenes.own_scan import SCAN_UNITS, open_scan, read_mesh, unit_by_size
from sahmr.scenes.section import Scenes


def make(
    path: Path,
    unit: str,
    settings: Scenes,
    cache: Path,
    is_field_asked: bool,
    tell: Callable[[tuple[str, str, bool]], None],
) -> None:
    """Make what is not kept yet; tell folder, file, and whether it was there.

    Raises:
        RawDataError: as :func:`open_scan`, :func:`make_voxels` and :func:`make_field`.
    """
    geometry = _read(path, unit)
    folder = folder_of(geometry, settings)
    was_there = load(cache / folder / VOXELS, "points") is not None
    if not was_there:
        make_voxels(geometry, settings, cache / folder)
    tell((folder, VOXELS, was_there))
    if len(geometry.faces) == 0 or not is_field_asked:
        return
    was_there = load(cache / folder / FIELD, "sdf") is not None
    if not was_there:
        make_field(geometry, settings, cache / folder)
    tell((folder, FIELD, was_there))


def _read(path: Path, unit: str) -> Geometry:
    """As :func:`open_scan` does, whose search for the way up is left out wherever it decides nothing."""
    mesh = read_mesh(path)
    found = unit_by_size(mesh) if unit == "auto" else unit
    if found is None:
        found = open_scan(path, need_up=False).unit
    return Geometry(path=path, vertices=mesh.vertices * SCAN_UNITS[found], faces=mesh.faces)


def _tell(told: tuple[str, str, bool]) -> None:
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    _scan, _scan_unit, _cache, _is_field_asked, _settings = json.loads(sys.argv[1])
    make(Path(_scan), _scan_unit, Scenes(**_settings), Path(_cache), _is_field_asked, _tell)
