from pathlib import Path

import pytest

from pipelines import shards
from sahmr.errors import RawDataError, ShardError
from tests.data import small


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, reader: object | None = None) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(shards, "open_reader", lambda *_, **__: reader or small.SmallReader())
    shards.main.__wrapped__(["--dataset", "rich"])


@pytest.mark.filterwarnings("default")  # distributed warns of busy machines and ports
def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    small.write_world(tmp_path / "world")
    folder = tmp_path / "world/shards/rich"
    expected = small.hashes(folder)
    assert len(expected) == 4
    with caplog.at_level("INFO", "sahmr"):
        run(tmp_path / "world", monkeypatch)
    assert any("shards rich: 3 shards, samples {'test': 3, 'train': 6}" in line for line in caplog.messages)
    assert small.hashes(folder) == expected
    small.write_params(tmp_path / "world", workers=2)
    run(tmp_path / "world", monkeypatch)
    assert small.hashes(folder) == expected


class FailingReader(small.SmallReader):
    def read_image(self, row):
        if row.frame == 4:
            raise RawDataError("4.png: cut short")
        return super().read_image(row)


def test_failure_keeps_the_old_shards_and_nothing_partial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.write_world(tmp_path / "world")
    before = small.hashes(tmp_path / "world/shards")
    with pytest.raises(RawDataError, match="cut short"):
        run(tmp_path / "world", monkeypatch, FailingReader())
    assert small.hashes(tmp_path / "world/shards") == before


def test_missing_input_names_the_stage_that_makes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.write_params(tmp_path)
    with pytest.raises(ShardError, match="dvc repro frames"):
        run(tmp_path, monkeypatch)
