"""The damages of single raw files: how each is done, which stage notices, and what it says."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipelines import damage as d
from tests.pipelines.damage import Damage

CANARY = "canary"  # a file that exists if a pickle's code was run


class Evil:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {CANARY}",)


def pickled(value: Any, protocol: int = 2) -> Damage:
    return d.always(pickle.dumps(value, protocol=protocol))


def nested(depth: int) -> bytes:
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def doubled(times: int) -> bytes:
    """A list of two lists of two lists ...: 2 ** times items in a few bytes."""
    return b"\x80\x02]" + b"q\x00" + b"](h\x00h\x00eq\x00" * times + b"."


CALL = b"\x80\x02c%s\n%s\n%sR."  # module, name, arguments
HUGE = struct.pack("<q", 10**11)


@dataclass(frozen=True)
class Case:
    """One damage.

    Attributes:
        name: of the test.
        what: the damaged file: an image, body, contact, scan, sdf or info of ``dataset``; of PROX also ``fit``.
        damage: turns the sound file's bytes into the damaged one's.
        stage: that notices.
        says: part of the message.
    """

    name: str
    what: str
    damage: Damage
    stage: str
    says: str


IMAGES = (
    Case("empty image", "image", d.always(""), "frames", "not a readable image"),
    Case("text as image", "image", d.always("<html>404</html>"), "frames", "not a readable image"),
    Case("image cut in its header", "image", d.cut(0.002), "frames", "not a readable image|damaged image"),
    Case("image cut", "image", d.cut(0.6), "shards", "damaged image.*truncated"),
    Case("image cut by three bytes", "image", lambda content: content[:-3], "shards", "damaged image.*truncated"),
    Case("image ending in zeros", "image", d.zero_tail(0.6), "shards", "damaged image"),
    Case("image with a flipped byte", "image", lambda content: b"\xff\xd9" + content[2:], "frames", "not a readable"),
    Case("image half as large", "image", d.image("JPEG", 0.5), "frames", "principal point"),
    Case("image of EXIF 6", "image", d.image("JPEG", exif=d.turned()), "frames", r"EXIF says.*rotated \(6\)"),
    Case("image with torn EXIF", "image", d.image("JPEG", exif=d.turned()[:20]), "frames", "damaged image.*EXIF"),
    Case("16 bit png", "image", d.image("PNG", mode="I;16"), "frames", "states 16 bits per channel .grey.; allowed: 8"),
    Case("CMYK", "image", d.image("JPEG", mode="CMYK"), "frames", "mode is CMYK"),
    Case("palette", "image", d.image("PNG", mode="P"), "frames", "mode is P;"),
    Case("gif", "image", d.image("GIF", mode="P"), "frames", "not a readable image .JPEG, PNG, BMP."),
    Case("decompression bomb", "image", d.png_claiming(60_000, 60_000), "frames", "damaged image.*3600000000 pixels"),
    Case("large image", "image", d.png_claiming(10_000, 10_000), "frames", "damaged image.*100000000 pixels"),
    Case("png cut", "image", d.then(d.image("PNG"), d.cut(0.6)), "shards", "damaged image"),
    Case("png ending in zeros", "image", d.then(d.image("PNG"), d.zero_tail(0.6)), "shards", "damaged image"),
    Case("bmp cut", "image", d.then(d.image("BMP"), d.cut(0.6)), "shards", "damaged image.*truncated"),
    Case("progressive jpeg cut", "image", d.then(d.image("JPEG", progressive=True), d.cut(0.6)), "shards", "truncated"),
)
MESHES = (
    Case("empty mesh", "body", d.always(""), "frames", "not a PLY file"),
    Case("mesh cut in its header", "body", d.cut(0.0003), "frames", "not a PLY file"),
    Case("mesh cut in its vertices", "body", d.cut(0.2), "frames", "cut short, the header promises 10475 vertex rows"),
    Case("mesh cut in its faces", "body", d.cut(0.9), "frames", "cut short"),
    Case("mesh with a hole", "body", lambda c: c[:5000] + c[5001:], "frames", "cut short|different lengths"),
    Case("mesh of few vertices", "body", d.always(d.ply_of(100, 4, 2)), "frames", "100 vertices; a body mesh has"),
    Case("mesh with NaN", "body", d.ply_vertices(float("nan")), "frames", "NaN or infinite coordinates"),
    Case("mesh with a wild vertex", "body", d.ply_vertices(1e30), "frames", "gives a body 1e.30 m large"),
    Case(
        "mesh of words", "body",
        d.replaced(b"binary_little_endian", b"ascii"), "frames", "a word of more than 400 char",
    ),
    Case("mesh without a count", "body", d.replaced(b"vertex 10475", b"vertex"), "frames", "'element vertex' makes no"),
    Case("mesh with a count of -1", "body", d.replaced(b"10475", b"-1"), "frames", "'element vertex -1' makes no"),
)  # fmt: skip
PARAMETERS = (
    Case("empty pickle", "fit", d.always(""), "frames", "damaged or not a pickle"),
    Case("text as pickle", "fit", d.always("<html>404</html>"), "frames", "damaged or not a pickle"),
    Case("pickle cut", "fit", d.cut(0.5), "frames", "damaged or not a pickle"),
    Case("pickle that runs a command", "fit", pickled({"betas": Evil()}), "frames", "found class '(posix|nt).system'"),
    Case("pickle that evaluates", "fit", d.always(CALL % (b"builtins", b"eval", b"(X\x01\x00\x00\x001t")), "frames",
         "found class 'builtins.eval'"),
    Case("pickle of a path", "fit", pickled(Path("x")), "frames", "found class 'pathlib"),
    Case("pickle of a huge bytearray", "fit", d.always(CALL % (b"builtins", b"bytearray", b"(\x8a\x08" + HUGE + b"t")),
         "frames", "a call of bytearray with 100000000000"),
    Case("pickle of a huge array", "fit", d.always(CALL % (b"numpy", b"ndarray", b"(\x8a\x08" + HUGE + b"t")),
         "frames", "damaged or not a pickle"),
    Case("pickle of a huge memo", "fit", d.always(b"\x80\x02Nr\x00\x00\x00\x10."), "frames",
         "found the place 268435456 in a memo"),
    Case("pickle of a tuple doubled as key", "fit", d.always(b"\x80\x02}K\x01K\x02\x86" + b"2\x86" * 40 + b"Ns."),
         "frames", "found a tuple as a key or member of a set; allowed: text, bytes, real numbers"),
    Case("pickle of a deep tuple as key", "fit", d.always(b"\x80\x02}N" + b"\x85" * 200_000 + b"Ns."), "frames",
         "found a tuple as a key"),
    Case("pickle that claims 3 GB", "fit", d.always(b"\x80\x03B\xff\xff\xff\xbf."), "frames",
         "damaged or not a pickle"),
    Case("pickle that claims a long text", "fit", d.always(b"\x80\x04\x8d\x00\x00\x00\x00\x00\x01\x00\x00."), "frames",
         "damaged or not a pickle"),
    Case("pickle of nested lists", "fit", d.always(nested(5_000)), "frames", "nested deeper than 64 levels"),
    Case("pickle of a list in itself", "fit", d.always(b"\x80\x02]q\x00h\x00a."), "frames", "list that holds itself"),
    Case("pickle of 2**60 items", "fit", d.always(doubled(60)), "frames", "values of more than 16,812,160 bytes"),
    Case("pickle with buffers elsewhere", "fit", d.always(b"\x80\x05\x97."), "frames", "out-of-band|buffers"),
    Case("pickle of a list", "fit", pickled([1]), "frames", "expected a dict of body parameters, found list"),
    Case("parameters that lack one", "fit", d.params(body_pose=None), "frames", r"lacks \['body_pose'\]"),
    Case("parameters with a stranger", "fit", d.params(surprise=np.zeros(3)), "frames", r"unknown.*\['surprise'\]"),
    Case("parameters of another size", "fit", d.params(transl=np.zeros((1, 4))), "frames", "'transl' has 4 numbers"),
    Case("parameters of words", "fit", d.params(transl=["a", "b", "c"]), "frames", "'transl' is no array.*holds str"),
    Case("parameters of objects", "fit", d.params(transl=np.array([1, None, 2])), "frames", "'transl' must hold real"),
    Case("complex parameters", "fit", d.params(transl=np.ones((1, 3)) * 1j), "frames", "'transl' must hold real"),
    Case("ragged parameters", "fit", d.params(transl=[[1, 2], [3]]), "frames", "'transl' is no array of numbers"),
    Case("wild parameters", "fit", d.params(betas=np.full((1, 10), 1e300)), "frames", "gives a body .*e.299 m large"),
)  # fmt: skip
CONTACTS = (
    Case("contact cut", "contact", d.cut(0.5), "frames", "damaged or not a pickle"),
    Case("contact of another length", "contact", d.contact(lambda v: v[:862]), "frames", r"found float64 \(862,\)"),
    Case("contact of words", "contact", d.contact(lambda v: v.astype(str)), "frames", "'contact' must hold real"),
    Case("contact of twos", "contact", d.contact(lambda v: v + 2), "frames", "6890 zeros and ones"),
    Case("ragged contact", "contact", d.contact(lambda _: [[1], [1, 2]]), "frames", "'contact' is no array"),
    Case("contact that runs a command", "contact", pickled(Evil()), "frames", "found class '(posix|nt).system'"),
)
SCANS = (
    Case("empty scan", "scan", d.always(""), "scenes", "is empty"),
    Case("text as scan", "scan", d.always("<html>404</html>"), "scenes", "not a PLY file"),
    Case("scan cut", "scan", d.cut(0.7), "scenes", "cut short, the header promises"),
    Case("scan with a hole", "scan", lambda c: c[:5000] + c[5160:], "scenes", "cut short|different lengths"),
    Case("point cloud", "scan", d.always(d.ply_of(100, 0)), "scenes", "has no faces"),
    Case("scan of wrong faces", "scan", d.always(d.ply_of(100, 4, 2_000)), "scenes", "a face names vertex 2000 of 100"),
    Case("scan with NaN", "scan", d.ply_vertices(float("nan"), bytes_per_row=16), "scenes", "NaN or infinite"),
    Case("scan with a wild vertex", "scan", d.ply_vertices(1e30, bytes_per_row=16), "scenes", "is 1e.30 m wide"),
)
FIELDS = (
    Case("empty field", "sdf", d.always(""), "scenes", "not a readable .npy"),
    Case("field cut", "sdf", d.cut(0.7), "scenes", "not a readable .npy"),
    Case("field of another length", "sdf", d.always(d.npy(np.zeros(99))), "scenes", r"holds 99 numbers, .*promises 32"),
    Case(
        "field that runs a command",
        "sdf",
        d.always(d.npy(np.array([Evil()]))),
        "scenes",
        "found class '(posix|nt).system'",
    ),
    Case("field that promises much", "sdf", d.replaced(b"(32768,)", b"(10**9,)"), "scenes", "not a readable .npy"),
    Case("field of words", "sdf", d.always(d.npy(np.full(32**3, "a"))), "scenes", "must be a .npy of real numbers"),
    Case("field with NaN", "sdf", d.always(d.npy(np.full(32**3, np.nan))), "scenes", "holds NaN"),
    Case("field of wild numbers", "sdf", d.always(d.npy(np.full(32**3, 1e300))), "scenes", "NaN or infinite"),
    Case("extent that is no JSON", "info", d.cut(0.5), "scenes", "not a JSON file"),
    Case("extent without dim", "info", d.edited_json(dim=None), "scenes", "not a readable JSON.*KeyError: 'dim'"),
    Case("extent of dim infinity", "info", d.edited_json(dim=float("inf")), "scenes", "Infinity is no number of JSON"),
    Case("extent inside out", "info", d.edited_json(min=[9, 9, 9]), "scenes", "min < max"),
    Case(
        "extent without end", "info", d.edited_json(max=[float("inf")] * 3), "scenes", "Infinity is no number of JSON"
    ),
)
RULES = {"fit": "body", "sdf": "distance field", "info": "distance field"}
WHOLE = {"image cut", "mesh with NaN", "pickle cut", "contact cut", "empty scan", "field cut"}  # down to verify


def plan() -> list[Any]:
    cases = [("rich", case) for case in (*IMAGES, *MESHES, *CONTACTS, SCANS[0], SCANS[2])]
    cases += [("prox", case) for case in (*IMAGES[:5], *MESHES[:3], *PARAMETERS, *SCANS, *FIELDS)]
    return [pytest.param(dataset, case, id=f"{dataset}: {case.name}") for dataset, case in cases]
