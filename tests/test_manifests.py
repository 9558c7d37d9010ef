"""Manifests say what was published, byte for byte the same everywhere, and every difference is found."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sahmr.files import ManifestError, check_manifest, file_sha256, read_manifest, remove_manifest, write_manifest
from tests.schemas.mutations import mutations
from tests.worlds.folders import write

FILES = {"b.tar": b"22", "a.parquet": b"1", "deep/zarr.json": b"{}", "deep/c/0": b"chunk"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "rich", FILES)
    write_manifest(tmp_path / "rich/manifest.json", stage="shards", dataset="rich")
    return tmp_path / "rich"


def check(folder: Path) -> list[str]:
    return check_manifest(folder / "manifest.json", stage="shards", dataset="rich")


def test_by_hand(tmp_path: Path) -> None:
    write(tmp_path, {"x.zarr/é": b"", "x.zarr/b": b"1", "y": b"not listed"})
    write_manifest(tmp_path / "x.manifest.json", ["x.zarr"], stage="scenes", dataset="x", known={"x.zarr/b": "0" * 64})
    empty = file_sha256(tmp_path / "x.zarr/é")
    assert (tmp_path / "x.manifest.json").read_text() == (
        '{\n  "dataset": "x",\n  "files": {\n    "x.zarr/b": {"bytes": 1, "sha256": "' + "0" * 64 + '"},\n'
        '    "x.zarr/\\u00e9": {"bytes": 0, "sha256": "' + empty + '"}\n  },\n  "manifest_version": "1.0",\n'
        '  "stage": "scenes"\n}\n'
    )
    (line,) = check_manifest(tmp_path / "x.manifest.json", stage="scenes", dataset="x")
    assert line == f"{tmp_path}/x.zarr/b: SHA-256 differs from the manifest; rebuild with: dvc repro scenes"


def test_sound(folder: Path) -> None:
    assert check(folder) == []
    before = (folder / "manifest.json").read_bytes()
    write_manifest(folder / "manifest.json", stage="shards", dataset="rich")
    assert (folder / "manifest.json").read_bytes() == before and check(folder) == []
    listed = read_manifest(folder / "manifest.json", stage="shards", dataset="rich")
    assert list(listed) == sorted(FILES) and listed["a.parquet"][0] == 1


def swap(path: Path, put: Callable[[Path], object]) -> None:
    path.unlink()
    put(path)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda f: (f / "b.tar").unlink(), "b.tar: missing"),
    "extra": (lambda f: (f / "deep/new").write_bytes(b""), "deep/new: not in manifest.json"),
    "extra link": (lambda f: (f / "new").symlink_to("/etc"), "new: not in manifest.json"),
    "longer": (lambda f: (f / "b.tar").write_bytes(b"222"), "b.tar: has 3 bytes, the manifest says 2"),
    "changed": (lambda f: (f / "b.tar").write_bytes(b"23"), "b.tar: SHA-256 differs"),
    "link": (lambda f: swap(f / "b.tar", lambda p: p.symlink_to("a.parquet")), "b.tar: is a link"),
    "pipe": (lambda f: swap(f / "b.tar", os.mkfifo), "b.tar: is a pipe, a device or a folder"),
    "folder": (lambda f: swap(f / "b.tar", Path.mkdir), "b.tar: is a pipe, a device or a folder"),
    "gone": (lambda f: remove_manifest(f / "manifest.json"), "manifest.json: missing, so what it lists is unfinished"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_every_difference_is_told(name: str, folder: Path) -> None:
    damage, message = DAMAGES[name]
    damage(folder)
    (line,) = check(folder)
    assert message in line and "dvc repro shards" in line


def test_a_file_behind_a_link_is_told(folder: Path) -> None:
    (folder / "deep").rename(folder.parent / "elsewhere")
    (folder / "deep").symlink_to("../elsewhere")
    told = "\n".join(check(folder))
    assert "deep/zarr.json: lies behind a link" in told and "deep: not in manifest.json" in told


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../b", "./a", "a//b", "", "a\0b", "a\\b", "."])
def test_names_that_lead_elsewhere_are_refused(name: str, folder: Path) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    content["files"][name] = {"bytes": 1, "sha256": "0" * 64}
    (folder / "manifest.json").write_text(json.dumps(content))
    (line,) = check(folder)
    assert "leads elsewhere" in line and line.endswith("rebuild with: dvc repro shards")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"1.0"', '"2.0"', "'manifest_version': '2.0'"),
        ('"stage": "shards"', '"stage": "frames"', "'stage': 'frames'"),
        ('"dataset": "rich"', '"dataset": "prox"', "'dataset': 'prox'"),
        ('"bytes": 1,', '"bytes": -1,', "bytes -1"),
        ('"bytes": 1,', '"bytes": true,', "bytes True"),
        ('"bytes": 1,', '"bytes": 1e400,', "bytes inf"),
        ('"bytes": 1,', f'"bytes": {"9" * 5000},', "Exceeds the limit"),
        ('"b.tar"', '"a.parquet"', "a name occurs twice"),
        ('"files"', '"fils"', "lacks 'files'"),
        ('{\n  "dataset"', "[" * 100_000 + '{\n  "dataset"', "recursion"),
    ],
)
def test_another_or_absurd_manifest_is_refused(old: str, new: str, message: str, folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(ManifestError, match=rf"(?s)no manifest \(.*{message}.*rebuild with: dvc repro shards"):
        read_manifest(path, stage="shards", dataset="rich")


def test_200_damages_of_a_manifest_are_found(folder: Path) -> None:
    path = folder / "manifest.json"
    sound = path.read_bytes()
    wanted = json.loads(sound)
    for what, content in mutations(sound, 200):
        path.write_bytes(content)
        found = check(folder)
        assert found or json.loads(content) == wanted, what
        assert all("\n" not in line and "dvc repro shards" in line for line in found), what
