"""The work store vanishes, or holds what a stranger left: one error that says to run again, or no piece at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipelines import shards
from pipelines.conversion import pieces, work_store
from pipelines.conversion.piece_receipt import RECEIPT_NAME
from pipelines.conversion.work_store import PieceDraft, WorkStore
from sahmr.errors import RawDataError, StoreError
from sahmr.files import file_sha256
from tests.worlds import small
from tests.worlds.folders import write

KEY = "ab" * 32
GONE = r"gone while the stage ran; was the work store \(paths\.work\) deleted, or pruned\?.*run the same command again"


@pytest.fixture
def world(small_world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(small_world, tmp_path / "world", ignore=shutil.ignore_patterns("work", "shards"))
    monkeypatch.setattr(shards, "open_reader", lambda dataset, root, **_: small.SmallReader(root=root))
    return tmp_path / "world"


def convert(world: Path) -> dict[str, str]:
    shards.run("rich", small.SHARDS, small.paths_of(world), small.PARALLEL, raw=world / "raw")
    return small.hashes(world / "shards/rich")


def deleting(world: Path, wrapped: Callable[..., Any], *, at: int, after: bool) -> Callable[..., Any]:
    """The same function, that deletes the work store with its ``at``-th call, before or after it does its work."""
    calls: list[int] = []

    def call(*args: Any, **named: Any) -> Any:
        calls.append(1)
        if not after and len(calls) == at:
            shutil.rmtree(world / "work")
        result = wrapped(*args, **named)
        if after and len(calls) == at:
            shutil.rmtree(world / "work")
        return result

    return call


MOMENTS = {
    "before a draft is written": (shards, "write_shard", 1, False),
    "after a draft is written": (shards, "write_shard", 2, True),
    "before a draft is sealed": (PieceDraft, "seal", 1, False),
    "after a draft is sealed": (PieceDraft, "seal", 1, True),
    "before it is kept": (WorkStore, "_keep", 2, False),
    "after it is kept": (WorkStore, "_keep", 1, True),
    "before it is found again": (WorkStore, "require", 1, False),
    "before the first link": (WorkStore, "link", 1, False),
    "before the last link": (WorkStore, "link", 3, False),
    "between two links": (work_store, "_link_or_copy", 2, False),
    "while files are flushed": (work_store, "flush_to_disk", 2, False),
}  # fmt: skip


@pytest.mark.parametrize("name", MOMENTS)
def test_deleted_while_shards_runs(name: str, world: Path, small_world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where, function, at, after = MOMENTS[name]
    with monkeypatch.context() as patch:
        patch.setattr(where, function, deleting(world, getattr(where, function), at=at, after=after))
        with pytest.raises(StoreError, match=GONE):
            convert(world)
    assert not (world / "shards/rich").exists()  # nothing unfinished
    assert convert(world) == small.hashes(small_world / "shards/rich")


@pytest.fixture
def store(tmp_path: Path) -> WorkStore:
    return WorkStore(root=tmp_path / "work")


def piece(store: WorkStore) -> Path:
    with store.make("shards", KEY) as draft:
        write(draft.folder)
    return store.folder("shards", KEY)


def receipt(**changes: Any) -> Callable[[Path], None]:
    """An old receipt, without digests, as a stranger would write it."""
    content = {"facts": {}, "is_flawed": False, "sizes": {"a.txt": 5, "deep/b.bin": 100}, **changes}

    def put(folder: Path) -> None:
        (folder / RECEIPT_NAME).unlink()
        (folder / RECEIPT_NAME).write_text(json.dumps(content))

    return put


def text(content: bytes) -> Callable[[Path], None]:
    def put(folder: Path) -> None:
        (folder / RECEIPT_NAME).unlink()
        (folder / RECEIPT_NAME).write_bytes(content)

    return put


def outside(folder: Path) -> None:
    """A file of the piece is a link to outside, of the right length."""
    (folder / "a.txt").unlink()
    (folder.parent / "other").write_bytes(b"first")
    (folder / "a.txt").symlink_to(folder.parent / "other")


def folder_outside(folder: Path) -> None:
    shutil.move(folder / "deep", folder.parent / "deep")
    (folder / "deep").symlink_to(folder.parent / "deep")


def pipe(folder: Path) -> None:
    (folder / RECEIPT_NAME).unlink()
    os.mkfifo(folder / RECEIPT_NAME)


def other_bytes(folder: Path) -> None:
    """As long as before: what damages a link to it damages the piece."""
    (folder / "a.txt").chmod(0o644)
    (folder / "a.txt").write_bytes(b"fIrst")


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("a file")


def flipped(folder: Path) -> None:
    content = (folder / RECEIPT_NAME).read_text()
    text(content.replace("100", "101").encode())(folder)


STRANGE = {
    "parents": receipt(sizes={"../x": 1}),
    "absolute": receipt(sizes={"/etc/passwd": Path("/etc/passwd").stat().st_size}),
    "itself": receipt(sizes={".": 1}), "no name": receipt(sizes={"": 1}),
    "odd name": receipt(sizes={"deep/../a.txt": 5}),
    "below zero": receipt(sizes={"a.txt": -5}), "huge": receipt(sizes={"a.txt": 10**30}),
    "infinite": text(b'{"facts": {}, "is_flawed": false, "sizes": {"a.txt": Infinity}}'),
    "a word": receipt(sizes={"a.txt": "5"}), "a fraction": receipt(sizes={"a.txt": 5.0}),
    "a list": receipt(sizes=["a"]),
    "facts of a list": receipt(facts=[1]), "flawed of a word": receipt(is_flawed="no"),
    "nested": text(b'{"a":' * 100_000), "in a list": text(b"[1]"), "content of numbers": text(b'{"content": 1}'),
    "a name with a zero": receipt(sizes={"a\0b": 5}), "link": outside, "linked folder": folder_outside, "pipe": pipe,
    "other bytes": other_bytes, "a file": a_file, "flipped": flipped,
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_piece_is_none_and_is_replaced(name: str, store: WorkStore) -> None:
    STRANGE[name](piece(store))
    assert store.find("shards", KEY) is None
    folder = piece(store)
    found = store.require("shards", KEY)
    assert found.sizes == {"a.txt": 5, "deep/b.bin": 100}
    assert (folder / "a.txt").read_bytes() == b"first"
    assert not list((store.root / "tmp").iterdir())


def test_a_copied_store_and_an_old_one_are_found(store: WorkStore) -> None:
    """Copies have other times and the same content; receipts once had no digests."""
    folder = piece(store)
    os.utime(folder / "a.txt", (1, 1))
    assert store.find("shards", KEY) is not None
    receipt()(folder)
    assert store.find("shards", KEY) is not None


def test_a_damaged_output_is_rebuilt_and_not_linked_again(world: Path) -> None:
    """An output's file is its piece's file: rebuilding must not give the same damage back."""
    before = convert(world)
    tar = next((world / "shards/rich").glob("*.tar"))
    tar.chmod(0o644)
    content = bytearray(tar.read_bytes())
    content[len(content) // 2] ^= 1
    with tar.open("r+b") as stream:
        stream.write(content)
    assert file_sha256(tar) != before[tar.name]
    assert convert(world) == before


@pytest.mark.parametrize("root", ["/data/RICH", "/home/somebody/my raw (1)/RICH"])
def test_rows_of_the_quarantine_are_the_same_everywhere(root: str) -> None:
    inputs = [("image", Path(root) / "train/a.jpeg"), ("body", Path(root) / "train/a.pkl")]
    error = RawDataError(
        f"{root}/train/a.pkl: damaged, unlike '/home/somebody/models/x.npz' and {root}; fetch it again"
    )
    row = pieces.quarantine(error, item="a", split="train", inputs=inputs, root=Path(root))
    assert asdict(row) == {
        "item": "a", "split": "train", "file": "train/a.pkl", "rule": "body",
        "message": "train/a.pkl: damaged, unlike '<elsewhere>/x.npz' and <raw>; fetch it again",
    }  # fmt: skip


def test_left_out_tables_are_the_same_in_two_folders(world: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    other = tmp_path / "somewhere else/world"
    shutil.copytree(world, other)
    tables = []
    for place in (world, other):
        (place / "raw/3.pkl").write_bytes(b"damaged")
        paths, settings = small.paths_of(place), replace(small.SHARDS, max_quarantined=1)
        shards.run("rich", settings, paths, small.PARALLEL, raw=place / "raw")
        tables.append([(place / name).read_bytes() for name in (
            "shards/rich/left_out.parquet", "reports/quarantine_shards_rich.parquet")])  # fmt: skip
    assert tables[0] == tables[1]
    assert str(tmp_path).encode() not in b"".join(tables[0])
