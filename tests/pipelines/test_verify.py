import json
from pathlib import Path

import pytest

from pipelines import verify
from sahmr.errors import ShardError
from tests.worlds import small


def run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    verify.main.__wrapped__(["--dataset", "rich"])


def test_report_and_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = tmp_path / "world"
    small.write_world(world)
    run(world, monkeypatch)
    report = json.loads((world / "reports/verify_rich.json").read_text())
    assert report["problems"] == []
    assert (report["samples"], report["shards"], report["contact_labels"]) == (9, 3, 8)
    for name in ("rich-test-Room_test-000000.tar", "rich-train-Room_train-000001.tar"):
        path = world / "shards/rich" / name
        content = bytearray(path.read_bytes())
        content[5000] ^= 1
        path.write_bytes(content)
    with pytest.raises(ShardError, match=r"(?s)2 problems.*rich-test-Room_test-000000.*rich-train-Room_train-000001"):
        run(world, monkeypatch)


def test_missing_inputs_name_the_stage_that_makes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.write_params(tmp_path)
    with pytest.raises(ShardError, match="dvc repro frames"):
        run(tmp_path, monkeypatch)
