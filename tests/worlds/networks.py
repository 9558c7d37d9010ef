"""A network small enough for tests, and a random cloud in the place of a body."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sahmr.body.topology import TOPOLOGY_FILE
from sahmr.network.size import ContactSize, HrnetSize, NetworkSize, TransformerSize
from sahmr.structures import BodyTopology

TRUNK = HrnetSize(
    stem=4,
    bottleneck_planes=2,
    bottleneck_blocks=1,
    channels=(4, 4, 4, 4),
    modules=(1, 1, 1),
    blocks=1,
    head_planes=(2, 2, 2, 2),
    head_width=16,
)
TINY = NetworkSize(
    root_hrnet=TRUNK,
    mesh_hrnet=TRUNK,
    image_features=4,
    contact=ContactSize(stem=4, down=(4, 4, 8, 8), up=(8, 8, 4, 4), dropout=0.1),
    transformer=TransformerSize(
        hidden=(16, 8, 8), output=(8, 8, 3), ffn=16, layers=1, point_layers=1, heads=4, positions=445, dropout=0.1
    ),
    max_contacts=20,
    voxel_size=0.05,
)


def make_topology() -> BodyTopology:
    """A random cloud in the shape of a standing person instead of a body."""
    random = torch.Generator().manual_seed(3)
    vertices = torch.randn(6890, 3, generator=random) * torch.tensor([0.15, 0.4, 0.1])
    coarse = torch.randperm(6890, generator=random)[:431].sort().values
    part = torch.where(torch.rand(6890, generator=random) < 0.1, torch.randint(1, 8, (6890,), generator=random), 0)
    regressor = torch.rand(17, 6890, generator=random)
    regressor = regressor / regressor.sum(dim=1, keepdim=True)
    return BodyTopology(
        template_joints=torch.einsum("jv,vc->jc", regressor, vertices)[:14],
        template_coarse=vertices[coarse],
        coarse_to_full=coarse,
        joint_regressor=regressor,
        part_full=part,
        part_coarse=part[coarse],
        faces=torch.randint(0, 6890, (50, 3), generator=random),
    )


def write_topology(folder: Path) -> None:
    """The same tables as the stage ``bodies`` stores them."""
    topology = make_topology()
    tables = {name: getattr(topology, name).numpy() for name in BodyTopology.__dataclass_fields__}
    template = np.random.default_rng(0).normal(size=(6890, 3)) * (0.15, 0.4, 0.1)
    template[tables["coarse_to_full"]] = tables["template_coarse"]
    rest = np.setdiff1d(np.arange(6890), tables["coarse_to_full"])
    middle = np.sort(np.concatenate([tables["coarse_to_full"], rest[: 1723 - 431]]))
    folder.mkdir(parents=True, exist_ok=True)
    extra = {"template_full": template, "middle_to_full": middle, "part_names": np.array(["none"] * 8)}
    np.savez(folder / TOPOLOGY_FILE, **tables, **extra)
