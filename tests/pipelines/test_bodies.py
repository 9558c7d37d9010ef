"""Stage ``bodies``: from a raw folder to clean files, the same every time."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from pipelines import bodies
from sahmr.body.model import clean_path, load_clean
from sahmr.body.topology import load_topology
from sahmr.body.transfer import load_transfer
from tests.worlds.bodies import model_arrays, write_body_tree


def write_params(root: Path) -> None:
    names = ("bodies", "frames", "scenes", "shards", "models", "predictions", "scores", "reports", "catalog", "work")
    params = {
        "paths": {name: f"out/{name}" for name in names},
        "bodies": {"raw": "raw_bodies", "num_betas": 10},
    }
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_stage_writes_clean_files_with_equal_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    write_body_tree(tmp_path / "raw_bodies")
    bodies.main([])
    out = tmp_path / "out" / "bodies"
    first = digests(out)
    models = ["SMPLX_FEMALE.npz", "SMPLX_MALE.npz", "SMPL_NEUTRAL.npz"]
    assert list(first) == [*models, "manifest.json", "topology.npz", "transfer.npz"]
    assert load_clean(clean_path(out, "smpl", "neutral")).kind == "smpl"
    model = load_clean(clean_path(out, "smplx", "female"))
    np.testing.assert_array_equal(model.v_template, model_arrays("smplx")["v_template"])
    assert load_topology(out).faces.shape == (13776, 3) and load_transfer(out / "transfer.npz").shape == (6890, 10475)
    bodies.main([])
    assert digests(out) == first


def test_missing_files_stop_the_stage_with_one_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    (tmp_path / "raw_bodies").mkdir()
    with pytest.raises(SystemExit):
        bodies.main([])
    assert "7 body files are missing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
