"""Tool: predict the person in one photograph of a scanned room, and write it as meshes, SMPL parameters and pages."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from pipelines.conversion.parallel import Parallel
from pipelines.photo_input import Asked, Photo, describe, read_photo, read_room
from pipelines.photo_output import check_lines, write_page, write_person
from pipelines.stage import log, stage
from sahmr.batches.collate import collate
from sahmr.batches.dataset import camera_of, sample_in
from sahmr.body.model import SMPL_FILE, load_clean
from sahmr.body.posed import smpl_tables
from sahmr.body.topology import load_topology
from sahmr.errors import ExportError, RawDataError
from sahmr.inference import predict_tables
from sahmr.report.check import draw_check
from sahmr.scenes.build import Scenes
from sahmr.scenes.kept import kept_scan
from sahmr.scenes.own_scan import SCAN_UNITS, UPS, OwnScan
from sahmr.scenes.views import make_view
from sahmr.scenes.visible import block_points
from sahmr.settings import Paths, load_section
from sahmr.shards.encode import Shards
from sahmr.shards.photo import stored_photo
from sahmr.sight.figures import look
from sahmr.sight.verdict import judge
from sahmr.structures import Sample
from sahmr.training.build import prepare_torch
from sahmr.training.checkpoint import read_checkpoint
from sahmr.training.restore import network_of

CHECK = "check.png"
_EXAMPLE = (
    "example: python -m pipelines.predict_photo --scene room.ply --camera camera.json --image photo.jpg "
    "--box 410,120,690,890 --checkpoint data/models/sahmr.pt --output out/"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Asked):
    """What is asked for.

    Attributes:
        checkpoint: trained network.
        output: folder that is not there yet, or holds a check picture alone.
        cache: folder of voxels and distance fields of scans.
        check_only: draw the check picture, and no more.
    """

    checkpoint: Path
    output: Path
    cache: Path
    check_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """The parts of params.yaml that a prediction goes by: the same as the stages'."""

    paths: Paths
    scenes: Scenes
    shards: Shards
    parallel: Parallel


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and params.yaml, and predict."""
    parser = argparse.ArgumentParser(description=__doc__, epilog=_EXAMPLE)
    parser.add_argument("--scene", type=Path, required=True, help="scan: ply, obj, glb, gltf, stl or off")
    parser.add_argument("--scan-unit", choices=("auto", *SCAN_UNITS), default="auto")
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
    asked = Request(**vars(parser.parse_args(argv)))
    run(
        asked,
        Sections(
            paths=load_section("paths", Paths),
            scenes=load_section("scenes", Scenes),
            shards=load_section("shards", Shards),
            parallel=load_section("parallel", Parallel),
        ),
    )


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sahmr-scans"


def run(request: Request, sections: Sections) -> None:
    """Check camera and scan against each other, then predict and write the files.

    Raises:
        ExportError: if the output is there already.
        RawDataError: if a file is damaged, or scan, camera, photograph and box do not belong together: then the check
            picture is there, to see why.
        CheckpointError, BodyModelError: if network or body tables are missing or damaged.
    """
    begun = time.monotonic()
    _check_output(request.output)
    photo, scan = read_photo(request), read_room(request, sections.scenes.scan)
    log.info("predict_photo: %s", scan.told)
    log.info("predict_photo: %s", describe(photo))
    kept = kept_scan(request.scene, scan, sections.scenes, request.cache)
    field = None if request.check_only else kept.start_field()
    voxels, was_kept = kept.voxels()
    _check_sight(request, scan, voxels, sections.scenes.voxel_pitch_m, photo)
    if field is None:
        log.info("predict_photo: %s; nothing predicted (--check-only)", request.output / CHECK)
        return
    sample, table, faces = _predict(request, sections, photo, voxels)
    scene = field.scene(voxels)
    person = write_person(request.output, table, scan, scene, photo, faces, sections.paths.bodies / SMPL_FILE)
    write_page(request.output, request.image.name, sample, person, scan, scene, voxels, sections.scenes.voxel_pitch_m)
    log.info(
        "predict_photo: root at (%s) m in the scan, %d contact points, PenE %s; voxels %s, field %s; %.1f s -> %s",
        ", ".join(f"{value:.2f}" for value in person.root), len(person.contacts),
        "left out: a cloud has no distance field" if person.penetration_m is None else f"{person.penetration_m:.2f} m",
        "kept" if was_kept else "made", "none" if scene is None else "kept" if field.was_kept else "made",
        time.monotonic() - begun, request.output,
    )  # fmt: skip


def _check_output(output: Path) -> None:
    if output.exists() and not (output.is_dir() and {each.name for each in output.iterdir()} <= {CHECK}):
        raise ExportError(f"--output: {output} is there already; name a new folder, or remove it first")


def _check_sight(
    request: Request, scan: OwnScan, voxels: Float[ndarray, "voxels 3"], pitch_m: float, photo: Photo
) -> None:
    """Draw the check picture; refuse what cannot be right, and say what is suspected."""
    view = photo.view
    sight = look(scan, voxels, pitch_m, view, photo.pixels)
    verdict = judge(scan, voxels, view, sight)
    lines = check_lines(scan, sight, verdict)
    request.output.mkdir(parents=True, exist_ok=True)
    draw_check(
        request.output / CHECK, photo.pixels, sight.depth, sight.edges, voxels,
        (view.intrinsics, view.camera_from_world), view.box, scan.up,
        title=f"{request.image.name} in {request.scene.name}", lines=lines,
    )  # fmt: skip
    for kind, text in lines:
        if kind == "":
            log.info("predict_photo: %s", text)
        elif kind == "odd":
            log.warning("predict_photo: suspected: %s", text)
    if verdict.wrong:
        raise RawDataError(
            f"{request.camera}: does not fit {request.scene}: {'; '.join(verdict.wrong)}; look at "
            f"{request.output / CHECK}, correct the camera, --scan-unit or --scan-up"
        )


def _predict(
    request: Request, sections: Sections, photo: Photo, voxels: Float[ndarray, "voxels 3"]
) -> tuple[Sample, dict[str, ndarray], ndarray]:
    """Through the functions of the stages ``shards`` and ``predict``: crop, scene points, batch, network, table."""
    device = prepare_torch(sections.parallel.threads)
    topology = load_topology(sections.paths.bodies)
    smpl = smpl_tables(load_clean(sections.paths.bodies / SMPL_FILE))
    checkpoint = read_checkpoint(request.checkpoint)
    network = network_of(checkpoint, topology, backend="native", source=str(request.checkpoint)).to(device)
    view = photo.view
    stored = stored_photo(
        request.image.stem, photo, view.intrinsics, view.camera_from_world, np.array(view.box), sections.shards
    )
    sample = sample_in(stored, view.crop, make_view(block_points(torch.from_numpy(voxels)), *camera_of(stored)))
    tables = predict_tables(network, [collate([sample])], joint_regressor=topology.joint_regressor, smpl=smpl)
    table = next(tables)
    row = {name: np.asarray(table.column(name)[0].as_py()) for name in table.column_names}
    return sample, row, topology.faces.numpy()


if __name__ == "__main__":
    main()
