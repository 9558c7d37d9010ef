"""The restricted unpickler: what it reads, and what it refuses."""

from __future__ import annotations

import errno
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from sahmr.errors import BodyModelError, RawDataError
from sahmr.untrusted.pickles import load_npy, load_npz_member, load_pickle, npz_keys
from tests.worlds.bodies import chumpy_pickle, write_tables


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_plain_data_come_back_under_every_protocol(tmp_path: Path, protocol: int) -> None:
    matrix = sp.csc_matrix(np.eye(3)[:, :2])
    value = OrderedDict(
        array=np.arange(6.0).reshape(2, 3), scalar=np.float32(2.5), text="é", items=[1, (2, None)], sparse=matrix,
        kinds={1, 2}, coo=matrix.tocoo(), fortran=np.asfortranarray(np.ones((2, 3))), objects=np.array([matrix, 1]),
    )  # fmt: skip
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    back = load_pickle(path)
    np.testing.assert_array_equal(back["array"], value["array"])
    assert back["scalar"] == 2.5 and back["text"] == "é" and back["items"] == [1, (2, None)] and back["kinds"] == {1, 2}
    for key in ("sparse", "coo"):
        np.testing.assert_array_equal(back[key].toarray(), matrix.toarray())
    np.testing.assert_array_equal(back["objects"][0].toarray(), matrix.toarray())


def test_old_module_names_and_chumpy(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(chumpy_pickle({"v": np.arange(3.0), "f": np.arange(2)}, ("v",)))
    assert b"numpy.core.multiarray" in path.read_bytes() and b"chumpy.ch" in path.read_bytes()
    back = load_pickle(path)
    assert type(back["v"]) is np.ndarray
    np.testing.assert_array_equal(back["v"], np.arange(3.0))


def test_chumpy_selection_and_protocol_0(tmp_path: Path) -> None:
    """By hand: a Select of a Ch, written with ``copy_reg._reconstructor`` as protocol 0 does."""
    inner = b"ccopy_reg\n_reconstructor\n(cchumpy.ch\nCh\nc__builtin__\nobject\nNtR(dS'x'\n(lF1.0\naF2.0\naF3.0\nasb"
    outer = b"ccopy_reg\n_reconstructor\n(cchumpy.reordering\nSelect\nc__builtin__\nobject\nNtR"
    state = b"(dS'a'\n" + inner + b"sS'idxs'\n(lI2\naI0\nasS'preferred_shape'\n(I2\nI1\ntsb."
    path = tmp_path / "select.pkl"
    path.write_bytes(outer + state)
    np.testing.assert_array_equal(load_pickle(path), [[3.0], [1.0]])


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("echo never",)


@pytest.mark.parametrize("value", [Evil(), {"a": [Path("x")]}, eval, np.random.default_rng(0)])
def test_other_classes_are_refused_by_name(tmp_path: Path, value: object) -> None:
    path = tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(RawDataError, match=r"bad\.pkl: not read, found .*allowed in a pickle"):
        load_pickle(path)


def test_reconstructor_builds_only_stubs(tmp_path: Path) -> None:
    path = tmp_path / "bad.pkl"
    path.write_bytes(b"ccopy_reg\n_reconstructor\n(c__builtin__\nbytearray\nc__builtin__\nobject\nNtR.")
    with pytest.raises(RawDataError, match="bytearray"):
        load_pickle(path)


@pytest.mark.parametrize("content", [b"", b"\x80\x02}q", b"not a pickle", b"\x80\x02X\xff\xff\xff\x7f"])
def test_damaged_pickles_say_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cut.pkl"
    path.write_bytes(content)
    with pytest.raises(BodyModelError, match=r"cut\.pkl"):
        load_pickle(path, error=BodyModelError)


def test_sparse_matrices_with_wild_indices_are_refused(tmp_path: Path) -> None:
    matrix = sp.csc_matrix(np.eye(3))
    matrix.indices[0] = 99
    path = tmp_path / "wild.pkl"
    path.write_bytes(pickle.dumps(matrix, protocol=2))
    with pytest.raises(RawDataError, match="damaged"):
        load_pickle(path)


def test_npz_members_are_read_one_by_one(tmp_path: Path) -> None:
    write_tables(tmp_path)
    down = load_npz_member(tmp_path / "mesh_downsampling.npz", "D")
    assert [matrix.shape for matrix in down] == [(1723, 6890), (431, 1723)]
    with pytest.raises(RawDataError, match="MyMesh"):
        load_npz_member(tmp_path / "mesh_downsampling.npz", "M")
    with pytest.raises(RawDataError, match="no key 'Q'"):
        load_npz_member(tmp_path / "mesh_downsampling.npz", "Q")
    assert set(load_npy(tmp_path / "seg_part_info.npy")) == {"predefined_segparts", "verts6890_pids", "verts431_pids"}


def test_any_damage_of_arrays_is_one_error(tmp_path: Path) -> None:
    """A few flipped bytes of npy and npz files: either they do not matter, or one RawDataError tells."""
    random = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", np.arange(30.0).reshape(5, 6))
    np.savez(tmp_path / "b.npz", a=np.arange(30.0))
    np.savez_compressed(tmp_path / "c.npz", a=np.arange(900.0), o=np.array({"x": 1}, dtype=object))
    told = 0
    for name, count in (("a.npy", 300), ("b.npz", 300), ("c.npz", 600)):
        sound = np.frombuffer((tmp_path / name).read_bytes(), np.uint8)
        path = tmp_path / f"damaged{Path(name).suffix}"
        for _ in range(count):
            damaged = sound.copy()
            where = random.integers(len(sound), size=random.integers(1, 5))
            damaged[where] = random.integers(256, size=len(where))
            path.write_bytes(
                damaged[: random.choice([len(sound), random.integers(len(sound))], p=[0.9, 0.1])].tobytes()
            )
            try:
                if path.suffix == ".npy":
                    load_npy(path)
                else:
                    for key in npz_keys(path):
                        load_npz_member(path, key)
            except RawDataError:
                told += 1
    assert told > 500


@pytest.mark.parametrize("read", [load_npy, load_pickle, npz_keys, lambda path: load_npz_member(path, "a")])
def test_a_file_that_may_not_be_read(
    read: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path, _: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    (tmp_path / "a").touch()
    monkeypatch.setattr(os, "open", forbidden)
    with pytest.raises(RawDataError, match=r"/a: cannot be read \(Permission denied\); allow it$"):
        read(tmp_path / "a")


def test_missing_and_damaged_npy(tmp_path: Path) -> None:
    with pytest.raises(RawDataError, match="no such file"):
        load_npy(tmp_path / "none.npy")
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY\x01\x00")
    with pytest.raises(RawDataError, match=r"not a readable \.npy"):
        load_npy(tmp_path / "cut.npy")
    (tmp_path / "bad.npz").write_bytes(b"PK nonsense")
    with pytest.raises(RawDataError, match="not an npz"):
        load_npz_member(tmp_path / "bad.npz", "D")
