"""Models in and out, and skinning against the `smplx` package."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smplx
import torch

from sahmr.body.model import BodyModel, body_model, clean_path, load_clean, read_official, write_clean
from sahmr.body.skinning import BodyParams, pose_body, rotation_matrix
from sahmr.errors import BodyModelError
from tests.worlds.bodies import chumpy_pickle, model_arrays


def params_of(kind: str, scale: float = 0.3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    sizes = {"betas": 10, "global_orient": 3, "transl": 3, "body_pose": 69 if kind == "smpl" else 63}
    hand = {"smplx": 12, "smplh": 45}.get(kind)
    if hand:
        sizes |= {"left_hand_pose": hand, "right_hand_pose": hand}
    if kind == "smplx":
        sizes |= {"jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "expression": 10}
    return {key: rng.normal(0, scale, size) for key, size in sizes.items()}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clean male models of the three kinds."""
    folder = tmp_path_factory.mktemp("clean")
    raw = folder / "raw_smpl.pkl"
    raw.write_bytes(chumpy_pickle(model_arrays("smpl"), ("shapedirs", "weights")))
    write_clean(clean_path(folder, "smpl", "male"), "smpl", read_official(raw, "smpl", num_betas=10), 10)
    for kind in ("smplh", "smplx"):
        write_clean(clean_path(folder, kind, "male"), kind, model_arrays(kind), 10)
    return folder


HANDS: dict[str, dict[str, Any]] = {
    "smpl": {},
    "smplh": {"use_pca": False, "flat_hand_mean": True},
    "smplx": {"use_pca": True, "num_pca_comps": 12, "flat_hand_mean": False},
}


@pytest.mark.parametrize("kind", ["smpl", "smplh", "smplx"])
@pytest.mark.filterwarnings("ignore")
def test_skinning_agrees_with_smplx(clean: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package opens our clean SMPL-X file; the other kinds get the same arrays through its ``data_struct``."""
    path = clean_path(clean, kind, "male")
    values = params_of(kind)
    options = {"gender": "male", "num_betas": 10, **HANDS[kind]}
    if kind == "smplx":
        package = smplx.create(str(path), model_type="smplx", ext="npz", **options)
    else:
        struct = smplx.utils.Struct(**model_arrays(kind))
        package = {"smpl": smplx.SMPL, "smplh": smplx.SMPLH}[kind]("", data_struct=struct, **options)
    expected = package(**{key: torch.tensor(v[None], dtype=torch.float32) for key, v in values.items()}).vertices
    ours = pose_body(load_clean(path), BodyParams(**values))
    assert np.abs(ours - expected[0].detach().numpy()).max() < 1e-5


def test_parts_left_out_are_at_rest(clean: Path) -> None:
    model = load_clean(clean_path(clean, "smplx", "male"))
    values = params_of("smplx")
    zeros = {key: np.zeros_like(values[key]) for key in values if key not in ("betas", "global_orient", "body_pose")}
    given = pose_body(model, BodyParams(**(values | zeros)))
    short = BodyParams(
        betas=values["betas"], global_orient=values["global_orient"], body_pose=values["body_pose"], transl=np.zeros(3)
    )
    np.testing.assert_array_equal(pose_body(model, short), given)


def test_global_motion_is_rigid_about_the_root(clean: Path) -> None:
    model = load_clean(clean_path(clean, "smpl", "male"))
    rest = {"betas": np.zeros(0), "body_pose": np.zeros(69)}
    still = pose_body(model, BodyParams(global_orient=np.zeros(3), transl=np.zeros(3), **rest))
    np.testing.assert_allclose(still, model.v_template, atol=1e-12)
    turned = pose_body(model, BodyParams(global_orient=np.array([0, 0, np.pi / 2]), transl=np.ones(3), **rest))
    root = (model.joint_regressor @ model.v_template)[0]
    expected = (still - root) @ rotation_matrix(np.array([0, 0, np.pi / 2])).T + root + 1
    np.testing.assert_allclose(turned, expected, atol=1e-12)


def test_rotation_matrix_by_hand() -> None:
    np.testing.assert_allclose(
        rotation_matrix(np.array([0, 0, np.pi / 2])), [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-15
    )
    np.testing.assert_array_equal(rotation_matrix(np.zeros(3)), np.eye(3))


def test_equal_models_give_equal_bytes(tmp_path: Path) -> None:
    digests = set()
    for name, order in (("a.npz", 1), ("b.npz", -1)):
        arrays = dict(list(model_arrays("smpl").items())[::order])
        write_clean(tmp_path / name, "smpl", arrays, 10)
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1
    assert not list(tmp_path.glob(".*"))


def damaged(**changes: Any) -> dict[str, Any]:
    arrays = {**model_arrays("smpl"), **changes}
    return {key: value for key, value in arrays.items() if value is not None}


NAN = np.full((6890, 3), np.nan)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (damaged(weights=None), r"lacks \['weights'\]"),
        (damaged(v_template=NAN), "NaN"),
        (
            damaged(v_template=np.zeros((10475, 3))),
            r"'v_template' has shape \(10475, 3\), a smpl model has \(6890, 3\)",
        ),
        (damaged(shapedirs=np.zeros((6890, 3, 5))), "has 5 shape directions, bodies.num_betas asks for 10"),
        (damaged(weights=np.zeros((6890, 24))), "must sum to 1"),
        (damaged(f=np.full((13776, 3), 6890)), "names vertex 6890"),
        (damaged(v_template=np.full((6890, 3), "x")), "expected numbers"),
    ],
)
def test_damaged_models_are_told(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = tmp_path / "model.npz"
    np.savez(path, **arrays)
    with pytest.raises(BodyModelError, match=message):
        read_official(path, "smpl", num_betas=10)


def test_large_smplx_shape_space_is_cut_at_the_right_place(tmp_path: Path) -> None:
    """Files with 300 + 100 directions: expression starts at 300."""
    marks = np.broadcast_to(np.arange(400, dtype=np.int16), (10475, 3, 400))
    np.savez(tmp_path / "x.npz", **{**model_arrays("smplx"), "shapedirs": marks})
    kept = read_official(tmp_path / "x.npz", "smplx", num_betas=10)["shapedirs"][0, 0]
    np.testing.assert_array_equal(kept, [*range(10), *range(300, 310)])


def smpl() -> BodyModel:
    return body_model(model_arrays("smpl"), "smpl", 10)


def test_parameters_that_do_not_fit() -> None:
    rest = {"global_orient": np.zeros(3), "transl": np.zeros(3)}
    with pytest.raises(BodyModelError, match="the pose has 66 numbers"):
        pose_body(smpl(), BodyParams(betas=np.zeros(10), body_pose=np.zeros(63), **rest))
    with pytest.raises(BodyModelError, match="16 betas, the model keeps 10"):
        pose_body(smpl(), BodyParams(betas=np.zeros(16), body_pose=np.zeros(69), **rest))
