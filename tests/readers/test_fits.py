"""Fits: keys decide the model, then sizes; what is read is exact, what fits no model is refused with what was found."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import smplx
import torch

from sahmr.body.model import clean_path, load_clean, write_clean
from sahmr.body.skinning import pose_body
from sahmr.errors import BodyModelError, RawDataError
from sahmr.readers.bodies import smpl_vertices_of_params
from sahmr.readers.fits import read_params
from tests.worlds.bodies import model_arrays

RNG = np.random.default_rng(3)
BODY = {"betas": 10, "global_orient": 3, "transl": 3, "body_pose": 63, "left_hand_pose": 12, "right_hand_pose": 12}
FACE = {"jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "expression": 10}
SMPLX = {key: RNG.normal(0, 0.3, (1, size)).astype(np.float32) for key, size in {**BODY, **FACE}.items()}
FULL = {key: RNG.normal(0, 0.3, (1, 45)).astype(np.float32) for key in ("left_hand_pose", "right_hand_pose")}
SMPLH = {**{key: SMPLX[key] for key in BODY}, **FULL}


def write(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "000.pkl"
    path.write_bytes(pickle.dumps({key: value for key, value in content.items() if value is not None}, protocol=2))
    return path


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("hands", [12, 45])
@pytest.mark.filterwarnings("ignore")
def test_smplx_hands_agree_with_the_package(tmp_path: Path, flat: bool, hands: int) -> None:
    """Jaw, eyes, expression and 45 numbers a hand: SMPL-X, and not the SMPL-H its hands look like."""
    model = clean_path(tmp_path, "smplx", "male")
    write_clean(model, "smplx", model_arrays("smplx"), 10)
    fit = {**SMPLX, **(FULL if hands == 45 else {})}
    kind, params = read_params(write(tmp_path, {**fit, "flat_hand_mean": flat}))
    options = {"use_pca": hands == 12, "num_pca_comps": 12, "flat_hand_mean": flat, "num_betas": 10}
    package = smplx.create(str(model), model_type="smplx", ext="npz", gender="male", **options)
    expected = package(**{key: torch.tensor(value) for key, value in fit.items()}).vertices[0].detach().numpy()
    assert kind == "smplx"
    assert np.abs(pose_body(load_clean(model), params) - expected).max() < 1e-5


def test_sound_fits_are_read(tmp_path: Path) -> None:
    assert read_params(write(tmp_path, SMPLX))[0] == "smplx"
    assert read_params(write(tmp_path, {**SMPLX, "gender": np.array("male")}), gender="male")[0] == "smplx"
    assert read_params(write(tmp_path, {**SMPLX, "gender": b"F"}), gender="female")[0] == "smplx"
    flat = {key: value.ravel() for key, value in SMPLH.items()}
    kind, params = read_params(write(tmp_path, flat))
    assert kind == "smplh"
    joints = read_params(write(tmp_path, {**SMPLH, "body_pose": SMPLH["body_pose"].reshape(1, 21, 3)}))[1]
    np.testing.assert_array_equal(joints.body_pose, params.body_pose)


REFUSED = {
    "45 numbers a hand": ({**SMPLX, **FULL}, "SMPL-X fit with 45 numbers a hand, which may be about the flat or"),
    "SMPL-H with a jaw": ({**SMPLH, "jaw_pose": SMPLX["jaw_pose"]}, "lacks ['leye_pose', 'reye_pose', 'expression']"),
    "SMPL-H with 12 numbers a hand": ({key: SMPLX[key] for key in BODY}, "it fits neither SMPL-X (hands, jaw, eyes"),
    "SMPL-X without expression": ({**SMPLX, "expression": None}, "lacks ['expression'] of the smplx parameters"),
    "a SMPL fit": ({"betas": np.zeros(10), "transl": np.zeros(3), "global_orient": np.zeros(3), "body_pose":
                    np.zeros(69)}, "found {betas: 10, global_orient: 3, transl: 3, body_pose: 69}"),
    "two kinds of hands": ({**SMPLX, "left_hand_pose": FULL["left_hand_pose"]}, "hand poses have [12, 45] numbers"),
    "6 numbers a hand": ({**SMPLX, **{key: np.zeros(6) for key in FULL}}, "hand poses have [6] numbers; allowed: both"),
    "a SMPL pose": ({**SMPLX, "body_pose": np.zeros(69)}, "69 numbers, as of SMPL, whose hands"),
    "rotation matrices": ({**SMPLX, "body_pose": np.zeros((1, 21, 3, 3))}, "189 numbers, as rotation matrices"),
    "an embedding": ({**SMPLX, "body_pose": np.zeros((1, 32))}, "32 numbers, as a VPoser embedding"),
    "a turned matrix": ({**SMPLX, "global_orient": np.eye(3)}, "'global_orient' has 9 numbers"),
    "joints across": ({**SMPLX, "body_pose": np.zeros((3, 21))}, "the shape (3, 21); allowed: (63,) or (21, 3)"),
    "50 of expression": ({**SMPLX, "expression": np.zeros(50)}, "'expression' has 50 numbers, smplx parameters"),
    "two bodies": ({**SMPLX, "betas": np.zeros((2, 5))}, "'betas' has 10 numbers of shape (2, 5)"),
    "no place": ({**SMPLX, "transl": None}, "lacks ['transl']"),
    "beta and betas": ({**SMPLX, "beta": np.zeros(10)}, "has both 'beta' and 'betas'"),
    "a model type": ({**SMPLX, "model_type": "smpl"}, "unknown body parameters ['model_type']"),
    "degrees": ({**SMPLX, "global_orient": np.array([0, 90.0, 0])}, "turns a joint by 90; allowed: 12.6 radians"),
    "another gender": ({**SMPLX, "gender": "female"}, "fitted with the model of gender 'female', the dataset's tables"),
    "a neutral fit": ({**SMPLX, "gender": np.array(["neutral"])}, "the model of gender 'neutral'"),
    "no gender": ({**SMPLX, "gender": 3.5}, "the model of gender '3.5'"),
    "a vague hand": ({**SMPLX, **FULL, "flat_hand_mean": "yes"}, "'flat_hand_mean' must be True or False"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_fits_no_model_is_refused(name: str, tmp_path: Path) -> None:
    content, says = REFUSED[name]
    with pytest.raises(RawDataError, match=rf"000\.pkl: .*{re.escape(says)}"):
        read_params(write(tmp_path, content), gender="male")


@pytest.mark.parametrize("count", [16, 300])
def test_more_betas_than_the_model_keeps(tmp_path: Path, count: int) -> None:
    write_clean(clean_path(tmp_path, "smplx", "male"), "smplx", model_arrays("smplx"), 10)
    path = write(tmp_path, {**SMPLX, "betas": np.zeros((1, count))})
    with pytest.raises(BodyModelError, match=rf"000\.pkl: has {count} betas, .*SMPLX_MALE.* set bodies\.num_betas"):
        smpl_vertices_of_params(path, tmp_path, "male")
