"""Scoring against the authors' way of it: frames a second of either, on one thread, and what a split of 3116 costs.

The authors score one frame at a time: the true SMPL-X mesh is transferred by a dense product of 6890 x 10475, the
prediction moved to the world by an inverted matrix, and joints are regressed. Ours does the same transfer with the
sparse matrix it is, as many frames at a time as ``evaluate``, and far more besides: contact points, occlusion, edges,
posture and two oracles. Meshes and a 256^3 field are made up; nothing is read from a disk. Seconds are of the
processor, so that other programs do not count.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from torch.nn import functional

from pipelines.evaluate import BATCH
from sahmr.body.joints import H36M_TO_14
from sahmr.metrics import mesh_errors
from sahmr.scenes.store import Scene
from sahmr.scores.contact import Contacts
from sahmr.scores.evaluation import Scorer
from sahmr.scores.predictions import Predicted
from sahmr.scores.truth import Truth
from sahmr.shards.decode import StoredGeometry
from tests.benchmarks.figures import record

BATCHES, OURS, SPLIT = 5, 10475, 3116
EDGES = 20_664
CAMERA = np.array([[1.0, 0, 0, 0.1], [0, 0, -1, 0.2], [0, 1, 0, 4], [0, 0, 0, 1]])


class World:
    """Everything that is made up."""

    def __init__(self) -> None:
        draw = np.random.default_rng(0)
        rows = np.repeat(np.arange(6890), 3)
        self.transfer = sp.csr_matrix((np.full(20670, 1 / 3), (rows, draw.integers(0, OURS, 20670))), (6890, OURS))
        self.dense = torch.from_numpy(self.transfer.toarray()).float()
        self.regressor = torch.zeros(17, 6890)
        self.regressor[torch.arange(17).repeat(60), torch.from_numpy(draw.integers(0, 6890, 1020))] = 1 / 60
        self.edges = torch.from_numpy(draw.integers(0, 6890, (EDGES, 2)))
        axis = torch.linspace(-4, 4, 256)
        field = (axis + 1).expand(256, 256, 256).contiguous() + torch.rand(256, 256, 256) * 0.02
        low = torch.tensor([-4.0, -4, -4])
        self.scene = Scene(points=torch.zeros(0, 3), sdf=field, sdf_min=low, sdf_max=-low, attributes={})
        self.true = draw.normal(0, [0.2, 0.2, 0.5], (BATCH, OURS, 3)).astype(np.float32)
        self.predicted = draw.normal(0, [0.2, 0.2, 0.5], (BATCH, 6890, 3)).astype(np.float32) + np.float32([0, 0, 4])
        self.contact = draw.random(6890) < 0.1
        floor = np.pad(draw.integers(0, 40, (500, 2)) * 0.02, ((0, 0), (0, 1)))  # voxels of 2 cm
        self.contacts = Contacts(xyz=floor, part=draw.integers(1, 8, 500))


def authors_way(world: World) -> None:
    """The six published numbers of each frame of a batch."""
    low, high = world.scene.sdf_min, world.scene.sdf_max
    for true, predicted in zip(world.true, world.predicted, strict=True):
        target = world.dense @ torch.from_numpy(true)
        inverse = torch.linalg.inv(torch.from_numpy(CAMERA).float())
        moved = torch.from_numpy(predicted) @ inverse[:3, :3].T + inverse[:3, 3]
        errors = mesh_errors(moved[None], target[None], world.regressor, H36M_TO_14)
        unit = ((moved - low) / (high - low) * 2 - 1).flip(-1)[None, None, None]
        distance = functional.grid_sample(world.scene.sdf[None, None], unit, padding_mode="border", align_corners=True)
        depth = distance.view(-1).clamp(max=0).abs()
        contact = torch.where(torch.from_numpy(world.contact), distance.view(-1).abs(), depth).sum()
        assert len(errors) == 5 and depth.sum().isfinite() and contact.isfinite()


def our_way(world: World, scorer: Scorer) -> None:
    """All that ``evaluate`` computes of a batch but the scene points a crop can see."""
    truths = []
    for number, true in enumerate(world.true):
        vertices = world.transfer @ true
        frame = StoredGeometry(
            key=str(number), intrinsics=np.eye(3), camera_from_world=CAMERA, person_box=np.zeros(4),
            vertices_world=vertices.astype(np.float32), contact=world.contact,
        )  # fmt: skip
        truths.append(
            Truth(
                frame=frame, sequence="s", scene_key="c", scene=world.scene, up=torch.tensor([0.0, 0, 1]).double(),
                contacts=world.contacts,
            )
        )  # fmt: skip
    root = torch.zeros(BATCH, 3)
    said = Predicted(
        meshes=torch.from_numpy(world.predicted), root=root, initial_root=root, contacts=(world.contacts,) * BATCH
    )
    assert len(scorer.score({"sahmr": said}, truths).table) == 3 * BATCH


def milliseconds(work: Callable[[], None]) -> float:
    """Of the processor per frame, the fastest of some batches."""
    found = []
    for _ in range(BATCHES):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found) / BATCH * 1000


def main() -> None:
    """Print both, their ratio and what a split would cost; needs a second or two of either."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    world = World()
    scorer = Scorer(world.regressor, world.edges)
    ours = milliseconds(lambda: our_way(world, scorer))
    theirs = milliseconds(lambda: authors_way(world))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"authors' way {theirs:.1f} ms a frame, ours {ours:.2f} ms: {theirs / ours:.0f} times the frames a second")
    print(f"{SPLIT} frames: {SPLIT * ours / 1000:.0f} s (extrapolated), {peak:.2f} GB with one scene")
    figures = {"authors_ms": round(theirs, 1), "ours_ms": round(ours, 2), "ratio": round(theirs / ours, 1)}
    record(args.out, "python -m tests.benchmarks.scoring", figures | {"peak_gb": round(peak, 2)})


if __name__ == "__main__":
    main()
