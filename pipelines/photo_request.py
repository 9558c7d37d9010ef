"""What is asked of a prediction of one photograph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

CHECK = "check.png"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the command line asks for.

    Attributes:
        scene, scan_unit, scan_up: the scan, and what is known of it.
        camera, camera_name, camera_unit: file of cameras; which of them, None: by the photograph's name; the unit of
            formats that have none.
        image: the photograph.
        box, boxes, detect: the box by hand, or a file of boxes, or the detector is asked.
        person: the number of the person of several.
        checkpoint: trained network.
        output: folder that is not there yet, or holds a check picture alone.
        cache: folder of voxels and distance fields of scans.
        check_only: draw the check picture, and no more.
    """

    scene: Path
    scan_unit: str
    scan_up: str
    camera: Path
    camera_name: str | None
    camera_unit: str
    image: Path
    box: str | None
    boxes: Path | None
    detect: bool
    person: int | None
    checkpoint: Path
    output: Path
    cache: Path
    check_only: bool
