"""Either training learns one sample by heart, until hardly anything is left of its losses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import OWN, NetworkSize, RootRegion
from sahmr.structures import Batch, BodyTopology
from sahmr.training.mesh_task import MeshTask, MeshWeights
from sahmr.training.optimizer import Plan
from sahmr.training.progress import Row
from sahmr.training.state import Keeping, TrainingData
from sahmr.training.tasks import RootContactTask, RootContactWeights, Task
from sahmr.training.trainer import train
from tests.worlds.batches import person_batch
from tests.worlds.networks import TINY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

STEPS, POINTS = 50, 8
CALM = replace(
    OWN, region=RootRegion(substitution_distance=0.0, root_noise_std=(0, 0, 0), mesh_root_noise_std=(0, 0, 0))
)


STILL = replace(TINY, contact=replace(TINY.contact, dropout=0.0), transformer=replace(TINY.transformer, dropout=0.0))
# Wide enough to keep a sample.
MAPS = replace(TINY.root_hrnet, stem=16, bottleneck_planes=4, channels=(16,) * 4, head_planes=(8,) * 4, head_width=32)
WORDS = replace(STILL.transformer, hidden=(64, 32, 16), output=(32, 16, 3), ffn=64)


def sample() -> Batch:
    """Its picture says where in it one is; of the scene so few points that none is drawn."""
    batch, ramp = person_batch(3, count=1), torch.linspace(-1, 1, 224)
    image = torch.stack([ramp.expand(224, 224), ramp[:, None].expand(224, 224), batch.image[0, 0]])
    scene = replace(batch.scene, xyz=batch.scene.xyz[:POINTS], sample=batch.scene.sample[:POINTS])
    return replace(batch, image=image[None], scene=scene)


def learn(size: NetworkSize, task: Task, topology: BodyTopology, folder: Path, epochs: int) -> list[Row]:
    torch.manual_seed(0)
    network, batch = SahmrNet(size, CALM, topology), sample()
    data = TrainingData(epoch=lambda _: [batch] * STEPS, steps=STEPS, validation=lambda: [])
    plan = Plan(seed=1, epochs=epochs, batch_size=32, canonical_lr=1e-2, schedule="cosine")
    return train(network, task, plan, data, keeping=Keeping(resume_file=folder / ".a.resume.pt", digest="a"))


def test_root_and_contact(topology: BodyTopology, tmp_path: Path) -> None:
    weights = RootContactWeights(heatmap=20.0, part_maps=0.1, part_maps_flipped=0.0)
    task = RootContactTask(topology=topology, loss_weights=weights, pitch_m=0.02)
    first, *_, last = learn(replace(STILL, root_hrnet=MAPS), task, topology, tmp_path, 10)
    assert last["train_loss"] < 0.0003 * first["train_loss"], (first, last)  # measured 0.00007
    assert last["train_root"] < 0.002 and last["train_scaled_depth"] < 0.03, last  # measured 0.0004 (metres) and 0.006


def test_mesh(topology: BodyTopology, tmp_path: Path) -> None:
    """Points in contact, which the network only passes on, take longer than the body."""
    task = MeshTask(topology=topology, loss_weights=MeshWeights())
    first, *_, last = learn(replace(STILL, transformer=WORDS), task, topology, tmp_path, 8)
    for name in ("vertices", "joints", "global_vertices"):
        assert last[f"train_{name}"] < 0.002, last  # metres; measured 0.0006, 0.00002 and 0.0006
    assert last["train_loss"] < 0.04 * first["train_loss"], (first, last)  # measured 0.021
