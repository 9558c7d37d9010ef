"""One photograph of a scanned room to files: through the functions of the stages, once the request is known."""

from __future__ import annotations

import time

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray

from pipelines.conversion.parallel import Parallel
from pipelines.photo_input import Photo, describe, read_photo, read_room
from pipelines.photo_output import check_lines, write_page, write_person
from pipelines.photo_request import CHECK, Request
from pipelines.predict import Predict, mesh_of
from pipelines.stage import log
from sahmr.batches.collate import collate
from sahmr.batches.dataset import camera_of, sample_in
from sahmr.body.model import SMPL_FILE, load_clean
from sahmr.body.posed import smpl_tables
from sahmr.body.topology import load_topology
from sahmr.errors import RawDataError
from sahmr.inference import Mesh, predict_tables
from sahmr.report.check import draw_check
from sahmr.scenes.kept import kept_scan
from sahmr.scenes.kept_ahead import Ahead
from sahmr.scenes.kept_files import Geometry
from sahmr.scenes.own_scan import OwnScan
from sahmr.scenes.section import Scenes
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


def run(request: Request, scenes: Scenes, ahead: Ahead, begun: float) -> None:
    """Check camera and scan against each other, then predict and write the files.

    Args:
        request: what is asked for.
        scenes: section of params.yaml; the others, the same as the stages', are read here.
        ahead: process that makes voxels and field of the scan.
        begun: on the clock ``time.monotonic``.

    Raises:
        RawDataError: if a file is damaged, or scan, camera, photograph and box do not belong together: then the check
            picture is there, to see why.
        CheckpointError, BodyModelError: if network or body tables are missing or damaged.
    """
    paths, shards = load_section("paths", Paths), load_section("shards", Shards)
    parallel, wanted = load_section("parallel", Parallel), load_section("predict", Predict)
    photo, scan = read_photo(request), read_room(request, scenes.scan)
    log.info("predict_photo: %s", scan.told)
    log.info("predict_photo: %s", describe(photo))
    geometry = Geometry(path=request.scene, vertices=scan.vertices, faces=scan.faces)
    kept = kept_scan(geometry, scenes, request.cache, ahead)
    voxels, was_kept = kept.voxels()
    _check_sight(request, scan, voxels, scenes.voxel_pitch_m, photo)
    if request.check_only:
        log.info("predict_photo: %s; nothing predicted (--check-only)", request.output / CHECK)
        return
    sample, table, faces = _predict(request, paths, shards, wanted.mesh, photo, voxels, prepare_torch(parallel.threads))
    scene, was_field_kept = kept.scene(voxels)
    person = write_person(request.output, table, scan, scene, photo, faces, paths.bodies / SMPL_FILE)
    write_page(request.output, request.image.name, sample, person, scan, scene, voxels, scenes.voxel_pitch_m)
    log.info(
        "predict_photo: root at (%s) m in the scan, %d contact points, PenE %s; voxels %s, field %s; %.1f s -> %s",
        ", ".join(f"{value:.2f}" for value in person.root), len(person.contacts),
        "left out: a cloud has no distance field" if person.penetration_m is None else f"{person.penetration_m:.2f} m",
        "kept" if was_kept else "made", "none" if scene is None else "kept" if was_field_kept else "made",
        time.monotonic() - begun, request.output,
    )  # fmt: skip


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
    request: Request,
    paths: Paths,
    shards: Shards,
    wanted: Mesh,
    photo: Photo,
    voxels: Float[ndarray, "voxels 3"],
    device: torch.device,
) -> tuple[Sample, dict[str, ndarray], ndarray]:
    """Through the functions of the stages ``shards`` and ``predict``: crop, scene points, batch, network, table."""
    topology = load_topology(paths.bodies)
    smpl = smpl_tables(load_clean(paths.bodies / SMPL_FILE))
    checkpoint = read_checkpoint(request.checkpoint)
    network = network_of(checkpoint, topology, backend="native", source=str(request.checkpoint)).to(device)
    view = photo.view
    stored = stored_photo(
        request.image.stem, photo, view.intrinsics, view.camera_from_world, np.array(view.box), shards
    )
    sample = sample_in(stored, view.crop, make_view(block_points(torch.from_numpy(voxels)), *camera_of(stored)))
    batches, mesh = [collate([sample])], mesh_of(checkpoint, wanted)
    (table,) = predict_tables(network, batches, joint_regressor=topology.joint_regressor, smpl=smpl, mesh=mesh)
    row = {name: np.asarray(table.column(name)[0].as_py()) for name in table.column_names}
    return sample, row, topology.faces.numpy()
