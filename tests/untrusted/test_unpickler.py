"""What a stranger's pickle may claim: little time, little memory, no code, and no trust in its arrays' shapes."""

from __future__ import annotations

import contextlib
import pickle
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from sahmr.errors import RawDataError
from sahmr.untrusted.pickles import load_pickle

# numpy's state of an array: version, shape, dtype, Fortran's order, bytes or list of objects
ARRAY = (
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    b"(K\x01%scnumpy\ndtype\n%s\x89%stb."
)
OBJECTS, FLOATS = (
    b"U\x02%sK\x00K\x01\x87R(K\x03U\x01%sNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK%stb" % (code, order, flags)
    for code, order, flags in ((b"O8", b"|", b"?"), (b"f8", b"<", b"\x00"))
)


def put(folder: Path, content: bytes) -> Path:
    path = folder / "a.pkl"
    path.write_bytes(content)
    return path


def array(shape: bytes, dtype: bytes, content: bytes) -> bytes:
    return ARRAY % (shape, dtype, content)


def test_an_array_by_hand(tmp_path: Path) -> None:
    content = array(b"K\x02\x85", FLOATS, b"U\x10" + struct.pack("<2d", 1.5, -2.0))
    np.testing.assert_array_equal(load_pickle(put(tmp_path, content)), [1.5, -2.0])
    back = load_pickle(put(tmp_path, array(b"K\x02\x85", OBJECTS, b"](K\x05U\x01ae")))
    assert back.tolist() == [5, "a"] and back.dtype == object
    np.testing.assert_array_equal(back, pickle.loads((tmp_path / "a.pkl").read_bytes()))


@pytest.mark.parametrize(
    ("shape", "dtype", "content", "says"),
    [
        (b"J\x40\x42\x0f\x00\x85", OBJECTS, b"](K\x05e", r"object array of shape \(1000000,\)"),
        (b"J\xff\xff\xff\xff\x85", FLOATS, b"U\x08" + bytes(8), "a shape with the side -1"),
        (b"\x8a\x06\x00\x00\x00\x00\x00\x01\x85", FLOATS, b"U\x08" + bytes(8), "with 1 numbers"),
        (b"K\x02\x85", FLOATS, b"U\x08" + bytes(8), r"array of shape \(2,\) with 1 numbers"),
        (b"K\x01\x85", OBJECTS.replace(b"NNN", b"NU\x01aN"), b"](K\x05e", "a structured dtype"),
        (b"K\x01\x85", FLOATS.replace(b"f8", b"V8"), b"U\x08" + bytes(8), "found dtype 'V8'"),
    ],
)
def test_arrays_that_are_not_what_they_say(
    tmp_path: Path, shape: bytes, dtype: bytes, content: bytes, says: str
) -> None:
    """The first, handed to numpy, reads beyond the list and ends the process."""
    with pytest.raises(RawDataError, match=says):
        load_pickle(put(tmp_path, array(shape, dtype, content)))


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02Nr\x00\x00\x00\x01.",  # an index into the memo: 268 MB in C
        b"\x80\x02cbuiltins\nbytearray\nJ\x00\x00\x00\x40\x85R.",
        b"\x80\x02cbuiltins\nbytes\nJ\x00\x00\x00\x40\x85\x81.",
        b"\x80\x02cnumpy\nndarray\nJ\x00\x00\x00\x10\x85\x85R.",
        b"\x80\x02]q\x00" + b"](h\x00h\x00eq\x00" * 50 + b".",  # 2 ** 50 items
    ],
)
def test_a_few_bytes_claim_little_memory(tmp_path: Path, content: bytes) -> None:
    path = put(tmp_path, content)
    tracemalloc.start()
    with contextlib.suppress(RawDataError):
        load_pickle(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


def test_functions_of_ours_take_no_attributes(tmp_path: Path) -> None:
    """A state for the function behind ``_codecs.encode`` would change it for the rest of the process."""
    with pytest.raises(RawDataError, match="found state for _encode"):
        load_pickle(put(tmp_path, b"\x80\x02c_codecs\nencode\nN}U\x0c__defaults__U\x01a\x85s\x86b."))


def test_shared_values_stay_shared_and_loops_are_refused(tmp_path: Path) -> None:
    row = np.arange(3)
    back = load_pickle(put(tmp_path, pickle.dumps([row, row, {"a": row}], protocol=2)))
    assert back[0] is back[1] is back[2]["a"]
    loop: list[object] = []
    loop.append({"a": loop})
    with pytest.raises(RawDataError, match="list that holds itself"):
        load_pickle(put(tmp_path, pickle.dumps(loop)))


def test_byte_order_and_views(tmp_path: Path) -> None:
    value = {
        "big": np.arange(3, dtype=">i4"), "moved": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)), "empty": np.zeros((0, 3)), "text": np.array(["é"]),
        "bool": np.array([True, False]), "zero": np.array(4.0), "half": np.float16(0.5), "strided": np.arange(9)[::2],
    }  # fmt: skip
    for protocol in (0, 2, 4, 5):
        back = load_pickle(put(tmp_path, pickle.dumps(value, protocol=protocol)))
        for key, wanted in value.items():
            np.testing.assert_array_equal(back[key], wanted)
            assert back[key].dtype == wanted.dtype
