"""What of a network's output goes into the predictions table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sahmr.body.model import body_model, read_official
from sahmr.body.posed import smpl_tables
from sahmr.body.skinning import BodyParams, pose_body
from sahmr.errors import CheckpointError
from sahmr.inference import Mesh, predict_tables, scene_contact
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import OWN
from sahmr.structures import PackedPoints
from tests.worlds.batches import cloud, make_batch
from tests.worlds.networks import TINY, make_topology

SMPL = "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl"


def test_joints_camera_and_scene_points_are_those_of_the_sample() -> None:
    topology, batch = make_topology(), make_batch([cloud(300), cloud(60, seed=3)])
    torch.manual_seed(0)
    network = SahmrNet(TINY, OWN, topology)
    (table,) = predict_tables(network, [batch], joint_regressor=topology.joint_regressor)
    with torch.inference_mode():
        found, mesh = network(batch)
    joints = np.array(table.column("joints").to_pylist()).reshape(-1, 17, 3)
    expected = np.einsum("jv,bvc->bjc", topology.joint_regressor.double(), mesh.vertices_camera.double())
    np.testing.assert_allclose(joints, expected, atol=1e-5)
    cameras = np.array(table.column("camera_from_world").to_pylist()).reshape(-1, 4, 4)
    np.testing.assert_array_equal(cameras, batch.camera.camera_from_world)
    for name, points in (("root", mesh.root[:, None]), ("vertices", mesh.vertices_camera), ("joints", joints)):
        there = np.array(table.column(f"{name}_world").to_pylist()).reshape(len(cameras), -1, 3)
        back = np.einsum("bij,bnj->bni", cameras[:, :3, :3], there) + cameras[:, None, :3, 3]
        np.testing.assert_allclose(back, points, atol=1e-5)
    assert table.column("smpl_betas").null_count == len(batch.keys)
    for sample in range(len(batch.keys)):
        points = np.array(table.column("scene_points")[sample].as_py()).reshape(-1, 3)
        parts = np.array(table.column("scene_parts")[sample].as_py())
        np.testing.assert_array_equal(points, found.points.xyz[found.points.sample == sample])
        touched = points[parts != 0]
        contacts = np.array(table.column("contact_points")[sample].as_py()).reshape(-1, 3)
        assert len(contacts) == min(len(touched), TINY.max_contacts)
        assert {tuple(point) for point in contacts} <= {tuple(point) for point in touched}


def test_a_mesh_that_is_not_finite_is_told() -> None:
    topology, batch = make_topology(), make_batch([cloud(300), cloud(60, seed=3)])
    network = SahmrNet(TINY, OWN, topology)

    def spoil(module: Any, given: Any, out: Any) -> Any:
        vertices = out[1].vertices_camera.clone()
        vertices[1, 5, 2] = np.inf
        return out[0], replace(out[1], vertices_camera=vertices)

    network.register_forward_hook(spoil)
    with pytest.raises(
        CheckpointError, match=rf"mesh of {batch.keys[1]} has numbers that are not finite; predict with"
    ):
        next(predict_tables(network, [batch], joint_regressor=topology.joint_regressor))


def test_probability_is_one_less_that_of_no_contact() -> None:
    """Two voxels; the second sample has no point. A probability of 1e-9 is not rounded to 0."""
    topology, batch = make_topology(), make_batch([cloud(300), cloud(60, seed=3)])
    with torch.inference_mode():
        found, _ = SahmrNet(TINY, OWN, topology).eval()(batch)
    logits = torch.zeros(2, 8)
    logits[0, 3] = np.log(7)
    logits[1, 0] = np.log(7e9)
    points = PackedPoints(xyz=torch.zeros(3, 3), sample=torch.zeros(3, dtype=torch.long))
    sizes = {"voxel_confidence": torch.zeros(2), "voxel_offset": torch.zeros(2, 3)}
    changes = {**sizes, "voxel_part": logits, "points": points, "voxel_of_point": torch.tensor([1, 0, 0])}
    scene = scene_contact(replace(found, **changes))
    assert scene.probability.tolist() == pytest.approx([1e-9, 13 / 14, 13 / 14], rel=1e-4)
    assert scene.parts.tolist() == [0, 3, 3]
    assert scene.count.tolist() == [3] + [0] * (len(batch.keys) - 1)


@pytest.mark.parametrize("mesh", ["network", "smpl"])
def test_the_vertices_stored_are_the_networks_or_those_of_the_stored_parameters(mesh: Mesh, demo_root: Path) -> None:
    model = body_model(read_official(demo_root / "body_models" / SMPL, "smpl", num_betas=10), "smpl", 10)
    topology, batch = make_topology(), make_batch([cloud(300), cloud(60, seed=3)])
    torch.manual_seed(0)
    network = SahmrNet(TINY, OWN, topology)
    made = predict_tables(
        network, [batch], joint_regressor=topology.joint_regressor, smpl=smpl_tables(model), mesh=mesh
    )
    (row, _) = next(made).to_pylist()
    with torch.inference_mode():
        found = network(batch)[1].vertices_camera[0].double().numpy()
    names = ("betas", "global_orient", "body_pose", "transl")
    posed = pose_body(model, BodyParams(**{name: np.array(row[f"smpl_{name}"], dtype=float) for name in names}))
    residual = np.linalg.norm(posed - found, axis=1).mean() * 1000  # a cloud of points is far from any body
    assert residual == pytest.approx(row["smpl_residual_mm"], rel=1e-3) and residual > 10
    expected = found if mesh == "network" else posed
    stored = np.array(row["vertices"]).reshape(-1, 3)
    np.testing.assert_allclose(stored, expected, atol=2e-5)
    joints = topology.joint_regressor.double().numpy() @ stored
    np.testing.assert_allclose(np.array(row["joints"]).reshape(-1, 3), joints, atol=1e-5)
    camera = batch.camera.camera_from_world[0].double().numpy()
    world = np.array(row["vertices_world"]).reshape(-1, 3)
    np.testing.assert_allclose(world @ camera[:3, :3].T + camera[:3, 3], stored, atol=1e-5)
    np.testing.assert_allclose(np.array(row["root"]), network(batch)[1].root[0].detach(), atol=1e-6)  # the network's
