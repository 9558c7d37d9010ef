"""What the golden files of several groups have in common: bodies, cameras, batches, the network's weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sahmr.body.hierarchy import read_hierarchy
from sahmr.body.model import body_model, read_official
from sahmr.body.skinning import BodyParams, pose_body
from sahmr.geometry.frustum import frustum_corners, inside_frustum
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import PAPER, REFERENCE, RootRegion
from sahmr.sparse.kernel_map import Rounding
from sahmr.structures import Batch, BodyTopology, Camera, pack_points
from sahmr.untrusted.pickles import load_pickle
from tests.parity.deterministic_weights import value
from tests.parity.golden_file import GoldenFile

MODES: tuple[Rounding, ...] = ("trunc", "floor")
QUIET = RootRegion(root_noise_std=(0.0, 0.0, 0.0), mesh_root_noise_std=(0.0, 0.0, 0.0))  # G6 was made with noise off

Load = Callable[[str], GoldenFile]


def joint_regressor(data: GoldenFile) -> torch.Tensor:
    """The dense H36M regressor [17, 6890] from its COO triplets."""
    row, column, value = (data.given(f"in__J_regressor_h36m_{part}") for part in ("row", "col", "val"))
    return torch.sparse_coo_tensor(torch.stack([row, column]), value, (17, 6890), check_invariants=True).to_dense()


def tables(template: GoldenFile | None = None, regressor: torch.Tensor | None = None) -> BodyTopology:
    """Tables of the body for a network; the template is one of a file of the mesh network, or left empty."""
    empty = torch.zeros(14, 3), torch.zeros(431, 3), torch.zeros(431, dtype=torch.long)
    if template is not None:
        names = ("init_joints14", "init_verts431", "verts431_pids")
        joints, coarse, part = (template.given(f"in__{name}") for name in names)
        empty = joints[0], coarse[0], part
    return BodyTopology(
        template_joints=empty[0],
        template_coarse=empty[1],
        coarse_to_full=torch.arange(431),
        joint_regressor=torch.zeros(17, 6890) if regressor is None else regressor,
        part_full=torch.zeros(6890, dtype=torch.long),
        part_coarse=empty[2],
        faces=torch.zeros(0, 3, dtype=torch.long),
    )


class Bodies:
    """The synthetic body models that all golden files share.

    Args:
        folder: where ``synthetic_body.write`` put them.
    """

    def __init__(self, folder: Path) -> None:
        genders = ("MALE", "FEMALE")
        paths = [folder / "models" / "smplh" / f"SMPLH_{gender}.pkl" for gender in genders]
        self._models = [body_model(read_official(path, "smplh", num_betas=10), "smplh", 10) for path in paths]
        self.regressor = torch.from_numpy(np.load(folder / "J_regressor_h36m.npy")).float()
        self.coarse_to_full = torch.from_numpy(read_hierarchy(folder / "mesh_downsampling.npz")[1])

        transfer = load_pickle(folder / "models" / "model_transfer" / "smplx2smplh_deftrafo_setup.pkl")["mtx"].tocoo()
        self.smplh_from_smplx = tuple(
            map(torch.from_numpy, (transfer.row, transfer.col, transfer.data.astype(np.float32)))
        )

    def pose(self, data: GoldenFile) -> torch.Tensor:
        """Vertices [batch, 6890, 3], world frame, of a file's SMPL-H parameters; male and female take turns."""
        prefix = "in__gt_smplh__"
        params = {name.removeprefix(prefix): data.given(name).double().numpy() for name in data.names(f"{prefix}.*")}
        bodies = []
        for item in range(len(params["betas"])):
            chosen: dict[str, Any] = {name: value[item] for name, value in params.items()}
            bodies.append(pose_body(self._models[item % 2], BodyParams(**chosen)))
        return torch.from_numpy(np.stack(bodies)).float()


def to_camera(points: torch.Tensor, camera_from_world: torch.Tensor) -> torch.Tensor:
    """Apply rigid transforms, one [4, 4] to points [n, 3] or one per batch item."""
    return points @ camera_from_world[..., :3, :3].mT + camera_from_world[..., None, :3, 3]


def visible(data: GoldenFile) -> list[torch.Tensor]:
    """Which points of each item's scene lie in its crop's frustum."""
    corners = frustum_corners(data.given("in__K"), data.given("in__bbx_lurb"))
    scenes = zip(data.items("in__scene_voxels_w_b*"), data.given("in__T_w2c"), corners, strict=True)
    return [inside_frustum(to_camera(scene, transform), corner) for scene, transform, corner in scenes]


def make_batch(data: GoldenFile) -> Batch:
    """A batch of a file's images, cameras, and scene points: those given, or those in the frustum."""
    transform = torch.eye(4).repeat(len(data.given("in__K")), 1, 1)
    scenes = data.items("in__c_pcFst_all_b*")
    if not scenes:
        transform = data.given("in__T_w2c")
        items = zip(data.items("in__scene_voxels_w_b*"), visible(data), transform, strict=True)
        scenes = [to_camera(points[inside], move) for points, inside, move in items]
    return Batch(
        keys=tuple(f"item{i}" for i in range(len(scenes))),
        image=data.given("in__image_u8") / 255,
        camera=Camera(intrinsics=data.given("in__K"), camera_from_world=transform, crop_box=data.given("in__bbx_lurb")),
        scene=pack_points(scenes),
        targets=None,
    )


class Weights:
    """The full network's deterministic weights, 1.5 GB, shared by every network built from them."""

    def __init__(self) -> None:
        with torch.device("meta"):
            entries = SahmrNet(PAPER, REFERENCE, tables()).state_dict()
        self.shapes = {name: list(entry.shape) for name, entry in entries.items()}
        self._state = {
            name: value(name, entry.shape) if entry.is_floating_point() else torch.zeros(entry.shape).long()
            for name, entry in entries.items()
        }

    def network(self, topology: BodyTopology | None = None, rounding: Rounding = "trunc") -> SahmrNet:
        """The published network in evaluation mode, without training-time noise; its parameters want no gradient."""
        with torch.device("meta"):
            behaviour = replace(REFERENCE, rounding=rounding, region=QUIET)
            net = SahmrNet(PAPER, behaviour, topology or tables())
        net.load_state_dict(self._state, assign=True)
        return net.eval().requires_grad_(False)
