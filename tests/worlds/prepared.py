"""Two roads from the demo: its raw trees, and the folders that the authors would have prepared of them."""

from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import bodies
from pipelines.demo import prepared
from sahmr.readers.base import SPLITS, Reader
from sahmr.readers.prox import ProxRules
from sahmr.readers.registry import open_reader
from sahmr.readers.rich_listing import RichRules
from sahmr.scenes.build import Scenes
from sahmr.settings import Paths
from sahmr.shards.encode import Shards
from sahmr.untrusted.pickles import load_npy
from tests.worlds.small import paths_of

PITCH_M = 0.1
SCENES = Scenes(voxel_pitch_m=PITCH_M, sdf_spacing_m=0.3, sdf_margin_m=0.5, sdf_max_samples=10**6)
SHARDS = Shards(samples_per_shard=8, max_side_px=320, margin=1.6, jpeg_quality=92)
SEQUENCES = ("BBQ_001_guitar", "ParkingLot1_007_eating2", "Gym_011_cooking1")  # train, val, test
RULES: dict[str, Any] = {"rich": RichRules(multi_person=()), "prox": ProxRules(parts=("quantitative",))}
INDEX = "sahmr_support/test_split/meta/test3116.npy"


@dataclass(frozen=True)
class Roads:
    """Trees of both, below one folder, and what the stage ``bodies`` made."""

    folder: Path

    @property
    def paths(self) -> Paths:
        return paths_of(self.folder)

    def reader(self, road: str, dataset: str, **rules: Any) -> Reader:
        chosen = type(RULES[dataset])(**{"parts": ("quantitative",)} | rules) if dataset == "prox" else None
        chosen = chosen or RichRules(**{"multi_person": ()} | rules)
        root = self.folder / road / dataset.upper()
        return open_reader(dataset, root, bodies=self.paths.bodies, rules=chosen)


def write_roads(folder: Path, demo: Path, *, pitch_m: float = PITCH_M, side: int = 32) -> Roads:
    """A few sequences of the demo, and PROX whole.

    Args:
        folder: where.
        demo: holds ``RICH``, ``PROX`` and ``body_models``; copied: another link to a file is a change of it.
        pitch_m, side: of the prepared scenes.
    """
    roads = Roads(folder)
    for name in ("RICH", "PROX"):
        shutil.copytree(demo / name, folder / "raw" / name, ignore=_other_sequences)
    for table in (folder / "raw/RICH/resource/meta").iterdir():
        head, *rows = table.read_text().split("\n")
        table.unlink()
        table.write_text("\n".join([head, *(row for row in rows if row.startswith(SEQUENCES))]))
    bodies.run(bodies.Bodies(raw=demo / "body_models", num_betas=10), roads.paths)
    prepared.run(
        folder / "prepared",
        rich=folder / "raw/RICH",
        prox=folder / "raw/PROX",
        bodies=roads.paths.bodies,
        pitch_m=pitch_m,
        side=side,
    )
    return roads


def _other_sequences(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(folder).name in SPLITS and name not in SEQUENCES]


def copied(roads: Roads, folder: Path) -> Roads:
    """The prepared road, to be damaged."""
    shutil.copytree(roads.folder / "prepared", folder / "prepared", copy_function=os.link)
    (folder / "bodies").symlink_to(roads.paths.bodies)
    return Roads(folder)


def put(path: Path, content: bytes) -> None:
    """In place of a file that other copies share."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def put_array(path: Path, array: np.ndarray) -> None:
    path.unlink(missing_ok=True)
    np.save(path, array, allow_pickle=array.dtype.hasobject)


def change_rows(path: Path, **changes: Any) -> None:
    """Set keys of all descriptions of a test index."""
    table = np.empty(len(rows := load_npy(path)), dtype=object)
    table[:] = [{**row, **changes} for row in rows.tolist()]
    put_array(path, table)


def change_pickle(path: Path, change: Any) -> None:
    """Replace what a pickle holds by what a function makes of it."""
    put(path, pickle.dumps(change(pickle.loads(path.read_bytes())), protocol=2))
