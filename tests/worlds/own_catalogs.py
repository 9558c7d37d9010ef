"""A repository in whose folder ``pipelines/own`` the stages ran, up to predictions, on a photograph and a video."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import yaml

from sahmr.files import write_manifest
from sahmr.readers.own import OwnReader
from sahmr.scenes.build import create_store, write_scene
from sahmr.shards.encode import encode_sample, plan_crop
from sahmr.shards.left_out import write_left_out
from sahmr.shards.write import write_index, write_shard
from schemas.frame import FRAME_SCHEMA
from schemas.scene import SCENE_SCHEMA
from schemas.tables_write import to_table, write_table
from tests.imports import ROOT
from tests.worlds import own_folders as own
from tests.worlds import small
from tests.worlds.catalogs import write_lock, write_predictions
from tests.worlds.raw_trees import put

OWN = "pipelines/own"
PHOTOGRAPH, FRAME = "room_cam0-0001", "room_cam1-000002"
SHARD = "../../data/own/shards/own/own-test-room-000000.tar"
_FILES = (
    *("dvc.yaml", "params.yaml", "pipelines/demo/dvc.yaml"),
    *(f"{OWN}/{name}" for name in ("dvc.yaml", "params.yaml", "capture/dvc.yaml", "truth/dvc.yaml")),
)


def write_pipelines(root: Path, raw: str) -> None:
    """Both pipelines' files, as the repository has them, with another ``raw.own``."""
    for name in _FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / ".dvc").mkdir()
    write_params(root / OWN, raw)


def write_params(folder: Path, raw: str) -> None:
    """Another ``raw.own``, from the folder ``pipelines/own`` on."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["raw"]["own"] = raw
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def write_repository(root: Path) -> None:
    """Everything in it, the user's folder too; of the main pipeline only ``demo`` and ``bodies`` ran."""
    write_pipelines(root, "../../scans")
    folder = root / "scans"
    scene = own.folder(folder, {"cam0": own.camera(), "cam1": own.camera()})
    put(scene / "scene.json", json.dumps({"split": "test"}))
    own.table(scene / "boxes.csv", {"cam0/0001.png": own.BOX, "cam1/2": own.BOX})
    _write_video(scene / "images/cam1.avi", 3)
    for place in ("demo/RICH", "demo/PROX", "demo/body_models", "bodies"):
        put(root / "data" / place / "model", "ours")
    _write_data(root / "data/own", folder)
    write_lock(root)
    write_lock(root / OWN)


def _write_video(path: Path, count: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 5.0, own.SIZE)
    for number in range(count):
        writer.write(np.ascontiguousarray(small.image(number)[..., ::-1]))
    writer.release()


def _write_data(data: Path, raw: Path) -> None:
    reader = OwnReader(root=raw, bodies=data.parent / "bodies")
    records = list(reader.frames())
    write_table(data / "frames/own.parquet", to_table(records, FRAME_SCHEMA))
    write_table(data / "frames/own_scenes.parquet", to_table(reader.scenes(), SCENE_SCHEMA))
    write_manifest(
        data / "frames/own.manifest.json", ["own.parquet", "own_scenes.parquet"], stage="frames", dataset="own"
    )
    write_store(data, raw)
    shards, made = data / "shards/own", []
    shards.mkdir(parents=True)
    for record in records:
        plan = plan_crop(record, small.SHARDS)
        image = reader.read_image(record, plan.region, plan.divisor)
        made.append((record, encode_sample(record, image, None, None, small.SHARDS)))
    write_index(shards, write_shard(shards, Path(SHARD).name, made))
    write_left_out(shards, [])
    write_manifest(shards / "manifest.json", stage="shards", dataset="own")
    write_predictions(data / "predictions/own/sahmr.parquet", [record.key for record in records])
    table = ["sahmr.parquet"]
    write_manifest(data / "predictions/own/sahmr.manifest.json", table, stage="predict", dataset="own")


def write_store(data: Path, raw: Path) -> None:
    """What stage ``scenes`` makes of the scan that lies there."""
    (scan,), store = OwnReader(root=raw, bodies=data.parent / "bodies").scenes(), data / "scenes/own.zarr"
    shutil.rmtree(store, ignore_errors=True)
    create_store(store, "own")
    write_scene(scan, store=store, raw_root=raw, settings=small.SCENES)
    write_manifest(data / "scenes/own.manifest.json", ["own.zarr"], stage="scenes", dataset="own")
