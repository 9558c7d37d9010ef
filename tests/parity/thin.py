"""The golden set that lies in the repository: what a comparison computes from, whole; of a result, a few entries.

``python -m tests.parity.thin FOLDER`` makes it from the full folder. Its ``README.md`` says where that comes from.
"""

from __future__ import annotations

import json
import lzma
import re
import sys
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parent / "golden" / "thinned.xz"
KEYS = "state_dict_sahmr.json"
KEPT = 48  # entries of a result
CLASS = ", class"  # behind a result's name: the largest column of each row

# What tests compute from, and coordinates by which they put rows into a file's order; everything else is a result.
_WHOLE = {
    "": r"in__.*|coords|feats|points|point_feats|voxel_size|image_u8|w_k\w+|\w*cotangent\w*|\w*_coords(_trunc|_floor)?",
    "G3_rcnet": r"c_voxFst_nearby_b\d",
    "G6_rcnet_losses_trunc": r"c_voxFst_nearby_b\d",
    "G6_rcnet_losses_floor": r"c_voxFst_nearby_b\d",
    "G6_sahmr_losses": r"pred_crm_pcSeg|pcSeg_pids|pcSeg_mask",
}
# The test's own body models give the transfer from SMPL-X, too.
_FROM_BODIES = {"G7_eval_results": r"in__smplx2smplh_\w+"}
# Drawn from RandomState(seed).standard_normal behind so many others.
_DRAWN = {
    ("G1_spvcnn_eval", "feats"): (101, 114_322),
    ("G1_spvcnn_train", "cotangent"): (101, 219_322),
    ("G1_pointvoxel", "point_feats"): (101, 267_316),
    ("G1_layers", "k3s1_cotangent"): (102, 0),
    ("G1_layers", "k1s1_cotangent"): (102, 0),
    **{("G1_layers", f"k2s2_cotangent_{mode}"): (102, 0) for mode in ("trunc", "floor")},
    **{("G1_layers", f"k2s2_then_transposed_cotangent_{mode}"): (102, 0) for mode in ("trunc", "floor")},
}
# Meshes are large: of them, and of what is measured on them, the first of three samples.
_FIRST_SAMPLE = {
    "G7_metrics": r"(?!.*(vox|Vox|seg_hm|HmSeg|J_regressor)).*",
    "G7_eval_results": r"(?!.*(smplx2smplh|J_regressor|grid_dim)).*",
}
_CLASSES = r"eval_out_(trunc|floor)"  # compared by class, too: columns from the fourth on


@dataclass(frozen=True, slots=True, kw_only=True)
class Picked:
    """What is kept of a result.

    Attributes:
        shape: of the whole.
        places, values: some entries, by their flat index.
        largest, norm: largest absolute value and Euclidean norm of the whole.
        digest: crc32 of the whole as float64: says whether another is identical.
    """

    shape: tuple[int, ...]
    places: np.ndarray
    values: np.ndarray
    largest: float
    norm: float
    digest: int


Arrays = dict[str, np.ndarray | Picked]


def crc(array: np.ndarray) -> int:
    """Of the values, whatever type they are stored in; -0 is 0."""
    return zlib.crc32((np.asarray(array, np.float64) + 0.0).tobytes())


def places(name: str, size: int) -> np.ndarray:
    """Which entries are kept: random, always the same, in ascending order."""
    return np.sort(np.random.RandomState(zlib.crc32(name.encode())).permutation(size)[:KEPT])


def _matches(patterns: Mapping[str, str], file: str, name: str) -> bool:
    return any(re.fullmatch(patterns[key], name) is not None for key in ("", file) if key in patterns)


def read(path: Path = FILE) -> tuple[dict[str, Arrays], str]:
    """Arrays by file and name, and the list of the reference's state-dict keys (JSON)."""
    content = lzma.decompress(path.read_bytes())
    head, body = content.split(b"\n", 1)
    header = json.loads(head)
    files: dict[str, Arrays] = {}
    at = 0
    for entry in header["arrays"]:
        dtype, shape = np.dtype(entry["dtype"]), tuple(entry["stored"])
        size = int(np.prod(shape, dtype=int))
        if "drawn" in entry:
            seed, skip = entry["drawn"]
            array = np.random.RandomState(seed).standard_normal(skip + size)[skip:].astype(dtype).reshape(shape)
        else:
            array = _decode(body[at : at + size * dtype.itemsize], dtype, shape)
            at += size * dtype.itemsize
        kept: np.ndarray | Picked = array
        if "picked" in entry:
            facts = entry["picked"]
            whole = tuple(facts.pop("shape"))
            spots = places(entry["name"], int(np.prod(whole, dtype=int)))
            kept = Picked(shape=whole, places=spots, values=array, **facts)
        files.setdefault(entry["file"], {})[entry["name"]] = kept
    return files, json.dumps(header["keys"])


def _axis(shape: tuple[int, ...]) -> int:
    """Along which pixels of an image are neighbours."""
    return -1 if shape[-1] > 4 else -2


def _encode(array: np.ndarray) -> bytes:
    """First bytes first, then second ones, ...; of images the difference from the pixel before."""
    if array.dtype == np.uint8 and array.ndim >= 3:
        array = np.diff(array, axis=_axis(array.shape), prepend=np.uint8(0))
    flat = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
    return flat.reshape(-1, array.dtype.itemsize).T.tobytes()


def _decode(content: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    planes = np.frombuffer(content, np.uint8).reshape(dtype.itemsize, -1)
    array = np.frombuffer(planes.T.tobytes(), dtype).reshape(shape)
    if dtype == np.uint8 and len(shape) >= 3:
        array = np.cumsum(array, axis=_axis(shape), dtype=np.uint8)
    return array


def _pick(name: str, array: np.ndarray) -> Picked:
    spots = places(name, array.size)
    size = np.abs(array.astype(np.float64))
    return Picked(
        shape=array.shape,
        places=spots,
        values=array.ravel()[spots],
        largest=float(size.max()),
        norm=float(np.linalg.norm(size)),
        digest=crc(array),
    )


def thinned(file: str, arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray | Picked]]:
    """What is kept of one file."""
    arrays = _SMALLER.get(file, dict)(arrays)
    for name, array in arrays.items():
        if _matches(_FIRST_SAMPLE, file, name) and array.ndim:
            array = array[:1]
        elif name.endswith("_mean") or name.startswith("metric_mean__"):
            of = name.removesuffix("_mean").replace("metric_mean__", "metric__")
            array = arrays[of][:1].mean() if _matches(_FIRST_SAMPLE, file, of) else array
        read_whole = _matches(_WHOLE, file, name) and not _matches(_FROM_BODIES, file, name)
        yield name, np.asarray(array) if read_whole or array.size <= KEPT else _pick(name, array)
        if re.fullmatch(_CLASSES, name):
            yield f"{name}{CLASS}", array[:, 4:].argmax(axis=1).astype(np.uint8)


def _smaller_fields(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Zeros for the grid points of the first field that its body does not reach."""
    made = dict(arrays)
    rigid, low, high = arrays["in__T_w2c"][0], arrays["in__grid_min"][0], arrays["in__grid_max"][0]
    world = (arrays["in__pred_c_verts"][0] - rigid[:3, 3]) @ rigid[:3, :3]
    side = arrays["in__sdf_f16"].shape[-1]
    cell = np.floor((world - low) / (high - low) * (side - 1)).astype(int)
    field = np.zeros_like(arrays["in__sdf_f16"])
    for corner in np.ndindex(4, 4, 4):  # one farther on each side than interpolation reads
        x, y, z = np.clip(cell + np.array(corner) - 1, 0, side - 1).T
        field[0, x, y, z] = arrays["in__sdf_f16"][0, x, y, z]
    made["in__sdf_f16"] = field
    return made


def _smaller_picture(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The second and third person, who lie partly outside, and black where no crop of theirs reaches."""
    made = {}
    for name, array in arrays.items():
        person = re.search(r"_b(\d)", name)
        if person is None:
            made[name] = array[1:] if name.startswith(("in__boxes", "in__draws")) else array
        elif person[1] != "0":
            made[name.replace(person[0], f"_b{int(person[1]) - 1}")] = array
    image = arrays["in__image_u8"]
    made["in__image_u8"] = np.zeros_like(image)
    for name in made:
        if "_bbx_" in name:
            left, top = np.maximum(made[name][:2].astype(int) - 3, 0)
            right, bottom = made[name][2:].astype(int) + 4
            made["in__image_u8"][top:bottom, left:right] = image[top:bottom, left:right]
    return made


def _smaller_scene(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every sixteenth point."""
    made, count = dict(arrays), len(arrays["in__scene_w"])
    inside = np.unpackbits(arrays["inside_bits"], axis=-1, count=count).astype(bool)
    made["in__scene_w"], made["inside_bits"] = arrays["in__scene_w"][::16], np.packbits(inside[:, ::16], axis=-1)
    for i, mine in enumerate(inside):
        made[f"c_pcFst_all_b{i}"] = arrays[f"c_pcFst_all_b{i}"][np.flatnonzero(mine) % 16 == 0]
    return made


_SMALLER = {"G7_eval_results": _smaller_fields, "G8_crop": _smaller_picture, "G8_frustum": _smaller_scene}


def _entry(file: str, name: str, kept: np.ndarray | Picked) -> tuple[dict[str, Any], bytes]:
    """Header and bytes of one array."""
    array = kept.values if isinstance(kept, Picked) else kept
    entry: dict[str, Any] = {"file": file, "name": name, "dtype": array.dtype.str, "stored": array.shape}
    if isinstance(kept, Picked):
        entry["picked"] = {key: value for key, value in asdict(kept).items() if key not in ("places", "values")}
    if (file, name) in _DRAWN:
        seed, skip = entry["drawn"] = _DRAWN[file, name]
        drawn = np.random.RandomState(seed).standard_normal(skip + array.size)[skip:].astype(array.dtype)
        assert (drawn.reshape(array.shape) == array).all(), f"{file} {name} is not what seed {seed} gives: mend _DRAWN"
        return entry, b""
    return entry, _encode(array)


def write(folder: Path, keys: Path, path: Path = FILE) -> int:
    """Make the set from a folder of golden ``.npz`` files and the list of keys; gives its size in bytes."""
    entries, body = [], []
    for file in sorted(folder.glob("G*.npz")):
        with np.load(file, allow_pickle=False) as data:
            arrays = {name: data[name] for name in data.files}
        for name, kept in thinned(file.stem, arrays):
            entry, content = _entry(file.stem, name, kept)
            entries.append(entry)
            body.append(content)
    header = {"arrays": entries, "keys": json.loads(keys.read_text())}
    content = json.dumps(header, separators=(",", ":")).encode() + b"\n" + b"".join(body)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))
    return path.stat().st_size


if __name__ == "__main__":
    full = Path(sys.argv[1])
    print(f"{FILE}: {write(full, full.parent / KEYS)} bytes")
