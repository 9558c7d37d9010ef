"""Either training learns one sample by heart, until hardly anything is left of its losses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from sahmr.dimensions import NUM_COARSE, NUM_VERTICES
from sahmr.network.mesh import MeshNet
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import OWN, NetworkSize, RootRegion
from sahmr.structures import Batch, BodyTopology
from sahmr.training.initial import start_as_template
from sahmr.training.mesh_task import MeshTask, MeshWeights
from sahmr.training.optimizer import Plan
from sahmr.training.progress import Row
from sahmr.training.state import Keeping, TrainingData
from sahmr.training.tasks import RootContactTask, RootContactWeights, Task
from sahmr.training.trainer import train
from tests.worlds.batches import person_batch
from tests.worlds.networks import TINY, write_topology

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


def random_network(size: NetworkSize, topology: BodyTopology) -> SahmrNet:
    torch.manual_seed(0)
    return SahmrNet(size, CALM, topology)


def learn(network: SahmrNet, task: Task, batch: Batch, folder: Path, *, epochs: int, rate: float) -> list[Row]:
    data = TrainingData(epoch=lambda _: [batch] * STEPS, steps=STEPS, validation=lambda: [])
    plan = Plan(seed=1, epochs=epochs, batch_size=32, canonical_lr=rate, schedule="cosine")
    return train(network, task, plan, data, keeping=Keeping(resume_file=folder / ".a.resume.pt", digest="a"))


def test_root_and_contact(topology: BodyTopology, tmp_path: Path) -> None:
    weights = RootContactWeights(heatmap=20.0, part_maps=0.1, part_maps_flipped=0.0)
    task = RootContactTask(topology=topology, loss_weights=weights, pitch_m=0.02)
    network = random_network(replace(STILL, root_hrnet=MAPS), topology)
    first, *_, last = learn(network, task, sample(), tmp_path, epochs=10, rate=1e-2)
    assert last["train_loss"] < 0.0003 * first["train_loss"], (first, last)  # measured 0.00007
    assert last["train_root"] < 0.002 and last["train_scaled_depth"] < 0.03, last  # measured 0.0004 (metres) and 0.006


def within_reach(network: MeshNet, topology: BodyTopology) -> Float[Tensor, "1 6890 3"]:
    """A body that the up-sampling can give, coarse vertices some 0.2 m off the template: no term has a floor."""
    moved = topology.template_coarse + 0.1 * torch.randn(NUM_COARSE, 3, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        vertices = network.upsampling2(network.upsampling(moved.t())).t()
    return vertices[None] + torch.tensor([0.0, 0.0, 3.1])


def test_mesh(topology: BodyTopology, tmp_path: Path) -> None:
    """From where a training starts: the template body, and points in contact that are passed on as they are.

    To learn the body the layers change that also pass on the points, so these get worse at first.
    """
    write_topology(tmp_path)
    network = random_network(replace(STILL, transformer=WORDS), topology)
    start_as_template(network.metro_enhanced, tmp_path, torch.zeros(0, NUM_VERTICES, 3))
    batch = sample()
    assert batch.targets is not None
    body = within_reach(network.metro_enhanced, topology)
    batch = replace(batch, targets=replace(batch.targets, vertices_camera=body))
    task = MeshTask(topology=topology, loss_weights=MeshWeights(), train_upsampling=False)
    first, *_, last = learn(network, task, batch, tmp_path, epochs=8, rate=3e-3)
    for name, most in (("vertices", 0.003), ("joints", 0.0001), ("global_vertices", 0.003), ("contacts", 0.001)):
        assert last[f"train_{name}"] < most, last  # metres; measured 0.0013, 0.00001, 0.0013 and 0.0003
    assert last["train_loss"] < 0.04 * first["train_loss"], (first, last)  # measured 0.019; at first 0.157
    assert last["train_contacts"] < 0.05 * first["train_contacts"], (first, last)  # measured 0.011
