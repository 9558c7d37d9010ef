"""Every command as a user types it: what it says of a sound repository."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catalog.cli import app
from tests.catalog.conftest import Ask
from tests.imports import ROOT
from tests.worlds.catalogs import KEY

COMMANDS = ("ls", "show", "query", "verify", "diff", "lineage", "preview", "page", "pull", "push", "share-check")


def test_it_starts_without_torch_and_help_without_arrow() -> None:
    code = (
        "import sys, catalog.cli\n"
        "heavy = {'torch', 'pyarrow', 'duckdb', 'numpy', 'yaml', 'pydantic', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import catalog.lineage, catalog.card, catalog.diff, catalog.verify, catalog.query, catalog.remote\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples(ask: Ask, name: str) -> None:
    answer = ask(name, "--help")
    assert answer.code == 0
    assert f"python -m catalog {name}" in answer.out


def test_help_lists_every_command_and_exit_code(ask: Ask) -> None:
    out = ask("--help").out
    assert all(f"  {name} " in out for name in COMMANDS)
    assert all(f"{code} " in out.split("Exit codes:")[1] for code in range(7))
    assert {command.name for command in app.registered_commands} >= set(COMMANDS)


def test_ls(ask: Ask, sound: Path) -> None:
    manifest = (sound / "data/shards/rich/manifest.json").read_bytes()
    line = next(line for line in ask("ls").out.splitlines() if line.startswith("rich"))
    assert line.split()[:4] == ["rich", "rich", "active", hashlib.sha256(manifest).hexdigest()[:12]]
    (card, bodies) = json.loads(ask("ls", "--json").out)
    assert [(split["split"], split["frames"], split["shards"]) for split in card["splits"]] == [
        ("test", 3, 1),
        ("train", 6, 2),
    ]
    assert bodies["dataset"] == "bodies" and bodies["entry"]["name"] == "body_models"


def test_ls_asks_a_remote(ask: Ask, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = json.dumps({"not_in_remote": ["data/shards/rich/", "data/scores/rich.parquet"]})
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, absent))
    (mine / ".dvc").mkdir()
    (mine / ".dvc/config").write_text("['remote \"team\"']\n    url = s3://bucket/x\n")
    card, _ = json.loads(ask("ls", "--remote", "team", "--json", root=mine).out)
    there = {place["path"]: place["is_remote"] for place in card["places"]}
    assert there["data/frames/rich.parquet"] and there["data/scenes/rich.zarr"]
    assert not there["data/shards/rich"] and not there["data/scores/rich.parquet"]
    assert not there["data/predictions/rich/baseline.parquet"]  # never made
    assert "remote 4/7" in ask("ls", "--remote", "team", root=mine).out


def test_show_has_entry_statistics_columns_and_counted_quirks(ask: Ask) -> None:
    out = ask("show", "rich").out
    for text in ("redistribution", "no: not in git", "huang2022" and "Huang", "person_px_median", "px    full image"):
        assert text in out
    card = json.loads(ask("show", "rich", "--json").out)
    assert card["splits"][1]["with_contact"] == 5
    assert [count for text, count in card["quirks"] if "labels are then unknown" in text] == [1]
    assert card["scores"][0]["mpjpe_mm"] == 50.0


def test_query(ask: Ask) -> None:
    assert ask("query", "SELECT split, count(*) AS n FROM frame GROUP BY ALL ORDER BY n", "--csv").out == (
        "split,n\ntest,3\ntrain,6\n"
    )
    assert "more than 2 rows" in ask("query", "SELECT key FROM frame", "--rows", "2").out
    assert "dataset" in ask("query", "DESCRIBE metric").out


def test_query_joins_tables(ask: Ask) -> None:
    sql = "SELECT count(*) FROM frame JOIN metric USING (key) JOIN prediction USING (key) JOIN shard_index USING (key)"
    assert ask("query", sql, "--csv").out.splitlines()[1] == "3"


def test_verify_is_content(ask: Ask) -> None:
    answer = ask("verify", "--json")
    found = json.loads(answer.out)
    assert (answer.code, found["findings"]) == (0, [])
    assert found["tables"] == 6 and found["rows"] == 9 + 1 + 9 + 0 + 3 + 3
    assert "data/models/sahmr.pt" in found["absent"]


def test_lineage(ask: Ask, sound: Path) -> None:
    found = json.loads(ask("lineage", KEY, "--json").out)
    for raw in found["raw"][:3]:
        assert raw["sha256"] == hashlib.sha256((sound / raw["path"]).read_bytes()).hexdigest()
    assert [raw["role"] for raw in found["raw"]] == ["image", "body", "contact", "scan"]
    shard = found["shard"]
    data = (sound / shard["file"]).read_bytes()[shard["offset"] :][: shard["length"]]
    assert hashlib.sha256(data).hexdigest() == shard["sha256"] and KEY.encode() in data[:100]
    assert found["rules"]["warmup_frames"] == 45 and found["rules"]["interval"]["train"] == 15
    steps = {step["stage"]: step for step in found["steps"]}
    assert steps["shards@rich"]["params"]["shards"]["jpeg_quality"] == 92
    assert len(steps["shards@rich"]["code"]) == 12 and steps["train_sahmr"]["code"] is None
    assert list(steps)[-2:] == ["evaluate@rich", "report@rich"]
    assert found["predictions"][0]["contact_count"] == 1
    assert found["scores"][0]["mpjpe_mm"] == 50.0
    assert KEY in ask("lineage", KEY).out


def test_preview(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    import catalog.preview
    from sahmr.structures import BodyTopology

    faces = torch.arange(6890 - 6890 % 3).reshape(-1, 3)[::20]
    some, numbers = torch.zeros(14, 3), torch.zeros(6890, dtype=torch.int64)
    topology = BodyTopology(
        template_joints=some, template_coarse=torch.zeros(431, 3), coarse_to_full=numbers[:431],
        joint_regressor=torch.zeros(17, 6890), part_full=numbers, part_coarse=numbers[:431], faces=faces,
    )  # fmt: skip
    monkeypatch.setattr(catalog.preview, "load_topology", lambda folder: topology)
    path = tmp_path / "a.png"
    assert ask("preview", KEY, "--out", str(path)).out.strip() == str(path)
    with Image.open(path) as picture:
        assert picture.size == (4 * (240 + 12) + 320 + 2 * 12, 58 + 240 + 30)  # five panels
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50
