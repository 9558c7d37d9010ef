"""No output of a conversion holds a pickle: nothing runs when a stranger opens one."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.worlds.find_pickles import find_pickles, is_pickle


def test_a_converted_world_has_none(small_world: Path) -> None:
    folders = ["frames", "scenes", "shards"]
    assert {path.name for path in small_world.iterdir()} >= set(folders)
    assert [name for folder in folders for name in find_pickles(small_world / folder)] == []


def test_pickles_are_found_wherever_they_hide(tmp_path: Path) -> None:
    hidden = pickle.dumps({"a": [1, 2]})
    (tmp_path / "plain.bin").write_bytes(hidden)
    (tmp_path / "zero.json").write_bytes(pickle.dumps([1, "x"], protocol=0))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "some.npz", sound=np.zeros(3), objects=np.array([None], dtype=object))
    pq.write_table(pa.table({"blob": [hidden], "text": ["x"]}), tmp_path / "t.parquet")
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name, data in (("k.json", b"{}"), ("k.pyd", hidden)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert find_pickles(tmp_path) == [
        "objects.npy", "plain.bin", "s.tar!k.pyd", "some.npz!objects.npy", "t.parquet!blob", "zero.json",
    ]  # fmt: skip


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_is_known(protocol: int) -> None:
    assert is_pickle(pickle.dumps({"a": (1, 2.0)}, protocol))
    assert not is_pickle(b'{"a": 1}') and not is_pickle(b"\xff\xd8\xff\xe0" + bytes(9)) and not is_pickle(b"")
