"""Ways to damage the raw files of a small part of the demo, and what the conversion stages must say of each."""

from __future__ import annotations

import builtins
import io
import json
import os
import pickle
import re
import shutil
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines import bodies, frames, scenes, shards, verify
from pipelines.conversion.parallel import Parallel
from sahmr.readers.prox import ProxRules
from sahmr.readers.rich_listing import RichRules
from sahmr.scenes.build import Scenes
from sahmr.settings import Paths
from sahmr.shards.encode import Shards
from sahmr.untrusted.pickles import load_pickle
from sahmr.verify import Verify
from schemas.fields import from_table, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.quarantine import QUARANTINE_SCHEMA, Quarantined
from tests.worlds.small import hashes

STAGES = {"frames": frames, "scenes": scenes, "shards": shards, "verify": verify}
_NAMES = ("bodies", "frames", "scenes", "shards", "models", "predictions", "scores", "reports", "catalog", "work")
_SEQUENCES = ("BBQ_001_guitar", "Gym_011_cooking1")  # of RICH: one to train and one to test with
_PATHS = Paths(**{name: Path("out") / name for name in _NAMES})
_ALONE = Parallel(workers=0, loaders=0, threads=1)


def settings_of(stage: str, dataset: str, accepted: int, interval: int | None) -> Any:
    """A stage's settings; ``accepted``: its ``max_quarantined``; ``interval``: of RICH's images, None: as published."""
    every = {} if interval is None else {"interval": dict.fromkeys(("train", "val", "test"), interval)}
    rules = {"rich": partial(RichRules, multi_person=(), **every), "prox": ProxRules}
    make = {
        "frames": rules[dataset],
        "scenes": partial(Scenes, voxel_pitch_m=0.2, sdf_spacing_m=0.5, sdf_margin_m=0.5, sdf_max_samples=10**6),
        "shards": partial(Shards, samples_per_shard=8, max_side_px=320, margin=1.6, jpeg_quality=92),
    }
    return Verify(box_tolerance=0.02) if stage == "verify" else make[stage](max_quarantined=accepted)


@dataclass
class World:
    """Raw trees and everything the stages made of them, below one folder, which stages run in."""

    folder: Path
    sound: dict[str, list[FrameRecord]] = field(default_factory=dict)
    _kept: dict[Path, bytes | None] = field(default_factory=dict)

    def run(self, stage: str, dataset: str, *, accepted: int = 0, interval: int | None = None) -> None:
        """Run a stage in this process; ``accepted`` and ``interval`` as :func:`settings_of` takes them."""
        settings = settings_of(stage, dataset, accepted, interval)
        raw = {} if stage == "verify" else {"raw": Path(dataset.upper())}
        STAGES[stage].run(dataset, settings, _PATHS, _ALONE, **raw)

    def run_bodies(self) -> None:
        bodies.run(bodies.Bodies(raw=Path("body_models"), num_betas=10), _PATHS)

    def write_params(self) -> None:
        """For the stage ``frames`` as a user runs it."""
        params = {
            "raw": {"rich": "RICH", "prox": "PROX"},
            "paths": {name: f"out/{name}" for name in _NAMES},
            "frames": {"rich": {"multi_person": []}},
            "parallel": {"workers": 0, "loaders": 0, "threads": 1},
        }
        (self.folder / "params.yaml").write_text(json.dumps(params))

    def records(self, dataset: str) -> list[FrameRecord]:
        return from_table(read_table(self.folder / f"out/frames/{dataset}.parquet", FRAME_SCHEMA), FrameRecord)

    def report(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"out/reports/{name}.json").read_text())
        return found

    def quarantined(self, stage: str, dataset: str) -> list[Quarantined]:
        path = self.folder / f"out/reports/quarantine_{stage}_{dataset}.parquet"
        return from_table(read_table(path, QUARANTINE_SCHEMA), Quarantined)

    def published(self, *stages: str) -> dict[str, str]:
        """Hashes of what stages put out."""
        return {f"{stage}/{name}": sha for stage in stages for name, sha in hashes(self.folder / "out" / stage).items()}

    def raw(self, dataset: str, file: str = "") -> Path:
        return self.folder / dataset.upper() / file

    def put(self, path: Path, content: bytes) -> None:
        """Write a raw file until it is mended; never into the demo, whose files are linked here."""
        self.remove(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def remove(self, path: Path) -> None:
        self._kept.setdefault(path, path.read_bytes() if path.is_file() else None)
        path.unlink(missing_ok=True)

    def kept(self, path: Path) -> bytes:
        """What a removed or damaged file held."""
        content = self._kept[path]
        assert content is not None
        return content

    def mend(self, path: Path) -> None:
        """Put a raw file back as it was."""
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        content = self._kept.pop(path)
        if content is not None:
            path.write_bytes(content)

    @contextmanager
    def mended(self) -> Iterator[None]:
        """Put every raw file back when the block ends."""
        try:
            yield
        finally:
            for path in list(self._kept):
                self.mend(path)


def make_world(folder: Path, demo: Path) -> World:
    """Link two sequences of RICH and all of PROX, and convert them."""
    shutil.copytree(demo / "PROX", folder / "PROX", copy_function=_link)
    skip = {path.name for path in (demo / "RICH").glob("*/*/*_*_*")} - set(_SEQUENCES)
    shutil.copytree(demo / "RICH", folder / "RICH", copy_function=_link, ignore=lambda _, names: skip & {*names})
    for table in sorted((folder / "RICH/resource/meta").iterdir()):
        header, *rows = table.read_text().splitlines()
        kept = [row for row in rows if row.startswith(_SEQUENCES)]
        table.unlink()
        if kept:
            table.write_text("\n".join([header, *kept]))
    unused = shutil.ignore_patterns("smplh", "SMPLH*", "SMPLX_NEUTRAL*")
    shutil.copytree(demo / "body_models", folder / "body_models", copy_function=_link, ignore=unused)
    world = World(folder)
    world.run_bodies()
    for dataset in ("rich", "prox"):
        for stage in ("frames", "scenes", "shards", "verify"):
            world.run(stage, dataset)
        world.sound[dataset] = world.records(dataset)
    return world


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


@contextmanager
def refused(path: Path, code: int) -> Iterator[None]:
    """A file that nobody can open; patched, since tests may run as root, who has every right."""
    whole, bare = builtins.open, os.open

    def opened(file: Any, *args: Any, **named: Any) -> Any:
        if str(file) == str(path):
            raise OSError(code, os.strerror(code), str(file))
        return whole(file, *args, **named)

    def opened_bare(file: Any, *args: Any, **named: Any) -> int:
        if str(file) == str(path):
            raise OSError(code, os.strerror(code), str(file))
        return bare(file, *args, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "open", opened)
        patch.setattr(io, "open", opened)
        patch.setattr(os, "open", opened_bare)
        yield


# What follows turns the bytes of a sound file into those of a damaged one.
Damage = Callable[[bytes], bytes]


def cut(share: float) -> Damage:
    return lambda content: content[: int(len(content) * share)]


def always(content: bytes | str) -> Damage:
    return lambda _: content.encode() if isinstance(content, str) else content


def image(kind: str, size: float = 1.0, mode: str = "RGB", **options: Any) -> Damage:
    """The same picture as another file."""

    def convert(content: bytes) -> bytes:
        with Image.open(io.BytesIO(content)) as picture:
            small = picture.resize((round(picture.width * size), round(picture.height * size)))
            stream = io.BytesIO()
            deep = Image.fromarray(np.asarray(small.convert("L")).astype(np.uint16) * 256) if mode == "I;16" else None
            (deep or small.convert(mode)).save(stream, kind, **options)
        return stream.getvalue()

    return convert


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def then(*steps: Damage) -> Damage:
    def all_of(content: bytes) -> bytes:
        for step in steps:
            content = step(content)
        return content

    return all_of


def zero_tail(share: float) -> Damage:
    """What a disk gives back that lost power while the file was written."""
    return lambda content: cut(share)(content).ljust(len(content), b"\0")


def png_claiming(width: int, height: int) -> Damage:
    def damage(content: bytes) -> bytes:
        import zlib

        png = image("PNG")(content)
        head = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
        return png[:12] + head + struct.pack(">I", zlib.crc32(head)) + png[33:]

    return damage


def replaced(old: bytes, new: bytes) -> Damage:
    def damage(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new, 1)

    return damage


def ply_vertices(value: float, *, row: int = 100, bytes_per_row: int = 12) -> Damage:
    """A PLY file one of whose x is another number."""

    def damage(content: bytes) -> bytes:
        at = content.index(b"end_header\n") + 11 + row * bytes_per_row
        return content[:at] + struct.pack("<f", value) + content[at + 4 :]

    return damage


def ply_of(vertices: int, faces: int, index: int = 0) -> bytes:
    """A sound PLY file of so many vertices, none or all of whose faces name one vertex."""
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {vertices}\n"
    head += "".join(f"property float {axis}\n" for axis in "xyz")
    head += f"element face {faces}\nproperty list uchar int vertex_indices\nend_header\n" if faces else "end_header\n"
    points = np.random.default_rng(0).normal(size=(vertices, 3)).astype("<f4").tobytes()
    return head.encode() + points + struct.pack("<B3i", 3, 0, 1, index) * faces


def params(**changes: Any) -> Damage:
    """A body's parameters, some of them another value, None: missing."""

    def damage(content: bytes) -> bytes:
        sound = _unpickled(content)
        return pickle.dumps({k: v for k, v in {**sound, **changes}.items() if v is not None}, protocol=2)

    return damage


def contact(change: Callable[[np.ndarray], Any]) -> Damage:
    return lambda content: pickle.dumps({"contact": change(np.array(_unpickled(content)["contact"]))}, protocol=2)


def _unpickled(content: bytes) -> dict[str, Any]:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(content)
        found: dict[str, Any] = load_pickle(Path(file.name))
    return found


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def edited_json(**changes: Any) -> Damage:
    def damage(content: bytes) -> bytes:
        told = {**json.loads(content), **changes}
        return json.dumps({key: value for key, value in told.items() if value is not None}).encode()

    return damage


def xml(node: str, change: Callable[[np.ndarray], np.ndarray]) -> Damage:
    """An OpenCV file with another matrix."""

    def damage(content: bytes) -> bytes:
        text = content.decode()
        start, end = text.index(f"<{node}"), text.index(f"</{node}>")
        shape = [int(re.findall(f"<{side}>(.*?)</{side}>", text[start:end])[0]) for side in ("rows", "cols")]
        values = re.findall("<data>(.*?)</data>", text[start:end], re.DOTALL)[0].split()
        matrix = change(np.array(values, dtype=float).reshape(shape))
        data = " ".join(map(repr, matrix.ravel().tolist()))
        inner = f"<rows>{matrix.shape[0]}</rows><cols>{matrix.shape[1]}</cols><dt>d</dt><data>{data}</data>"
        return f'{text[:start]}<{node} type_id="opencv-matrix">{inner}{text[end:]}'.encode()

    return damage
