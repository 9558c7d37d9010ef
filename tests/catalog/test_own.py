"""The catalog in ``pipelines/own``: a user's own folder, with an entry of its own, and nothing that is not made."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from catalog.errors import LicenceError, MissingError
from catalog.graph import read_graph
from catalog.push import Sent, require_allowed
from catalog.source import Source
from pipelines import catalog
from sahmr.files import write_manifest
from sahmr.settings import Paths, load_section
from schemas.metric import METRIC_NAMES, METRIC_SCHEMA, MetricRecord
from schemas.tables_write import to_table, write_table
from tests.catalog.conftest import Ask
from tests.catalog.test_diff import git
from tests.catalog.test_push import command, dvc, keep, with_cache
from tests.imports import ROOT
from tests.worlds import own_catalogs as world
from tests.worlds import own_folders
from tests.worlds.networks import make_topology, write_topology
from tests.worlds.small import hashes

LICENCE = {
    "name": "CC0", "url": "https://creativecommons.org/publicdomain/zero/1.0/", "spdx": "CC0-1.0",
    "notice": "free", "permits": ["any-use", "redistribution"], "forbids": [], "basis": "The owner says so.",
}  # fmt: skip
FREE = {"title": "Ann's kitchen", "owner": "Ann", "licence": LICENCE, "responsible": {"personal": "Ann alone."}}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder ``pipelines/own`` of a repository; read-only."""
    root = tmp_path_factory.mktemp("own") / "repository"
    world.write_repository(root)
    return root / world.OWN


@pytest.fixture
def mine(tmp_path: Path, own: Path) -> Path:
    return shutil.copytree(own.parent.parent, tmp_path / "repository") / world.OWN


def say(root: Path, **values: object) -> None:
    (root / "../../scans/entry.yaml").write_text(yaml.safe_dump(values))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_without_an_entry_is_private(ask: Ask, own: Path) -> None:
    (card,) = json.loads(ask("ls", "--json", root=own).out)
    assert (card["dataset"], card["entry"]["name"], card["raw"]) == ("own", "own", "../../scans")
    assert [(split["frames"], split["shards"], split["with_body"]) for split in card["splits"]] == [(2, 1, 0)]
    assert [Path(place["path"]).name for place in card["places"]] == [
        *("own.parquet", "own_scenes.parquet", "own.zarr", "own", "sahmr.parquet")
    ]
    assert "no: not in git, not on a public remote" in ask("show", "own", root=own).out


def test_a_folder_says_what_is_true_of_it(ask: Ask, mine: Path) -> None:
    say(mine, **FREE)
    entry = json.loads(ask("show", "own", "--json", root=mine).out)["entry"]
    assert (entry["title"], entry["owner"], entry["responsible"]["personal"]) == ("Ann's kitchen", "Ann", "Ann alone.")
    assert entry["responsible"]["biases"].startswith("Those of the user's recordings")
    out = ask("show", "own", root=mine).out
    assert "Ann's kitchen  [own]" in out and "may be shared  yes" in out
    say(mine, **FREE, name="kitchen")
    assert ask("show", "kitchen", root=mine).out.startswith("Ann's kitchen  [kitchen]")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("title: [", ["entry.yaml: not a readable YAML file: line 1", "take the keys of catalog/entries/own.yaml"]),
        ("", ["entry.yaml: found an empty file"]),
        ("titel: x", ["entry.yaml: titel: found an unknown key", "write title"]),
        ("licence: {name: CC0}", ["entry.yaml: licence.url"]),
        ("status: old", ["entry.yaml: status: found 'old'", "active"]),
        ("raw: raw.rich", ["entry.yaml: raw: found a key that the folder's place decides; remove it"]),
        ("name: rich", ["entry.yaml: name: found 'rich', allowed another than", "edit the value"]),
        ("responsible: {personal: 3}", ["entry.yaml: responsible.personal: found 3"]),
    ],
)
def test_a_damaged_entry_is_one_error(ask: Ask, mine: Path, text: str, words: list[str]) -> None:
    (mine / "../../scans/entry.yaml").write_text(text)
    answer = ask("ls", root=mine)
    assert (answer.code, answer.out) == (4, "") and all(word in answer.err for word in words), answer.err
    assert answer.err.startswith("error: ../../scans/")


def test_an_entry_of_another_name_is_not_passed_over(ask: Ask, mine: Path) -> None:
    (mine / "../../scans/entry.yml").write_text("title: x")
    assert "entry.yml: found an entry of this name, allowed entry.yaml; rename it" in ask("ls", root=mine).err


def test_a_count_that_fails_names_its_entry(ask: Ask, mine: Path) -> None:
    say(mine, name="kitchen", quirks=[{"text": "Some are dark.", "count": "SELECT dark FROM frame"}])
    answer = ask("show", "own", root=mine)
    assert answer.code == 5 and answer.err.startswith("error: entry kitchen: quirk 'Some are dark.': query: Binder")


def test_lineage_of_a_video_frame(ask: Ask, own: Path) -> None:
    found = json.loads(ask("lineage", world.FRAME, "--json", root=own).out)
    raw = {one["role"]: one for one in found["raw"]}
    assert list(raw) == ["image", "scan", "cameras", "boxes", "settings"]
    for one in found["raw"]:
        assert one["sha256"] == sha256(own / one["path"]) and one["is_there"]
    assert raw["image"]["path"] == "../../scans/room/images/cam1.avi" and raw["image"]["video_frame"] == 2
    assert [one["is_recorded"] for one in found["raw"]] == [True, True, False, False, False]
    assert list(raw["cameras"]["path"].split("/"))[-1] == "cameras.json"
    steps = [step["stage"] for step in found["steps"]]
    assert steps[:2] == ["../../pipelines/demo/dvc.yaml:demo", "../../dvc.yaml:bodies"]
    assert steps[2:] == [f"{name}@own" for name in ("frames", "scenes", "shards", "predict", "show")]
    assert found["steps"][1]["makes"] == ["../../data/bodies"] and len(found["steps"][1]["code"]) == 12
    assert found["scores"] == [] and found["predictions"][0]["contact_count"] == 1
    assert found["rules"]["least_score"] == 0
    assert "cam1.avi, frame 2  sha256" in ask("lineage", world.FRAME, root=own).out


def test_lineage_of_a_photograph_whose_folder_is_gone(ask: Ask, mine: Path) -> None:
    assert json.loads(ask("lineage", world.PHOTOGRAPH, "--json", root=mine).out)["raw"][0]["video_frame"] is None
    shutil.rmtree(mine / "../../scans")
    found = json.loads(ask("lineage", world.PHOTOGRAPH, "--json", root=mine).out)
    assert [(one["role"], one["is_there"]) for one in found["raw"]] == [("image", False), ("scan", False)]


def test_an_unknown_key_names_the_nearest(ask: Ask, own: Path) -> None:
    answer = ask("lineage", "room_cam1-00002", root=own)
    assert answer.code == 3 and f"did you mean {world.FRAME}" in answer.err


def test_verify_names_the_command_and_its_folder(ask: Ask, mine: Path) -> None:
    assert json.loads(ask("verify", "--json", root=mine).out)["findings"] == []
    (mine / world.SHARD).unlink()
    answer = ask("verify", root=mine)
    assert answer.code == 1 and f"{world.SHARD}: missing; rebuild with: dvc repro shards@own" in answer.out
    assert answer.out.endswith("commands are for the folder pipelines/own\n")
    assert ask("preview", world.FRAME, root=mine).code == 4


def test_scores_are_of_the_pipeline_that_runs_where_bodies_are_known(ask: Ask, mine: Path) -> None:
    assert "scores" not in ask("verify", root=mine).out  # not made, and nobody waits for them
    place = {"sequence": "room_cam0", "scene": "room", "camera": 0, "posture": "standing"}
    numbers = {"distance_m": 2.2, "occluded_ratio": 0.0, **dict.fromkeys(METRIC_NAMES, 50.0)}
    rows = [MetricRecord(key=world.PHOTOGRAPH, predictor="sahmr", **place, **numbers)]
    write_table(mine / "../../data/own/scores/own.parquet", to_table(rows, METRIC_SCHEMA))
    world.write_lock(mine)
    assert json.loads(ask("lineage", world.PHOTOGRAPH, "--json", root=mine).out)["scores"][0]["mpjpe_mm"] == 50.0
    assert json.loads(ask("show", "own", "--json", root=mine).out)["scores"][0]["frames"] == 1
    assert ask("page", root=mine).code == 0
    assert '"stage":"evaluate@own"' in (mine / "catalog.html").read_text()
    (mine / "../../data/own/scores/own.parquet").write_bytes(b"PAR1")
    assert "rebuild with: dvc repro truth/dvc.yaml:evaluate@own" in ask("verify", root=mine).out


def test_preview_draws_what_there_is(ask: Ask, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import catalog.preview

    monkeypatch.setattr(catalog.preview, "load_topology", lambda folder: make_topology())
    widths = []
    for _ in range(2):
        assert ask("preview", world.FRAME, "--out", str(tmp_path / "a.png"), root=mine).code == 0
        with Image.open(tmp_path / "a.png") as picture:
            widths.append(picture.size[0])
            assert len(np.unique(np.asarray(picture.convert("L")))) > 50
        (mine / "../../data/own/predictions/own/sahmr.parquet").unlink(missing_ok=True)
    assert widths == [3 * (240 + 12) + 320 + 2 * 12, 2 * (240 + 12) + 12]  # with a prediction; photograph and voxels


def test_scans_without_faces(ask: Ask, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import catalog.preview

    top = mine.parent.parent.resolve()
    own_folders.cloud().export(top / "scans/room/scan.ply")
    world.write_store(top / "data/own", top / "scans")
    write_topology(top / "data/bodies")
    write_manifest(top / "data/bodies/manifest.json", stage="bodies", dataset=None)
    world.write_lock(mine)
    answer = ask("verify", "--deep", "--json", root=mine)  # both cameras have one pose, as on a tripod
    assert (answer.code, json.loads(answer.out)["findings"]) == (0, [])
    monkeypatch.setattr(catalog.preview, "load_topology", lambda folder: make_topology())
    assert ask("preview", world.FRAME, root=mine).code == 0
    with Image.open(mine / f"{world.FRAME}.png") as picture:
        assert picture.size[0] == 3 * (240 + 12) + 320 + 2 * 12


def test_the_page_is_that_of_the_stage(ask: Ask, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask("page", root=mine).code == 0
    page = (mine / "catalog.html").read_text()
    packed = gzip.decompress(base64.b64decode(page.partition('id="table">')[2].partition("</script>")[0]))
    assert b"room/images/cam1.avi, frame 2\0" in packed and b"room/images/cam0/0001.png\0" in packed
    about = json.loads(page.partition('id="about">')[2].partition("</script>")[0])["datasets"]["own"]
    assert [role for role, *_ in about["scans"]["room"]] == [
        "scan",
        *(f"{role}, as of this page" for role in ("cameras", "boxes", "settings")),
    ]
    assert "it may not be shared either" in page and "1 dataset," in page
    monkeypatch.chdir(mine)
    monkeypatch.setattr(catalog.log, "propagate", False)  # other tests leave handlers behind whose streams are closed
    catalog.run(read_graph(Source(root=Path())).in_use(lambda _: False), load_section("paths", Paths))
    made = mine / "../../data/own/catalog"
    assert (made / "index.html").read_text() == page
    assert {"catalog.parquet", "datasets.json", "own/croissant.json", "own.manifest.json"} <= set(hashes(made))
    assert not (mine / "../../reports/catalog.md").exists()  # that of the main pipeline
    assert ask("verify", root=mine).code == 0


def test_two_copies_differ_by_what_was_changed(ask: Ask, own: Path, mine: Path) -> None:
    assert ask("diff", ".", str(own), root=mine).code == 0
    params = yaml.safe_load((mine / "params.yaml").read_text())
    params["frames"]["own"]["interval"] = 2
    (mine / "params.yaml").write_text(yaml.safe_dump(params))
    assert "frames.own.interval: 1 -> 2" in ask("diff", str(own), ".", root=mine).out


def test_a_revision_differs_by_what_was_changed(ask: Ask, mine: Path) -> None:
    for words in (("init", "-q"), ("add", "dvc.yaml", "params.yaml", world.OWN), ("commit", "-qm", "before")):
        git(mine.parent.parent, *words)
    revision = Source(root=mine, revision="HEAD")
    assert revision.pipelines() == Source(root=mine).pipelines()
    assert ask("diff", "HEAD", ".", root=mine).code == 0
    world.write_params(mine, "../../elsewhere")
    assert "raw.own: ../../scans -> ../../elsewhere" in ask("diff", "HEAD", ".", root=mine).out


def test_nothing_is_made_yet(ask: Ask, tmp_path: Path) -> None:
    world.write_pipelines(tmp_path, "../../data/own/capture")
    own = tmp_path / world.OWN
    assert ask("ls", root=own).out.splitlines()[1].split()[:4] == ["own", "own_capture", "active", "not"]
    assert "not made yet" in ask("show", "own", root=own).out
    assert json.loads(ask("verify", "--json", root=own).out)["findings"] == []
    assert ask("page", root=own).code == 0
    assert ask("croissant", root=own).out == ""
    for words, code, text in (
        (("lineage", "x"), 3, "there is no frame table here; make one with: dvc repro frames"),
        (("preview", "x"), 3, "there is no frame table here"),
        (("query", "SELECT key FROM frame"), 5, "tables: none, run dvc repro"),
        (("croissant", "own"), 4, "dvc repro"),
        (("diff", ".", "."), 4, "dvc.lock: not there"),
    ):
        answer = ask(*words, root=own)
        assert answer.code == code and text in answer.err and answer.err.count("\n") == 1, answer.err


def to(*paths: str, root: str = ".") -> list[Sent]:
    return [Sent(path=path, remote="team", url="s3://team/x", root=Path(root)) for path in paths]


DATA = ("../../data/own/shards/own", "../../data/own/predictions/own/sahmr.parquet", "../../data/own/catalog")


def test_what_was_made_of_a_folder_is_not_pushed_unless_it_says_so(mine: Path) -> None:
    top, said = mine.parent.parent, r"licences forbid redistribution \(own\): "
    for path in DATA:
        with pytest.raises(LicenceError, match=said):
            require_allowed(mine, to(path))
    with pytest.raises(LicenceError, match=said + "data/own/shards/own; nothing was sent"):  # from the root
        require_allowed(top, to(DATA[0], root=world.OWN))
    (top / "catalog").mkdir()
    (top / "catalog/remotes.yaml").write_text("team: {url: 's3://team/x', private: true, readers: Ann}")
    require_allowed(mine, to(*DATA))


def test_a_free_folder_is_pushed_as_it_was_read(mine: Path) -> None:
    say(mine, **FREE)
    with pytest.raises(MissingError, match=r"frames@own read another \.\./\.\./scans than lies there now"):
        require_allowed(mine, to(DATA[0]))
    world.write_lock(mine)  # the stages ran again
    require_allowed(mine, to(*DATA))
    (mine / "../../scans/room/secret.txt").write_text("x")
    with pytest.raises(MissingError, match="run: dvc repro frames@own"):
        require_allowed(mine, to(DATA[0]))


def test_licences_of_the_main_pipeline_bind_what_is_made_with_its_outputs(mine: Path) -> None:
    say(mine, **FREE)
    world.write_lock(mine)
    main = mine.parent.parent / "params.yaml"
    params = yaml.safe_load(main.read_text())
    params["bodies"]["raw"] = "../licensed"
    main.write_text(yaml.safe_dump(params))
    world.write_lock(main.parent)
    with pytest.raises(LicenceError, match=r"\(body_models\): .*shards/own"):
        require_allowed(mine, to(DATA[0]))
    (main.parent / "data/bodies/model").write_text("theirs")
    world.write_lock(main.parent)
    with pytest.raises(MissingError, match=r"frames@own read another \.\./\.\./data/bodies than bodies made"):
        require_allowed(mine, to(DATA[0]))


def test_the_generated_capture_is_free(mine: Path) -> None:
    (mine / "../../scans").rename(mine / "../../data/own/capture")
    world.write_params(mine, "../../data/own/capture")
    world.write_lock(mine)
    require_allowed(mine, to(*DATA, "../../data/own/capture"))


def test_side_pipelines_stand_where_they_run() -> None:
    own = Source(root=ROOT / world.OWN)
    assert own.pipelines() == ["capture/dvc.yaml", "truth/dvc.yaml", "dvc.yaml"]
    assert [stage.full_name for stage in read_graph(own).stages][::8] == ["capture", "report@own"]
    outer = own.outer()
    assert outer is not None and outer.root.resolve() == ROOT and outer.outer() is None


@pytest.mark.slow
def test_real_pushes_and_names_that_dvc_takes(mine: Path, tmp_path: Path) -> None:
    top, remote = mine.parent.parent, tmp_path / "remote"
    with_cache(top, remote)
    lock = yaml.safe_load((mine / "dvc.lock").read_text())
    for out in (out for stage in lock["stages"].values() for out in stage["outs"]):
        keep(top, out["md5"], mine / out["path"])
    for folder, words in ((mine, ("push", "shards@own")), (mine, ("push",)), (top, ("push", "data/own/shards/own"))):
        done = command(folder, *words)
        assert done.returncode == 6 and "licences forbid redistribution (own)" in done.stderr, done.stderr
        assert not remote.exists()
    (mine / "../../scans/entry.yaml").write_text(yaml.safe_dump(FREE))
    world.write_lock(mine)
    done = command(mine, "push", "shards@own")
    assert done.returncode == 0, done.stderr
    assert sum(path.is_file() for path in remote.rglob("*")) == 5  # four files and their listing
    (card,) = json.loads(command(mine, "ls", "--remote", "team", "--json").stdout)
    assert {Path(place["path"]).name for place in card["places"] if place["is_remote"]} == {"own"}
    for output in read_graph(Source(root=mine)).outputs:
        dvc(mine, "stage", "list", output.rebuild.rpartition(" ")[2].partition("@")[0])
