"""Folders of one's own after the shards: what is predicted, shown and scored where there is little to go by."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
import trimesh

from pipelines import evaluate, show
from sahmr.batches.collate import collate
from sahmr.batches.dataset import SampleDataset
from sahmr.errors import StoreError
from sahmr.inference import predict_tables
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import OWN
from sahmr.readers.own import OwnReader
from sahmr.scenes.build import create_store, write_scene
from sahmr.settings import Paths
from sahmr.shards.encode import encode_sample, plan_crop
from sahmr.shards.left_out import write_left_out
from sahmr.shards.write import write_index, write_shard
from schemas.fields import read_table
from schemas.prediction import PREDICTION_SCHEMA, SPLIT
from schemas.tables_write import write_table
from tests.worlds import own_folders as own
from tests.worlds import small
from tests.worlds.networks import TINY, make_topology, write_topology

Scan = trimesh.Trimesh | trimesh.PointCloud


def predicted(root: Path, scan: Scan, pose: np.ndarray = own.POSE) -> Paths:
    """Every output up to predictions, of a folder with one scene, photograph, box and body."""
    paths = small.paths_of(root)
    write_topology(paths.bodies)
    scene = own.folder(root / "raw", {"cam0": own.camera(camera_from_world=pose.tolist())})
    scan.export(scene / "scan.ply")
    (scene / "bodies/cam0").mkdir(parents=True)
    np.save(scene / "bodies/cam0/0001.npy", small.vertices())
    reader = OwnReader(root=root / "raw", bodies=paths.bodies)
    (record,), (scanned,) = reader.frames(), reader.scenes()
    create_store(paths.scenes / "own.zarr", "own")
    write_scene(scanned, store=paths.scenes / "own.zarr", raw_root=reader.root, settings=small.SCENES)
    plan, shards = plan_crop(record, small.SHARDS), paths.shards / "own"
    image = reader.read_image(record, plan.region, plan.divisor)
    members = encode_sample(record, image, reader.load_body_world(record), None, small.SHARDS)
    shards.mkdir(parents=True)
    write_index(shards, write_shard(shards, "own-test-000000.tar", [(record, members)]))
    write_left_out(shards, [])
    samples, topology = SampleDataset(shards, paths.scenes / "own.zarr", "test"), make_topology()
    torch.manual_seed(0)
    tables = predict_tables(SahmrNet(TINY, OWN, topology), [collate([samples[0]])],
                            joint_regressor=topology.joint_regressor)  # fmt: skip
    write_table(paths.predictions / "own/sahmr.parquet", next(iter(tables)), extra={SPLIT: "test"})
    return paths


def page_of(paths: Paths) -> str:
    show.run("own", show.Show(frames=1), paths, small.PARALLEL)
    return (paths.reports / "own/people.html").read_text()


def score(paths: Paths, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(evaluate, "_draw", lambda *_: None)
    evaluate.run("own", evaluate.Evaluate(split="test", sheet_frames=1), paths, small.PARALLEL)


def test_bodies_of_ones_own_are_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = predicted(tmp_path, small.room())
    score(paths, monkeypatch)
    table = read_table(paths.predictions / "own/sahmr.parquet", PREDICTION_SCHEMA)
    found = np.array(table.column("vertices").to_pylist()).reshape(-1, 3)
    true = small.vertices() @ own.POSE[:3, :3].T + own.POSE[:3, 3]
    summary = json.loads((paths.reports / "own_metrics.json").read_text())["sahmr"]
    expected = 1000 * np.linalg.norm(found - true, axis=1).mean()
    assert summary["global_mpve_mm"] == pytest.approx(expected, rel=1e-3)


def test_a_cloud_is_predicted_with_and_shown_but_not_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = predicted(tmp_path, own.cloud())
    assert "left out: the scan is points without faces" in page_of(paths)
    with pytest.raises(
        StoreError, match=r"scene room was scanned as points without faces: .*no distance field"
    ) as told:
        score(paths, monkeypatch)
    assert len(str(told.value).splitlines()) == 1
    assert not list(paths.scores.glob("*"))


def test_a_view_without_scan_points_is_predicted_without_contact_and_its_page_counts_none(tmp_path: Path) -> None:
    away = own.POSE.copy()
    away[2, 3] += 40
    paths = predicted(tmp_path, small.room(), away)
    table = read_table(paths.predictions / "own/sahmr.parquet", PREDICTION_SCHEMA)
    assert pc.sum(table.column("contact_count")).as_py() == 0  # the stage says: "1 without any"
    assert np.isfinite(np.array(table.column("vertices").to_pylist())).all()
    assert "scan points in view&nbsp;<b>0</b>, contact points&nbsp;<b>0</b>" in page_of(paths)
