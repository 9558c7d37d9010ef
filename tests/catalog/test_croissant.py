"""Croissant files are valid, say what binds the data and where it comes from, and give our records to strangers."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from catalog import errors
from catalog.cli import main
from catalog.croissant import NAMES, STAGES, Described, write_croissants
from catalog.croissant_source import describe, write_all
from catalog.entry import read_entries
from catalog.errors import UnknownError
from catalog.graph import read_graph
from catalog.lock import read_lock
from catalog.source import Source
from sahmr.files import ManifestError, file_sha256, read_manifest
from sahmr.shards.decode import decode_sample
from sahmr.shards.reader import read_index
from tests.imports import ROOT
from tests.worlds import small

ENTRIES = read_entries()
# What conferences ask of a dataset paper's Croissant file, beside the core fields.
ASKED = (
    "rai:dataLimitations", "rai:dataBiases", "rai:personalSensitiveInformation", "rai:dataUseCases",
    "rai:dataSocialImpact", "rai:hasSyntheticData", "prov:wasDerivedFrom", "prov:wasGeneratedBy",
)  # fmt: skip
PROV = "http://www.w3.org/ns/prov#"
pytestmark = pytest.mark.filterwarnings("ignore")  # those of other projects


@pytest.fixture(scope="module")
def world(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to write beside."""
    folder = tmp_path_factory.mktemp("croissant") / "world"
    shutil.copytree(small_world, folder)
    write_croissants(described(folder), folder / "catalog")
    return folder


def described(folder: Path, entry: str = "rich") -> Described:
    settings = {stage: {stage: {"voxel_pitch_m": "0.05"}} for stage in STAGES}
    places = {name: folder / name for name in ("frames", "scenes", "shards")}
    return Described(dataset="rich", entry=ENTRIES[entry], settings=settings, **places)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """mlcroissant without a network, its cache in a folder of its own."""

    def refuse(*_: object) -> None:
        raise AssertionError("asked the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    import mlcroissant
    from etils import epath

    monkeypatch.setattr("mlcroissant._src.operation_graph.operations.extract.EXTRACT_PATH", epath.Path(tmp_path / "c"))
    yield mlcroissant


@pytest.mark.parametrize("version", NAMES)
def test_it_is_valid_and_its_records_are_ours(version: str, world: Path, offline: Any) -> None:
    dataset = offline.Dataset(jsonld=str(world / "catalog/rich" / NAMES[version]))
    assert (dataset.metadata.ctx.issues.errors, dataset.metadata.ctx.issues.warnings) == (set(), set())
    records = {record["samples/key"].decode(): record for record in dataset.records("samples")}
    index, rows = read_index(world / "shards/rich"), {row.key: row for row in small.records()}
    assert sorted(records) == sorted(entry.key for entry in index) == sorted(rows)
    for entry in index:
        data = (world / "shards/rich" / entry.shard).read_bytes()[entry.offset : entry.offset + entry.length]
        sample, record, row = decode_sample(data), records[entry.key], rows[entry.key]
        assert np.abs(np.asarray(record["samples/image"]).astype(int) - sample.image).max() <= 4  # two JPEG decoders
        assert record["samples/person_box"] == list(row.person_box)
        np.testing.assert_array_equal(record["samples/camera_from_world"], sample.camera_from_world.ravel())
        assert (record["samples/split"].decode(), record["samples/image_width"]) == (row.split, row.image_width)
        assert (record["samples/contact_file"] is None) == (row.contact_file is None)
    frames = list(dataset.records("frames"))
    assert sorted(frame["frames/key"].decode() for frame in frames) == sorted(rows)
    splits = {split["splits/name"]: split["splits/url"] for split in dataset.records("splits")}
    assert splits == {"train": "cr:TrainingSplit", "test": "cr:TestSplit"}
    vertices = {one["vertices/key"].decode(): one["vertices/npy"] for one in dataset.records("vertices")}
    assert sorted(vertices) == sorted(rows) and all(npy.startswith(b"\x93NUMPY") for npy in vertices.values())
    assert len(list(dataset.records("contact"))) == sum(row.contact_file is not None for row in rows.values())


def test_a_glob_across_folders_would_give_nothing(world: Path, offline: Any, tmp_path: Path) -> None:
    """Why the patterns name no folder: this is what the test above would not notice if it asked for no records."""
    text = (world / "catalog/rich/croissant.json").read_text()
    assert "**" not in text
    (world / "catalog/rich/deep.json").write_text(text.replace('"includes": "*.', '"includes": "**/*.'))
    assert list(offline.Dataset(jsonld=str(world / "catalog/rich/deep.json")).records("samples")) == []


def test_a_changed_shard_is_refused(world: Path, offline: Any, tmp_path: Path) -> None:
    shutil.copytree(world, tmp_path / "world")
    shard = next((tmp_path / "world/shards/rich").glob("*.tar"))
    shard.write_bytes(shard.read_bytes()[:-512] + b"\1" * 512)
    dataset = offline.Dataset(jsonld=str(tmp_path / "world/catalog/rich/croissant.json"))
    with pytest.raises(Exception, match="Download"):
        list(dataset.records("samples"))


def read(folder: Path, version: str = "1.1") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "catalog/rich" / NAMES[version]).read_text())
    return found


@pytest.mark.parametrize("version", NAMES)
def test_every_shard_has_its_sha256(version: str, world: Path) -> None:
    listed = {item["contentUrl"]: item for item in read(world, version)["distribution"] if "contentUrl" in item}
    shards = read_manifest(world / "shards/rich/manifest.json", stage="shards", dataset="rich")
    assert {Path(url).name for url in listed if url.endswith(".tar")} == {
        name for name in shards if name[-4:] == ".tar"
    }
    for url, item in listed.items():
        path = world / "catalog/rich" / url
        assert (item["sha256"], item["contentSize"]) == (file_sha256(path), f"{path.stat().st_size} B")
    assert {"../../frames/rich.parquet", "../../shards/rich/index.parquet", "../../scenes/rich.manifest.json"} < set(
        listed
    )


def test_what_conferences_ask_for_is_there(world: Path) -> None:
    found = read(world)
    assert all(found[name] not in (None, "", []) for name in ASKED)
    assert found["conformsTo"] == ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
    assert (found["rai:hasSyntheticData"], found["datePublished"], found["license"]) == (
        False, "2022", ENTRIES["rich"].licence.url
    )  # fmt: skip
    assert "huang2022rich" in found["citeAs"]


def test_conditions_of_use_are_read_as_odrl(world: Path) -> None:
    graph = parsed(world)
    asked = """
        PREFIX odrl: <http://www.w3.org/ns/odrl/2/> PREFIX sc: <https://schema.org/>
        SELECT ?action ?purpose WHERE { ?data sc:usageInfo ?offer . ?offer a odrl:Offer ; odrl:%s ?rule .
        ?rule odrl:action ?action OPTIONAL { ?rule odrl:constraint ?one . ?one odrl:rightOperand ?purpose } }"""
    forbidden = {(str(action), purpose and str(purpose)) for action, purpose in graph.query(asked % "prohibition")}
    assert ("http://www.w3.org/ns/odrl/2/distribute", None) in forbidden
    assert ("https://creativecommons.org/ns#CommercialUse", None) in forbidden
    assert ("http://www.w3.org/ns/odrl/2/use", "military-use") in forbidden
    assert len(forbidden) == len(ENTRIES["rich"].licence.forbids)
    allowed = {(str(action), str(purpose)) for action, purpose in graph.query(asked % "permission")}
    duo = "http://purl.obolibrary.org/obo/DUO_"
    assert allowed == {("http://www.w3.org/ns/odrl/2/use", f"{duo}{term}") for term in ("0000042", "0000046")}


def test_a_shard_leads_back_to_the_raw_tree_and_to_settings(world: Path) -> None:
    graph = parsed(world)
    found = graph.query(
        f"""
        PREFIX prov: <{PROV}> PREFIX sc: <https://schema.org/>
        SELECT ?file ?source ?settings WHERE {{ ?file sc:contentUrl ?url ; prov:wasDerivedFrom+ ?raw ;
        prov:wasGeneratedBy ?run . ?raw sc:url ?source . ?run prov:used ?used . ?used prov:value ?settings
        FILTER(STRENDS(STR(?url), ".tar")) }}"""
    )
    rows = {
        (str(file).rpartition("/")[2], str(source), json.dumps(json.loads(settings)))
        for file, source, settings in found
    }
    settings = json.dumps({"shards": {"voxel_pitch_m": "0.05"}})
    shards = sorted(path.name for path in (world / "shards/rich").glob("*.tar"))
    assert sorted(rows) == [(name, ENTRIES["rich"].source, settings) for name in shards]


def parsed(folder: Path) -> Any:
    import rdflib

    text = (folder / "catalog/rich/croissant.json").read_text()
    return rdflib.Graph().parse(data=text, format="json-ld", base="file:///")


def test_the_older_twin_has_nothing_of_the_newer_version(world: Path) -> None:
    old, new = read(world, "1.0"), read(world)
    assert "http://mlcommons.org/croissant/1.0" in old["conformsTo"] and "usageInfo" not in old
    assert not any(word in json.dumps(old) for word in ("prov:", "odrl", "isArray", "arrayShape"))
    assert [item["@id"] for item in old["distribution"]] == [item["@id"] for item in new["distribution"]]
    box = {found["@id"]: found for found in old["recordSet"][1]["field"]}["frames/person_box"]
    assert box["repeated"] is True and "unit: px; frame: full image" in box["description"]


def test_bytes_repeat_and_follow_the_data(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world, tmp_path / "world")
    for path in write_croissants(described(tmp_path / "world"), tmp_path / "world/catalog"):
        assert path.read_bytes() == (world / "catalog/rich" / path.name).read_bytes()
    small.write_manifests(tmp_path / "world")  # the same files: the same version
    (tmp_path / "world/shards/rich/more.tar").write_bytes(b"")
    before = read(world)["version"]
    assert before.startswith("1.2.0+")
    small.write_manifests(tmp_path / "world")
    write_croissants(described(tmp_path / "world"), tmp_path / "world/catalog")
    assert read(tmp_path / "world")["version"] != before


def test_unfinished_shards_are_not_described(world: Path, tmp_path: Path) -> None:
    found = replace(described(world), shards=tmp_path)
    with pytest.raises(ManifestError, match=r"rich/manifest\.json: missing.*run: dvc repro shards"):
        write_croissants(found, tmp_path / "catalog")
    assert not (tmp_path / "catalog").exists()


@pytest.mark.parametrize(
    "name", [name for name, one in ENTRIES.items() if one.raw.startswith("raw.") and name != "rich"]
)
def test_every_entry_can_be_described(name: str, world: Path, offline: Any, tmp_path: Path) -> None:
    (path, *_) = write_croissants(described(world, name), tmp_path)
    issues = offline.Dataset(jsonld=str(path)).metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    assert json.loads(path.read_text())["rai:hasSyntheticData"] == (ENTRIES[name].made_by is not None)


def test_the_command_writes_what_the_stage_writes(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["paths"] |= {name: str(world / name) for name in ("frames", "scenes", "shards")}
    params["paths"]["catalog"] = "made"
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(yaml.safe_dump(params))
    Path("pipelines/demo").mkdir(parents=True)
    for name in ("dvc.yaml", "pipelines/demo/dvc.yaml"):
        Path(name).write_text((ROOT / name).read_text())
    for arguments, folder in ((["croissant"], "made"), (["croissant", "rich", "--into", "there"], "there")):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
        assert capsys.readouterr().out.split() == [f"{folder}/rich/{name}" for name in NAMES.values()]
        for item in json.loads(Path(folder, "rich/croissant.json").read_text())["distribution"]:
            assert "contentUrl" not in item or Path(folder, "rich", item["contentUrl"]).is_file()
    with pytest.raises(SystemExit) as end:
        main(["croissant", "prox"])
    assert end.value.code == errors.DAMAGED
    assert capsys.readouterr().err.startswith("error: ") and not Path("made/prox").exists()


def test_the_working_folder_is_described_by_its_own_files() -> None:
    source = Source(root=ROOT)
    graph = read_graph(source)
    found = describe(graph, read_lock(source), "rich", ROOT)
    assert (found.entry.name, found.shards) == ("rich_demo", ROOT / "data/shards")
    assert list(found.settings) == list(STAGES)
    with pytest.raises(UnknownError, match=r"none: found no such dataset, allowed: rich, prox; name one"):
        write_all(graph, ROOT, ROOT, "none")
