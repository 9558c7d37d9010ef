"""Tool: write predictions as meshes (PLY, OBJ, glTF) and SMPL parameters (npz) for other programs."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from tqdm import tqdm

from pipelines.stage import log, stage
from sahmr.body.fit import SmplFit
from sahmr.body.model import SMPL_FILE, load_clean
from sahmr.body.posed import smpl_tables
from sahmr.body.topology import load_topology
from sahmr.datasets import CARDS, DatasetCard, find_card
from sahmr.errors import ExportError
from sahmr.export.bodies import Frame, nearest, open_predictions, predicted_keys, read_bodies
from sahmr.export.meshes import MESH_FORMATS, write_mesh
from sahmr.export.smpl import write_smpl
from sahmr.files import is_plain_name, publish_folder
from sahmr.scenes.arrays import is_cloud, list_scenes
from sahmr.scenes.upright import load_up, rough_up_of, upright_axis
from sahmr.settings import Paths, load_section
from sahmr.shards.reader import INDEX_NAME, read_index

FORMATS = (*MESH_FORMATS, "npz")
Axis = tuple[float, float, float]
_CAMERA_UP = (0.0, -1.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked for.

    Attributes:
        dataset, predictor: whose table.
        key, sequence: a person-image, or all of a sequence that were predicted; one of them is None.
        formats: of :data:`FORMATS`.
        frame: of the files.
        output: folder that is not there yet.
    """

    dataset: str
    predictor: str
    key: str | None
    sequence: str | None
    formats: tuple[str, ...]
    frame: Frame
    output: Path


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line and ``paths`` of params.yaml, and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", choices=sorted(CARDS), required=True)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--key", help="of one person-image")
    what.add_argument("--sequence", help="all of its predicted person-images")
    parser.add_argument("--predictor", default="sahmr", help="table predictions/<dataset>/<predictor>.parquet")
    parser.add_argument("--format", default="glb", help=f"of {','.join(FORMATS)}: one or more, with commas between")
    parser.add_argument("--frame", choices=("world", "camera"), default="world")
    parser.add_argument("--output", type=Path, required=True, help="folder to be made")
    asked = vars(parser.parse_args(argv))
    formats = tuple(dict.fromkeys(asked.pop("format").split(",")))
    run(Request(**asked, formats=formats), load_section("paths", Paths))


def run(request: Request, paths: Paths) -> None:
    """Write ``KEY.ply``, ``KEY.obj``, ``KEY.glb`` of each body, and ``smpl.npz`` of all of them.

    Raises:
        ExportError: on an unknown key, sequence or format, or an output that is there already; before any work.
        SchemaError, ShardError: if the predictions, or the index that knows the sequences, are missing or damaged.
        BodyModelError: if the tables of a body are.
        StoreError: if the scenes, which say what is up, are damaged.
    """
    _check(request, paths)
    table_path = paths.predictions / request.dataset / f"{request.predictor}.parquet"
    table = open_predictions(table_path)
    rows = _rows(request, paths, table_path)
    card, faces = find_card(request.dataset), load_topology(paths.bodies).faces.numpy()
    smpl = smpl_tables(load_clean(paths.bodies / SMPL_FILE)) if "npz" in request.formats else None
    scenes = _meshed_scenes(request, paths)
    keys: list[str] = []
    fits: list[SmplFit] = []
    with publish_folder(request.output) as folder, tqdm(total=len(rows), desc="export", disable=None) as bar:
        for bodies in read_bodies(table, rows, request.frame, smpl):
            cameras = [None] * len(bodies.keys) if bodies.cameras is None else bodies.cameras
            for key, vertices, camera in zip(bodies.keys, bodies.vertices, cameras, strict=True):
                up = _up_of(card, camera, scenes.get(key))
                _write_meshes(request, folder, key, vertices, faces, up)
                bar.update()
            keys += bodies.keys
            fits += [] if bodies.smpl is None else [bodies.smpl]
        if smpl is not None:
            write_smpl(folder / "smpl.npz", smpl, keys, fits, request.frame)
    log.info("export: %d bodies, %s frame, as %s -> %s", len(rows), request.frame, ", ".join(request.formats),
             request.output)  # fmt: skip


def _check(request: Request, paths: Paths) -> None:
    if unknown := [name for name in request.formats if name not in FORMATS]:
        raise ExportError(f"--format: found {unknown[0]!r}, allowed {', '.join(FORMATS)}, with commas between")
    output = request.output.resolve()
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise ExportError(f"--output: {request.output} is there already; name a new folder, or remove it first")
    for field in fields(paths):
        if output.is_relative_to(getattr(paths, field.name).resolve()):
            raise ExportError(
                f"--output: {request.output} lies in paths.{field.name}, which is the stages'; name a folder outside"
            )
    if not is_plain_name(request.predictor) or "/" in request.predictor:
        raise ExportError(f"--predictor: found {request.predictor!r}, allowed a table's name without .parquet")


def _rows(request: Request, paths: Paths, table: Path) -> Int[ndarray, " rows"]:
    """Which rows of a predictions table are asked for.

    Raises:
        ExportError: if none is; naming the nearest of the keys, or of the sequences, that are there.
    """
    of = predicted_keys(table)
    option, name = ("--key", request.key) if request.key is not None else ("--sequence", str(request.sequence))
    if request.key is None:
        index = read_index(paths.shards / request.dataset).table
        sequences = dict(zip(*(index.column(each).to_pylist() for each in ("key", "sequence")), strict=True))
        of = [sequences.get(key, "") for key in of]
    rows = np.flatnonzero([each == name for each in of])
    if len(rows) == 0:
        raise ExportError(f"{option}: found {name!r}, {nearest(name, sorted(set(of)))} that {table} predicts")
    return rows


def _meshed_scenes(request: Request, paths: Paths) -> Mapping[str, tuple[Path, str]]:
    """Store and scene of each person-image whose scene is here and has a floor to be found, by key.

    Empty where nothing needs it, or shards or scenes, of which keys and floors are known, are not here.
    """
    shards, store = paths.shards / request.dataset, paths.scenes / f"{request.dataset}.zarr"
    needs_it = request.frame == "world" and "glb" in request.formats
    if not needs_it or not (shards / INDEX_NAME).is_file() or not (store / "zarr.json").is_file():
        return {}
    index = read_index(shards).table
    meshed = {name for name in list_scenes(store) if not is_cloud(store, name)}
    columns = (index.column(each).to_pylist() for each in ("key", "sequence", "scene_key"))
    asked = (request.key, request.sequence)
    return {
        key: (store, scene) for key, sequence, scene in zip(*columns, strict=True)
        if scene in meshed and asked in ((key, None), (None, sequence))
    }  # fmt: skip


def _up_of(card: DatasetCard, camera: Float[ndarray, "4 4"] | None, scene: tuple[Path, str] | None) -> tuple[Axis, str]:
    """What is up for a body, and what that is: the floor's normal, or the rough axis where no scene tells.

    Args:
        card: of the data set.
        camera: camera from world; None: the body is in the camera's frame.
        scene: store and name of a scene with a distance field.
    """
    if camera is None:
        return _CAMERA_UP, "of the camera"
    if scene is None:
        return upright_axis(card.rough_up, camera), "rough axis"
    x, y, z = load_up(*scene, rough_up_of(card.rough_up, camera)).tolist()
    return (x, y, z), "of the floor"


def _write_meshes(
    request: Request, folder: Path, key: str, vertices: ndarray, faces: ndarray, up: tuple[Axis, str]
) -> None:
    if not is_plain_name(key) or "/" in key:
        raise ExportError(f"the predictions table has the key {key!r}, which makes no file name; export another table")
    about: dict[str, Any] = {
        "dataset": request.dataset, "key": key, "predictor": request.predictor, "frame": request.frame,
        "axes": "x right, y down, z forward" if request.frame == "camera" else "of the scan",
        "up": up[1],
    }  # fmt: skip
    for name in request.formats:
        if name in MESH_FORMATS:
            write_mesh(folder / f"{key}.{name}", vertices, faces, up=up[0], about=about)


if __name__ == "__main__":
    main()
