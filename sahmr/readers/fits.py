"""Parameter pickles of body fits: keys decide which model they are of, then sizes; what fits none is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sahmr.body.model import NUM_EXPRESSION
from sahmr.body.skinning import BodyParams
from sahmr.errors import RawDataError
from sahmr.readers.base import BodyUnusableError
from sahmr.untrusted.arrays import to_array
from sahmr.untrusted.pickles import load_pickle

Array = NDArray[np.float64]

_BODY = {"global_orient": 3, "transl": 3, "body_pose": 63}
_HANDS = ("left_hand_pose", "right_hand_pose")
_PCA, _FULL = 12, 45  # numbers of a hand: coefficients, as RICH and PROX have them (formats a.1, c), or 15 joints
_BETAS = (10, 16, 20, 50, 100, 200, 300)  # that SMPL-H or SMPL-X fits are published with
_FACE = {"jaw_pose": 3, "leye_pose": 3, "reye_pose": 3, "expression": NUM_EXPRESSION}  # of SMPL-X alone
_KEYS = ("betas", *_BODY, *_HANDS, *_FACE)
# Left over from the fits, of no use here.
_IGNORED = {"pose_embedding", "camera_rotation", "camera_translation", "camera_center"}
_CHECKED = {"gender", "flat_hand_mean"}  # say how the rest is meant
_GENDERS = {"male": "male", "m": "male", "female": "female", "f": "female", "neutral": "neutral", "n": "neutral"}
# Other ways to write a body's pose, by their size; what a message says of them.
_POSES = {
    69: "as of SMPL, whose hands are two more joints", 189: "as rotation matrices", 207: "as SMPL's rotation matrices",
    126: "as 6D rotations", 138: "as SMPL's 6D rotations", 32: "as a VPoser embedding", 165: "as SMPL-X's whole pose",
    156: "as SMPL-H's whole pose", 84: "as quaternions",
}  # fmt: skip
MOST_BYTES = 1 << 25  # of a fit or contact file; published ones have up to 1 MB
_LARGEST_TURN = 4 * np.pi  # radians; an optimiser may end a turn too far, but 15 degrees are more than this


def read_params(path: Path, *, gender: str | None = None, nan_rule: str | None = None) -> tuple[str, BodyParams]:
    """Read body parameters; keys and sizes decide the model, never the folder's name.

    Args:
        path: pickle of the publisher.
        gender: of the body by the dataset's tables; a fit that names another one is refused.
        nan_rule: drop rule for fits with NaN, where the publisher is known to ship some.

    Returns:
        Model kind (smplx | smplh) and the parameters.

    Raises:
        RawDataError: on keys or sizes of no model, another gender, NaN, or poses that cannot be radians.
        BodyUnusableError: on NaN, if ``nan_rule`` is given.
    """
    content = _named(path, load_pickle(path, most_bytes=MOST_BYTES))
    arrays = {key: numbers(path, key, content[key]) for key in _KEYS if key in content}
    kind, sizes = _kind(path, arrays, content.get("flat_hand_mean"))
    vectors = {key: _vector(path, kind, key, arrays[key], size) for key, size in sizes.items()}
    broken = [key for key in vectors if not np.isfinite(vectors[key]).all()]
    if broken:
        message = f"{path}: NaN or infinite values in {broken}; fetch the file again"
        raise BodyUnusableError(nan_rule, message) if nan_rule else RawDataError(message)
    _check_radians(path, vectors)
    if gender is not None and "gender" in content:
        _check_gender(path, content["gender"], gender)
    return kind, BodyParams(flat_hand=_flat_hand(path, content), **vectors)


def _named(path: Path, content: Any) -> dict[str, Any]:
    """Parameters under their usual names; ``beta`` is an alias of ``betas``."""
    if not isinstance(content, dict):
        raise RawDataError(f"{path}: expected a dict of body parameters, found {type(content).__name__}")
    if {"beta", "betas"} <= set(content):
        raise RawDataError(f"{path}: has both 'beta' and 'betas'; allowed: one of them")
    named = {("betas" if key == "beta" else str(key)): value for key, value in content.items()}
    allowed = {*_KEYS, *_IGNORED, *_CHECKED}
    if unknown := sorted(set(named) - allowed):
        raise RawDataError(f"{path}: unknown body parameters {unknown}; allowed: {sorted(allowed)}")
    return named


def numbers(path: Path, key: str, value: Any) -> NDArray[Any]:
    """A pickled value as an array of real numbers.

    Raises:
        RawDataError: if it is anything else.
    """
    try:
        array = to_array(value)
    except (TypeError, ValueError, OverflowError) as problem:  # lists of unequal lengths, of text
        raise RawDataError(f"{path}: '{key}' is no array of numbers ({problem}); fetch the file again") from None
    if array.dtype.kind not in "biuf":
        found = f"{type(value).__name__} of {array.dtype}"
        raise RawDataError(f"{path}: '{key}' must hold real numbers, found {found}; fetch the file again")
    return array


def _kind(path: Path, arrays: dict[str, NDArray[Any]], flat_hand_mean: Any) -> tuple[str, dict[str, int | None]]:
    """The one model that has these keys, and its sizes; None: as many as the model has directions."""
    face = [key for key in _FACE if key in arrays]
    hands = {arrays[key].size for key in _HANDS if key in arrays}
    found = f"found {{{', '.join(f'{key}: {array.size}' for key, array in arrays.items())}}}"
    kind = "smplx" if face or hands != {_FULL} else "smplh"
    wanted = ("betas", *_BODY, *_HANDS, *(_FACE if kind == "smplx" else ()))
    if missing := [key for key in wanted if key not in arrays]:
        raise RawDataError(
            f"{path}: lacks {missing} of the {kind} parameters, so it fits neither SMPL-X (hands, jaw, eyes, "
            f"expression) nor SMPL-H (hands of {_FULL} numbers and no face); {found}"
        )
    if len(hands) != 1 or not hands <= {_PCA, _FULL}:
        raise RawDataError(
            f"{path}: hand poses have {sorted(hands)} numbers; allowed: both {_PCA} (PCA) or both {_FULL}"
        )
    if kind == "smplx" and hands == {_FULL} and flat_hand_mean is None:
        raise RawDataError(
            f"{path}: is an SMPL-X fit with {_FULL} numbers a hand, which may be about the flat or about the mean "
            "hand, some centimetres apart at the fingers; add the key 'flat_hand_mean' (True or False), the value "
            f"it was fitted with; {found}"
        )
    sizes: dict[str, int | None] = {"betas": None, **_BODY, **dict.fromkeys(_HANDS, min(hands))}
    return kind, {**sizes, **(_FACE if kind == "smplx" else {})}


def _vector(path: Path, kind: str, key: str, array: NDArray[Any], size: int | None) -> Array:
    """One parameter, float64, flat; rows of axis-angles may be one joint each."""
    shape = tuple(length for length in array.shape if length != 1) or (1,)
    if size is None:
        if len(shape) != 1 or array.size not in _BETAS:
            found = f"'{key}' has {array.size} numbers of shape {array.shape}"
            raise RawDataError(f"{path}: {found}; allowed: one row of as many as a model has directions, {_BETAS}")
    elif array.size != size:
        looks = f", {_POSES[array.size]}" if key == "body_pose" and array.size in _POSES else ""
        raise RawDataError(
            f"{path}: '{key}' has {array.size} numbers{looks}, {kind} parameters of this dataset have {size}"
            + (" (axis-angles)" if key.endswith(("pose", "orient")) else "")
        )
    elif shape not in ((size,), (size // 3, 3)):
        raise RawDataError(f"{path}: '{key}' has the shape {array.shape}; allowed: ({size},) or ({size // 3}, 3)")
    return array.astype(np.float64).ravel()


def _check_radians(path: Path, vectors: dict[str, Array]) -> None:
    for key in ("global_orient", "body_pose", "jaw_pose", "leye_pose", "reye_pose"):
        turns = vectors.get(key, np.zeros(3)).reshape(-1, 3)
        largest = float(np.sqrt((turns * turns).sum(axis=1)).max())
        if largest > _LARGEST_TURN:
            raise RawDataError(
                f"{path}: '{key}' turns a joint by {largest:.3g}; allowed: {_LARGEST_TURN:.3g} radians; if it is in "
                "degrees, convert it"
            )


def _text(value: Any) -> str:
    """A word, be it text, bytes, or an array of one."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def _check_gender(path: Path, value: Any, expected: str) -> None:
    found = _GENDERS.get(_text(value).lower())
    if found != expected:
        raise RawDataError(
            f"{path}: was fitted with the model of gender {_text(value)[:40]!r}, the dataset's tables say "
            f"'{expected}'; the wrong one of the two must be corrected"
        )


def _flat_hand(path: Path, content: dict[str, Any]) -> bool | None:
    if "flat_hand_mean" not in content:
        return None
    value = np.asarray(content["flat_hand_mean"])
    if value.size != 1 or value.dtype.kind not in "biu" or int(value.reshape(-1)[0]) not in (0, 1):
        raise RawDataError(f"{path}: 'flat_hand_mean' must be True or False")
    return bool(value.reshape(-1)[0])
