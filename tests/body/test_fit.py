"""SMPL parameters of meshes: what SMPL can make is found again, whatever else gets a likely body."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sahmr.body.fit import SmplParams, fit_smpl, move_params, smpl_vertices
from sahmr.body.model import BodyModel, body_model, read_official
from sahmr.body.posed import Bodies, SmplTables, smpl_tables
from sahmr.body.skinning import BodyParams, pose_body
from sahmr.errors import BodyModelError
from sahmr.geometry.rotation import rotation_matrices
from tests.worlds.bodies import model_arrays, smplx_package

COUNT = 6


@pytest.fixture(scope="module")
def model(demo_root: Path) -> BodyModel:
    path = demo_root / "body_models" / "basicModel_neutral_lbs_10_207_0_v1.0.0.pkl"
    return body_model(read_official(path, "smpl", num_betas=10), "smpl", 10)


@pytest.fixture(scope="module")
def tables(model: BodyModel) -> SmplTables:
    return smpl_tables(model)


def some_params(count: int = COUNT) -> SmplParams:
    """Bodies that bend by up to a right angle, face anywhere and stand metres away."""
    draw = torch.Generator().manual_seed(3)
    scales = {"betas": (10, 1.0), "global_orient": (3, 2.0), "body_pose": (69, 0.4), "transl": (3, 3.0)}
    return SmplParams(**{k: torch.randn(count, n, generator=draw) * scale for k, (n, scale) in scales.items()})


def posed(model: BodyModel, params: SmplParams) -> np.ndarray:
    """By our definition of skinning, in float64."""
    rows = [
        {f.name: getattr(params, f.name)[row].double().numpy() for f in fields(params)}
        for row in range(len(params.betas))
    ]
    return np.stack([pose_body(model, BodyParams(**row)) for row in rows])


def distances_mm(model: BodyModel, params: SmplParams, vertices: np.ndarray) -> np.ndarray:
    return np.linalg.norm(posed(model, params) - vertices, axis=2) * 1000


def test_bodies_in_torch_are_those_of_the_definition(model: BodyModel, tables: SmplTables) -> None:
    params = some_params(2)
    pose = torch.cat([params.global_orient, params.body_pose], dim=1).view(-1, 24, 3)
    bodies = Bodies(tables=tables, local=rotation_matrices(pose), betas=params.betas, transl=params.transl)
    np.testing.assert_allclose(bodies.vertices, posed(model, params), atol=1e-5)
    np.testing.assert_allclose(smpl_vertices(tables, params), posed(model, params), atol=1e-5)
    none = SmplParams(**{field.name: getattr(params, field.name)[:0] for field in fields(params)})
    assert smpl_vertices(tables, none).shape == (0, 6890, 3)


def test_derivatives_are_those_of_small_steps(tables: SmplTables) -> None:
    params, step = some_params(2), 1e-2
    local = rotation_matrices(torch.cat([params.global_orient, params.body_pose], dim=1).view(-1, 24, 3))
    bodies = Bodies(tables=tables.every(40), local=local, betas=params.betas, transl=params.transl)
    derivative = torch.cat([bodies.by_turn(), bodies.by_shape()], dim=3)
    for unknown in (0, 3, 24 + 16, 48 + 1, 48 + 20, 72, 81, 84):
        change = torch.zeros(2, 85)
        change[:, unknown] = step
        there, back = (bodies.moved(sign * change[:, 72:], sign * change[:, :72]).vertices for sign in (1, -1))
        np.testing.assert_allclose(derivative[..., unknown], (there - back) / (2 * step), atol=2e-4)


def test_what_smpl_makes_is_found_and_smplx_poses_it_again(model: BodyModel, tables: SmplTables) -> None:
    params = some_params()
    vertices = posed(model, params)
    fit = fit_smpl(tables, torch.from_numpy(vertices).float())
    assert fit.residual_mm.max() < 0.05  # wanted: 5
    np.testing.assert_allclose(fit.params.betas, params.betas, atol=0.02)
    np.testing.assert_allclose(fit.params.transl, params.transl, atol=2e-4)
    package = smplx_package(model, COUNT)
    found = package(**{field.name: getattr(fit.params, field.name) for field in fields(fit.params)}).vertices
    assert np.linalg.norm(found.detach().numpy() - vertices, axis=2).max() < 2e-4


def test_a_mesh_no_body_has_gets_a_likely_one(model: BodyModel, tables: SmplTables) -> None:
    """Half as thick as it was: only shapes far from any person come near."""
    vertices = posed(model, some_params())
    middle = vertices.mean(axis=1, keepdims=True)
    flat = middle + (vertices - middle) * np.array([1, 1, 0.5])
    fit = fit_smpl(tables, torch.from_numpy(flat).float())
    np.testing.assert_allclose(fit.residual_mm, distances_mm(model, fit.params, flat).mean(axis=1), atol=0.01)
    assert 10 < fit.residual_mm.min() < fit.residual_mm.max() < 100
    assert fit.params.betas.square().mean().sqrt() < 5
    assert fit.params.body_pose.view(-1, 3).norm(dim=1).max() < 3


def test_a_fit_is_its_meshs_alone(model: BodyModel, tables: SmplTables) -> None:
    vertices = torch.from_numpy(posed(model, some_params(3))).float()
    together, alone = fit_smpl(tables, vertices), fit_smpl(tables, vertices[1:2])
    for field in fields(SmplParams):
        assert torch.equal(getattr(together.params, field.name)[1:2], getattr(alone.params, field.name))
    assert torch.equal(together.residual_mm[1:2], alone.residual_mm)
    assert len(fit_smpl(tables, vertices[:0]).residual_mm) == 0


def test_parameters_move_as_the_vertices_do(model: BodyModel, tables: SmplTables) -> None:
    params = some_params(2)
    transform = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
    transform[:, :3, :3] = rotation_matrices(torch.tensor([[3.1, 0, 0], [0.3, -2, 1]], dtype=torch.float64))
    transform[:, :3, 3] = torch.tensor([[1.0, 2, 3], [0, 0, -5]])
    rotation, shift = transform[:, :3, :3].numpy(), transform[:, None, :3, 3].numpy()
    expected = posed(model, params) @ rotation.transpose(0, 2, 1) + shift
    moved = move_params(tables, params, transform)
    assert distances_mm(model, moved, expected).max() < 0.01
    plain = torch.from_numpy(rotation @ params.transl.double().numpy()[..., None])[..., 0] + transform[:, :3, 3]
    assert distances_mm(model, replace(moved, transl=plain.float()), expected).min(axis=1).max() > 300


def test_another_kind_of_model_is_refused() -> None:
    with pytest.raises(BodyModelError, match="a smplh model does not have SMPL's parameters"):
        smpl_tables(body_model(model_arrays("smplh"), "smplh", 10))
