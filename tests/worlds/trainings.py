"""Short trainings in the small world: data in which every loss has something to learn, settings, the stages by name."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import trimesh
import yaml

from pipelines import train_rcnet, train_sahmr
from pipelines.conversion.parallel import Parallel
from sahmr.scenes.build import write_scene
from sahmr.settings import Paths, load_section
from sahmr.training.build import Network
from sahmr.training.foreign import REFUSED, Others
from schemas.frame import FrameRecord
from tests import imports
from tests.worlds import small
from tests.worlds.networks import write_topology

STAGES = {
    "train_rcnet": (train_rcnet.run, train_rcnet.TrainRcnet),
    "train_sahmr": (train_sahmr.run, train_sahmr.TrainSahmr),
}


def write_world(root: Path, rows: Sequence[FrameRecord] | None = None) -> None:
    """The small world, of these samples or its own, and the tables of a body; a seat stands where the people are."""
    small.write_world(root, rows)
    write_topology(root / "bodies")
    seat = trimesh.creation.box((0.6, 0.4, 0.4))
    seat.apply_translation((0, 0.3, 1.0))
    trimesh.util.concatenate([small.room(), seat]).export(root / "raw/seat.ply")
    scene = small.scene_record("seat.ply")
    write_scene(scene, store=root / "scenes/rich.zarr", raw_root=root / "raw", settings=small.SCENES)


def write_params(root: Path, **changes: Any) -> Path:
    """The repository's params.yaml for a world; ``changes`` go into both trainings."""
    params = yaml.safe_load((imports.ROOT / "params.yaml").read_text())
    params["paths"] = {name: str(root / name) for name in params["paths"]}
    params["parallel"] = {"workers": 0, "loaders": 0, "threads": 1}
    params["network"]["initial_checkpoint"] = None  # worlds have networks of other sizes
    params["predict"] |= {"fit_smpl": False, "mesh": "network"}  # the people of such a world are clouds of points
    for stage in STAGES:
        params[stage] |= {"warmup_steps": 0, "processes": 1} | copy.deepcopy(changes)  # of the few steps there are
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    return root / "params.yaml"


def run(stage: str, params: Path, others: Others = REFUSED) -> None:
    """Run a training stage with the settings of a file."""
    function, kind = STAGES[stage]
    network, paths = load_section("network", Network, params), load_section("paths", Paths, params)
    function(
        load_section(stage, kind, params), network, paths, load_section("parallel", Parallel, params), others=others
    )
