from pathlib import Path

import pytest

from pipelines import scenes
from sahmr.errors import RawDataError
from tests.data import small


def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    scenes.main.__wrapped__(["--dataset", "rich"])


def test_store_is_repeatable_and_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    small.write_world(tmp_path / "world")
    store = tmp_path / "world/scenes/rich.zarr"
    before = small.hashes(store)
    (store / "stray").write_text("left by an earlier run")
    with caplog.at_level("INFO", "sahmr"):
        run(tmp_path / "world", monkeypatch)
    assert small.hashes(store) == before
    assert [line for line in caplog.messages if line.startswith("scenes rich: 1 scenes")]
    assert sorted(path.name for path in store.parent.iterdir()) == ["rich.zarr"]


def test_failure_keeps_the_old_store_and_nothing_partial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.write_world(tmp_path / "world")
    store = tmp_path / "world/scenes/rich.zarr"
    before = small.hashes(store)
    (tmp_path / "world/raw/room.ply").write_bytes(b"")
    with pytest.raises(RawDataError, match=r"room\.ply: is empty"):
        run(tmp_path / "world", monkeypatch)
    assert small.hashes(store) == before
    assert sorted(path.name for path in store.parent.iterdir()) == ["rich.zarr"]


def test_missing_input_names_the_stage_that_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.write_params(tmp_path)
    with pytest.raises(RawDataError, match="dvc repro frames"):
        run(tmp_path, monkeypatch)
