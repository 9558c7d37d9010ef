"""Tool: predict the person in one photograph of a scanned room, and write it as meshes, SMPL parameters and pages."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

from pipelines.photo_request import CHECK, Request
from pipelines.stage import stage
from sahmr.errors import ExportError
from sahmr.scenes.kept_ahead import start
from sahmr.scenes.own_scan import SCAN_UNITS, UPS, full_unit
from sahmr.scenes.section import Scenes
from sahmr.settings import load_section

_EXAMPLE = (
    "example: python -m pipelines.predict_photo --scene room.ply --camera camera.json --image photo.jpg "
    "--box 410,120,690,890 --checkpoint data/models/sahmr.pt --output out/"
)


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, begin with the scan in a process of its own, and predict."""
    begun = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EXAMPLE)
    parser.add_argument("--scene", type=Path, required=True, help="scan: ply, obj, glb, gltf, stl or off")
    parser.add_argument(
        "--scan-unit", type=full_unit, choices=("auto", *SCAN_UNITS), default="auto", help="or m, cm, mm, in, ft"
    )
    parser.add_argument("--scan-up", choices=("auto", *UPS), default="auto", help="as in --scan-up=-y")
    parser.add_argument("--camera", type=Path, required=True, help="camera file, or folder of a COLMAP model")
    parser.add_argument("--camera-name", help="which of its cameras; default: that of the photograph's name")
    parser.add_argument("--camera-unit", choices=("unknown", "m"), default="unknown", help="of files that have none")
    parser.add_argument("--image", type=Path, required=True, help="photograph: jpg, png or bmp")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--box", help="left,top,right,bottom of the person, pixels")
    which.add_argument("--boxes", type=Path, help="table (.csv) or COCO (.json) with the photograph's box")
    which.add_argument("--detect", action="store_true", help="find the person (pip install '.[detect]')")
    parser.add_argument("--person", type=int, help="which of several boxes of the photograph, from 1 on")
    parser.add_argument("--checkpoint", type=Path, default=Path("data/models/sahmr.pt"))
    parser.add_argument("--output", type=Path, required=True, help="folder to be made")
    parser.add_argument("--cache", type=Path, default=_cache(), help="folder of scans' voxels and distance fields")
    parser.add_argument("--check-only", action="store_true", help=f"draw {CHECK}, and predict nothing")
    request = Request(**vars(parser.parse_args(argv)))
    _check_output(request.output)
    scenes = load_section("scenes", Scenes)
    with start(request.scene, request.scan_unit, scenes, request.cache, is_field_asked=not request.check_only) as ahead:
        from pipelines.photo_predict import run  # torch and all else, while the other process reads the scan

        run(request, scenes, ahead, begun)


def _check_output(output: Path) -> None:
    """Refuse an output that is there already, before any work."""
    if output.exists() and not (output.is_dir() and {each.name for each in output.iterdir()} <= {CHECK}):
        raise ExportError(f"--output: {output} is there already; name a new folder, or remove it first")


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sahmr-scans"


if __name__ == "__main__":
    main()
