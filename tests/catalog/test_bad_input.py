"""What people get wrong: one message, an exit code, no traceback, nothing written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.catalog.conftest import Ask
from tests.worlds.catalogs import KEY
from tests.worlds.small import hashes


def _other_version(root: Path) -> None:
    path = root / "data/frames/rich.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"sahmr.schema_version": b"9.0"}), path)


def _other_schema(root: Path) -> None:
    path = root / "data/scores/rich.parquet"
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"sahmr.schema": b"mine"}), path)


def _cut(name: str) -> Callable[[Path], None]:
    def cut(root: Path) -> None:
        path = root / name
        path.write_bytes(path.read_bytes()[:-7])

    return cut


def _remove(name: str) -> Callable[[Path], None]:
    def remove(root: Path) -> None:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


SHARD = "data/shards/rich/rich-train-Room_train-000000.tar"
DAMAGES: dict[str, tuple[Callable[[Path], None], str, str, str]] = {
    "table of another version": (
        _other_version, "data/frames/rich.parquet", "has version 9.0", "dvc repro frames@rich"),
    "table of another schema": (_other_schema, "data/scores/rich.parquet", "'mine'", "dvc repro evaluate@rich"),
    "deleted shard": (_remove(SHARD), SHARD, "missing", "dvc repro shards@rich"),
    "cut shard": (_cut(SHARD), SHARD, "the manifest says", "dvc repro shards@rich"),
    "cut table": (_cut("data/scores/rich.parquet"), "data/scores/rich.parquet", "damaged", "dvc repro evaluate@rich"),
    "no manifest": (
        _remove("data/scores/rich.manifest.json"), "data/scores/rich.manifest.json", "missing",
        "dvc repro evaluate@rich"),
    "damaged manifest": (
        _cut("data/shards/rich/manifest.json"), "data/shards/rich/manifest.json", "no manifest",
        "dvc repro shards@rich"),
    "lost scene": (_remove("data/scenes/rich.zarr/Room_scan"), "data/scenes/rich.zarr", "lacks the scene Room_scan",
                   "dvc repro scenes@rich"),
    "lost folder": (_remove("data/shards/rich"), "data/shards/rich", "dvc.lock has it", "dvc repro shards@rich"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_verify_names_what_is_damaged_and_the_remedy(ask: Ask, mine: Path, name: str) -> None:
    damage, path, problem, rebuild = DAMAGES[name]
    damage(mine)
    before = hashes(mine)
    answer = ask("verify", "--json", root=mine)
    found = [one for one in json.loads(answer.out)["findings"] if one["path"] == path]
    assert answer.code == 1
    assert any(problem in one["problem"] and one["rebuild"] == rebuild for one in found), answer.out
    assert f"rebuild with: {rebuild}" in ask("verify", root=mine).out
    assert hashes(mine) == before


def test_verify_compares_tables_with_each_other(ask: Ask, mine: Path) -> None:
    from sahmr.files import write_manifest
    from tests.worlds.catalogs import write_lock, write_scores

    write_scores(mine, ["Room_test_00006", "Room_test_99999"])
    write_manifest(mine / "data/scores/rich.manifest.json", ["rich.parquet"], stage="evaluate", dataset="rich")
    write_lock(mine)
    (found,) = json.loads(ask("verify", "--json", root=mine).out)["findings"]
    assert found["problem"] == "1 values of key are not in data/frames/rich.parquet (Room_test_99999)"


def test_one_flipped_bit_is_found(ask: Ask, mine: Path) -> None:
    data = bytearray((mine / SHARD).read_bytes())
    data[len(data) // 2] ^= 1
    (mine / SHARD).write_bytes(data)
    (found,) = json.loads(ask("verify", "--json", root=mine).out)["findings"]
    assert found == {"path": SHARD, "problem": "SHA-256 differs from the manifest", "rebuild": "dvc repro shards@rich"}


BAD = {
    "unknown key": (["lineage", "Room_test_00060"], 3, ["no such key", "did you mean Room_test_0000"]),
    "unknown key, preview": (["preview", "nobody"], 3, ["no such key", "list keys"]),
    "unknown dataset": (["show", "ritch"], 3, ["no such dataset", "did you mean rich?"]),
    "entry of another tree": (["show", "rich_demo"], 3, ["its raw tree is not what params.yaml leads to"]),
    "unknown revision": (["diff", "nowhere", "."], 3, ["nowhere: found no such folder and no such git revision"]),
    "folder without a pipeline": (["diff", ".", "data"], 3, ["without dvc.yaml"]),
    "unknown remote": (["ls", "--remote", "team"], 3, ["no such remote", "dvc remote add"]),
    "SQL that fails": (["query", "SELECT * FROM fram"], 5, ['Did you mean "frame"', "tables: frame"]),
    "SQL that writes": (["query", "COPY frame TO 'x.csv'"], 5, ["found COPY", "nothing ran"]),
    "SQL that changes": (["query", "CREATE TABLE x AS FROM frame"], 5, ["found CREATE"]),
    "SQL over other files": (["query", "FROM read_csv('params.yaml')"], 5, ["Permission Error"]),
    "two queries": (["query", "SELECT 1; SELECT 2"], 5, ["found SELECT, SELECT"]),
    "no SQL": (["query", ""], 5, ["found nothing"]),
    "SQL that fails late": (["query", "SELECT key::INT FROM frame"], 5, ["Conversion Error"]),
    "no PNG": (["preview", KEY, "--out", "x.jpg"], 2, ["allowed a name that ends in .png"]),
    "another folder": (["--repo", "data", "ls"], 4, ["params.yaml", "--repo"]),
    "no folder": (["--repo", "nowhere", "ls"], 4, ["nowhere: No such file"]),
    "no command": (["list"], 2, ["No such command"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_message(ask: Ask, sound: Path, name: str) -> None:
    words, code, texts = BAD[name]
    before = hashes(sound)
    answer = ask(*words)
    assert (answer.code, answer.out) == (code, "")
    assert all(text in answer.err for text in texts), answer.err
    assert code == 2 or len(answer.err.splitlines()) == 1
    assert hashes(sound) == before


@pytest.mark.parametrize("words", [["query", "SELECT count(*) FROM frame"], ["ls"], ["show", "rich"]])
def test_a_table_of_another_version_is_refused(ask: Ask, mine: Path, words: list[str]) -> None:
    _other_version(mine)
    answer = ask(*words, root=mine)
    assert answer.code == 4
    assert "frames/rich.parquet: has version 9.0, allowed: 2.0 to" in answer.err
    assert (
        ask("query", "SELECT count(*) AS n FROM metric", "--csv", root=mine).out == "n\n3\n"
    )  # the others still answer


def test_a_query_does_not_do_without_a_damaged_table(ask: Ask, mine: Path) -> None:
    """Two tables of one schema, one of them cut: half an answer would look like a whole one."""
    shutil.copy(mine / "data/predictions/rich/sahmr.parquet", mine / "data/predictions/rich/other.parquet")
    count = ["query", "SELECT count(*) AS n FROM prediction", "--csv"]
    assert ask(*count, root=mine).out == "n\n6\n"
    _cut("data/predictions/rich/other.parquet")(mine)
    answer = ask(*count, root=mine)
    assert (answer.code, answer.out) == (4, "") and "other.parquet: damaged" in answer.err


def test_a_damaged_shard_stops_the_preview_and_leaves_no_picture(ask: Ask, mine: Path) -> None:
    _remove("data/shards/rich/rich-test-Room_test-000000.tar")(mine)
    answer = ask("preview", KEY, "--out", "x.png", root=mine)
    assert answer.code == 4 and "rebuild with: dvc repro shards" in answer.err
    assert not (mine / "x.png").exists()


@pytest.mark.parametrize("text", ["{", "stages:\n  frames: [1]\n", "stages: 3\n"])
def test_a_damaged_dvc_yaml_is_named(ask: Ask, mine: Path, text: str) -> None:
    (mine / "dvc.yaml").write_text(text)
    answer = ask("ls", root=mine)
    assert answer.code == 4 and answer.err.startswith("error: dvc.yaml: ")


def test_a_damaged_lock_is_named(ask: Ask, mine: Path) -> None:
    text = (mine / "dvc.lock").read_text()
    (mine / "dvc.lock").write_text(text.replace("md5: ", "sum: "))
    answer = ask("verify", root=mine)
    assert answer.code == 4 and "not what DVC writes" in answer.err


def test_a_remote_that_refuses(ask: Ask, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    def refuse(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(255, command, stderr="WARNING: x\nERROR: failed: Access Denied\n")

    (mine / ".dvc").mkdir()
    (mine / ".dvc/config").write_text("[core]\n    remote = team\n['remote \"team\"']\n    url = s3://bucket/x\n")
    monkeypatch.setattr(subprocess, "run", refuse)
    answer = ask("ls", "--remote", "team", root=mine)
    assert answer.code == 4
    assert answer.err.startswith("error: remote team (s3://bucket/x): ERROR: failed: Access Denied; check its url")
