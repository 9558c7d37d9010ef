"""The tool on small files of the authors, and the stages that run what it writes."""

from __future__ import annotations

import functools
import os
import resource
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from pipelines import convert_checkpoint, evaluate, predict, train_rcnet, train_sahmr
from sahmr.files import file_sha256
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import OWN, REFERENCE
from sahmr.training import restore
from sahmr.training.checkpoint import load_plain, read_checkpoint, save_checkpoint
from schemas.fields import read_table
from schemas.prediction import PREDICTION_SCHEMA
from tests.worlds import authors_files, small
from tests.worlds.networks import TINY, make_topology, write_topology


@pytest.fixture(scope="module", autouse=True)
def patch() -> Iterator[pytest.MonkeyPatch]:
    """Both network sizes are tiny ones; what the stages set in torch is set back."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        for size in ("paper", "demo"):
            patch.setitem(restore.SIZES, size, TINY)
        patch.setattr(restore, "_empty_state", functools.cache(restore._empty_state))
        yield patch
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return authors_files.distinct_state(SahmrNet(TINY, REFERENCE, make_topology()))


@pytest.fixture(scope="module")
def files(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authors' three files."""
    folder = tmp_path_factory.mktemp("authors")
    authors_files.write(folder / "sahmr_rich_e30.pth", authors_files.released(state))
    shutil.copy(folder / "sahmr_rich_e30.pth", folder / "sahmr_prox_e30.pth")
    authors_files.write(folder / "metro_3dpw_state_dict.bin", authors_files.metro(state), legacy=True)
    return folder


@pytest.fixture(scope="module")
def converted(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the tool made of them."""
    folder = tmp_path_factory.mktemp("converted") / "models"
    for source in sorted(files.iterdir()):
        convert_checkpoint.main(["--source", str(source), "--output", str(folder / f"{source.stem}.pt")])
    return folder


def test_every_entry_is_accounted_for(files: Path, converted: Path, state: dict[str, Tensor]) -> None:
    assert sorted(path.name for path in converted.iterdir()) == [
        "metro_3dpw_state_dict.pt", "sahmr_prox_e30.pt", "sahmr_rich_e30.pt",
    ]  # fmt: skip
    made = read_checkpoint(converted / "sahmr_rich_e30.pt")
    assert {*made.network, *made.dropped} == set(state)
    assert (made.stage, made.epoch, made.size, made.behaviour) == ("released", 30, "paper", REFERENCE)
    assert made.source_sha256 == file_sha256(files / "sahmr_rich_e30.pth")
    assert all(torch.equal(value, state[name]) for name, value in made.network.items())
    metro = read_checkpoint(converted / "metro_3dpw_state_dict.pt")
    assert {*metro.network, *metro.dropped} == set(load_plain(files / "metro_3dpw_state_dict.bin"))
    assert load_plain(converted / "sahmr_rich_e30.pt")["behaviour"]["rounding"] == "trunc"


def test_same_file_same_bytes(converted: Path) -> None:
    first, second = (converted / f"sahmr_{name}_e30.pt" for name in ("rich", "prox"))
    assert file_sha256(first) == file_sha256(second)


def test_log_counts_and_names(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = files / "sahmr_rich_e30.pth"
    convert_checkpoint.main(["--source", str(source), "--output", str(tmp_path / "x.pt")])
    told = capsys.readouterr().err
    assert "23 left out, as nothing reads them: metro_enhanced.backbone.classifier.* (2), " in told
    assert "metro_enhanced.trans_encoder.{0,1,2}.bert.embeddings.* (15), " in told
    assert "rounding trunc, vote softmax_sigmoid, part_position_shift True, contact_sampling with_replacement" in told


def fails(capsys: pytest.CaptureFixture[str], source: Path, output: Path) -> str:
    """What the tool says before it exits with code 1; it has written nothing."""
    folder = source.parent if output.parent.is_file() else output.parent
    before = sorted(folder.iterdir())
    with pytest.raises(SystemExit) as stop:
        convert_checkpoint.main(["--source", str(source), "--output", str(output)])
    assert stop.value.code == 1
    assert sorted(folder.iterdir()) == before
    told = capsys.readouterr().err
    assert "Traceback" not in told and told.count("error:") == 1
    return told.splitlines()[-1]


def test_existing_output_is_kept(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "sahmr_prox_e30.pth"
    shutil.copy(files / "sahmr_prox_e30.pth", source)
    (tmp_path / "there.pt").write_text("mine")
    (tmp_path / "link.pt").symlink_to(source)
    (tmp_path / "dangling.pt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    for output in (source, *(tmp_path / name for name in ("there.pt", "link.pt", "dangling.pt", "folder"))):
        assert f"{output}: exists already and is not replaced" in fails(capsys, source, output)
    assert (tmp_path / "there.pt").read_text() == "mine"
    assert file_sha256(source) == file_sha256(files / "sahmr_prox_e30.pth")


def test_bad_sources(
    files: Path, converted: Path, state: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "x.pt"
    assert "no such file" in fails(capsys, tmp_path / "nothing.pth", output)
    assert "is a folder" in fails(capsys, files, output)
    assert "is a checkpoint of ours already" in fails(capsys, converted / "sahmr_rich_e30.pt", output)
    wrong = authors_files.released({**state, "rcnet.surplus": torch.zeros(1)})
    assert "1 unknown: rcnet.surplus" in fails(capsys, authors_files.write(tmp_path / "wrong.pth", wrong), output)
    content = bytearray((files / "sahmr_rich_e30.pth").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "flipped.pth").write_bytes(content)
    assert "does not have its check sum" in fails(capsys, tmp_path / "flipped.pth", output)
    (tmp_path / "half.pth").write_bytes(content[: len(content) // 2])
    assert "damaged or incomplete" in fails(capsys, tmp_path / "half.pth", output)


def test_nothing_is_left_when_writing_fails(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # the file is larger
    try:
        assert "cannot be written" in fails(capsys, files / "sahmr_rich_e30.pth", tmp_path / "x.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (tmp_path / "file").touch()
    assert "cannot be written" in fails(capsys, files / "sahmr_rich_e30.pth", tmp_path / "file" / "x.pt")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Path:
    """Shards and a scene of nine made-up samples; the working folder."""
    folder = tmp_path_factory.mktemp("stages") / "world"
    small.write_world(folder)
    write_topology(folder / "bodies")
    patch.chdir(folder)
    return folder


def named(folder: Path, checkpoint: Path) -> str:
    """A checkpoint as params.yaml names it: from the folder of models on."""
    return os.path.relpath(checkpoint, folder / "models")


def set_params(folder: Path, **sections: dict[str, Any]) -> None:
    params = yaml.safe_load((Path(__file__).parents[2] / "params.yaml").read_text())
    params["paths"] = {name: str(folder / name) for name in params["paths"]}
    params["parallel"] = {**params["parallel"], "workers": 0, "loaders": 0, "threads": 1}
    params["network"]["initial_checkpoint"] = None
    for name, values in sections.items():
        params[name] |= values
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def test_trainings_start_from_metro(
    world: Path, files: Path, converted: Path, state: dict[str, Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    short = {"epochs": 1, "batch_size": 6, "warmup_steps": 0, "average_decay": 0.0, "canonical_lr": 1e-9}
    raw, ours = files / "metro_3dpw_state_dict.bin", converted / "metro_3dpw_state_dict.pt"
    short |= {"processes": 1}
    set_params(world, network={"size": "paper", "initial_checkpoint": str(raw)}, train_rcnet=short)
    train_rcnet.main([])
    assert f"{raw}: " in capsys.readouterr().err
    set_params(world, network={"size": "paper", "initial_checkpoint": str(ours)}, train_sahmr=short)
    train_sahmr.main([])
    told = capsys.readouterr().err
    assert f"{ours}: " in told and "random: metro_enhanced.trans_encoder.{0,1,2}.bert.encoder.linear_cp" in told
    made = read_checkpoint(world / "models/sahmr.pt").network
    assert float(made["metro_enhanced.size_head.linear.weight"].abs().max()) < 1e-6  # METRO has none: it starts at 0
    for name in ("rcnet.root_net.hrnet.conv1.weight", "metro_enhanced.backbone.conv1.weight"):
        torch.testing.assert_close(made[name], state["metro_enhanced.backbone.conv1.weight"], rtol=0, atol=1e-6)
    name = "metro_enhanced.trans_encoder.1.residual.weight"
    torch.testing.assert_close(made[name], state[name], rtol=0, atol=1e-6)


def vertices(world: Path, checkpoint: Path) -> np.ndarray:
    of_network = {"checkpoint": named(world, checkpoint), "fit_smpl": False, "mesh": "network"}
    set_params(world, predict=of_network, evaluate={"sheet_frames": 1})
    predict.main(["--dataset", "rich"])
    table = read_table(world / "predictions/rich/sahmr.parquet", PREDICTION_SCHEMA)
    return np.stack([np.asarray(row) for row in table.column("vertices").to_pylist()])


def test_their_scores_are_those_of_their_meshes(converted: Path) -> None:
    """Whatever params.yaml stores of the demo's weights."""
    theirs = read_checkpoint(converted / "sahmr_rich_e30.pt")
    assert (predict.mesh_of(theirs, "smpl"), predict.mesh_of(theirs, "network")) == ("network", "network")
    ours = replace(theirs, stage="train_sahmr")
    assert (predict.mesh_of(ours, "smpl"), predict.mesh_of(ours, "network")) == ("smpl", "network")


def test_predict_runs_it_as_it_is(
    world: Path, files: Path, converted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = vertices(world, converted / "sahmr_rich_e30.pt")
    assert "stage released, size paper; rounding trunc, vote softmax_sigmoid" in capsys.readouterr().err
    evaluate.main(["--dataset", "rich"])
    assert np.array_equal(made, vertices(world, files / "sahmr_rich_e30.pth"))
    # The stored behaviour decides: the same weights with another one give another mesh.
    checkpoint = read_checkpoint(converted / "sahmr_rich_e30.pt")
    save_checkpoint(tmp_path / "own.pt", replace(checkpoint, stage="train_sahmr", behaviour=OWN))
    assert not np.array_equal(made, vertices(world, tmp_path / "own.pt"))
