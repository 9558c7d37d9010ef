"""Similarities between two frames: scale, proper rotation, translation; from pairs of points, in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray

FEWEST_PAIRS = 3
_THINNEST = 0.02  # of the first principal spread, the second's least: below, the points are on a line but for noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """``x_to = scale * rotation @ x_from + translation``; the translation is in units of the frame it leads to."""

    scale: float
    rotation: Float[ndarray, "3 3"]
    translation: Float[ndarray, "3"]

    def apply(self, points: Float[ndarray, "points 3"]) -> Float[ndarray, "points 3"]:
        """Points of the first frame in the second."""
        moved: Float[ndarray, "points 3"] = self.scale * points @ self.rotation.T + self.translation
        return moved

    def move_camera(self, camera_from_world: Float[ndarray, "4 4"]) -> Float[ndarray, "4 4"]:
        """The pose of a camera of the first frame, in the second and its unit: a rigid transform again."""
        moved = np.eye(4)
        moved[:3, :3] = camera_from_world[:3, :3] @ self.rotation.T
        moved[:3, 3] = self.scale * camera_from_world[:3, 3] - moved[:3, :3] @ self.translation
        return moved


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityFit:
    """What pairs of points say.

    Attributes:
        similarity: of least squared residuals.
        residuals: distance of each pair after it, in units of the second frame.
        mirrored: the fit with a reflection allowed is far better: axes of one frame are mirrored.
    """

    similarity: Similarity
    residuals: Float[ndarray, " pairs"]
    mirrored: bool


def fit_similarity(source: Float[ndarray, "pairs 3"], target: Float[ndarray, "pairs 3"]) -> SimilarityFit:
    """The similarity of least squares from ``source`` to ``target``.

    Raises:
        ValueError: on fewer than three pairs, or points that are all in one place or on one line: scale or rotation
            is then anyone's guess.

    Source: Umeyama, PAMI 1991.
    """
    if len(source) < FEWEST_PAIRS:
        raise ValueError(f"{len(source)} pairs of points; allowed: {FEWEST_PAIRS} or more")
    for name, points in (("first", source), ("second", target)):
        _check_spread(name, points)
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred, goal = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(goal.T @ centred / len(source))
    sign = np.ones(3)
    sign[2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    variance = (centred**2).sum() / len(source)
    rotation, scale = (u * sign) @ vt, float((singular * sign).sum() / variance)
    similarity = Similarity(scale=scale, rotation=rotation, translation=target_mean - scale * rotation @ source_mean)
    residuals = np.sqrt(((similarity.apply(source) - target) ** 2).sum(axis=1))
    mirror_scale = float(singular.sum() / variance)
    mirrored_off = np.sqrt(((mirror_scale * centred @ (u @ vt).T - goal) ** 2).sum(axis=1))
    mirrored = bool(sign[2] < 0 and _rms(residuals) > 3 * _rms(mirrored_off) and singular[2] > 1e-3 * singular[0])
    return SimilarityFit(similarity=similarity, residuals=residuals, mirrored=mirrored)


def _rms(values: Float[ndarray, " pairs"]) -> float:
    return float(np.sqrt((values**2).mean()))


def _check_spread(name: str, points: Float[ndarray, "pairs 3"]) -> None:
    """Refuse points in one place or on one line."""
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    if not spread[0] > 1e-9 * (1 + np.abs(points).max()):
        raise ValueError(f"the {name} points of all pairs are in one place; allowed: three or more places, not in line")
    if spread[1] < _THINNEST * spread[0]:
        raise ValueError(
            f"the {name} points of all pairs lie on one line (within {spread[1] / spread[0]:.1%} of its length), about "
            "which anything may turn; add a pair beside it"
        )
