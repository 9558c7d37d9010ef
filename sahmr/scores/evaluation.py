"""Predictions against stored ground truth: a row of scores per predictor and person-image, many images at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from sahmr.body.joints import H36M_PELVIS, H36M_TO_14
from sahmr.dimensions import NUM_VERTICES
from sahmr.geometry.distance_field import sample_distance
from sahmr.geometry.rigid_numpy import invert_rigid
from sahmr.geometry.tree_sum import tree_sum
from sahmr.metrics import pose_errors, regress_joints, root_errors, scene_errors
from sahmr.scores.body import edge_errors, edge_lengths, trunk_angles
from sahmr.scores.contact import ContactScores, contact_scores
from sahmr.scores.occlusion import hidden_share, ray_points
from sahmr.scores.posture import find_postures
from sahmr.scores.predictions import ORACLES, Predicted, missing_truth
from sahmr.scores.truth import Truth
from schemas.metric import METRIC_NAMES, METRIC_SCHEMA

Values = dict[str, Float[Tensor, " batch"]]
_STILL = ("mpjpe_mm", "mpve_mm", "pa_mpjpe_mm", "edge_error_ratio", "trunk_angle_deg")  # wherever a mesh is moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Of some person-images.

    Attributes:
        table: rows of ``METRIC_SCHEMA``, image by image, each predictor's in the order given, then the oracles'.
        parts: contact points summed over the images, by predictor; see :class:`ContactScores`.
    """

    table: pa.Table
    parts: dict[str, Int[ndarray, "7 4"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bodies:
    """Meshes and what is regressed from them: world axes, metres, from each image's origin (:class:`_Places`).

    A mesh is float32 and lies in memory axis by axis: half the bytes, and no number less than a micrometre off.
    """

    mesh: Float[Tensor, "batch 6890 3"]
    joints: Float[Tensor, "batch 17 3"]
    edges: Float[Tensor, "batch edges"]

    @property
    def pelvis(self) -> Float[Tensor, "batch 3"]:
        return self.joints[:, H36M_PELVIS]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Where the images of a batch are; world frame, float64.

    Attributes:
        world_from_camera: the exact inverse of what is stored.
        origin: a vertex of each true body.
    """

    world_from_camera: Float[Tensor, "batch 4 4"]
    origin: Float[Tensor, "batch 3"]

    @property
    def camera(self) -> Float[Tensor, "batch 3"]:
        """Its centre, from the origin."""
        return self.world_from_camera[:, :3, 3] - self.origin


class Scorer:
    """Scores predictions in the world frame (method 9.2).

    The truth is taken as stored. Predictions are moved by the exact inverse of ``camera_from_world``: published
    rotations are orthonormal to about 1e-5 only, and a transpose would be off by as much. Whatever may be far from zero
    is computed in float64; vertices are float32, seen from a point near them. All sums are ``tree_sum`` and nothing is
    left to BLAS, so that an image has the same scores, bit for bit, in any batch and order.

    Args:
        joint_regressor: H36M regressor.
        edges: of the mesh, each once.
        device: where meshes are compared.
    """

    def __init__(
        self,
        joint_regressor: Float[Tensor, "17 6890"],
        edges: Int[Tensor, "edges 2"],
        device: torch.device | str = "cpu",
    ) -> None:
        self._device = torch.device(device)
        self._regressor, self._edges = joint_regressor.double().to(device), edges.to(device)

    def score(self, predicted: Mapping[str, Predicted], truths: Sequence[Truth]) -> Scored:
        """Score what several predictors, the first of them also with its oracles, say of some person-images.

        Args:
            predicted: by predictor, each of all these images in their order.
            truths: of the images.

        Raises:
            ShardError: if a frame has no ground truth.
        """
        if bodiless := [truth.frame.key for truth in truths if truth.frame.vertices_world is None]:
            raise missing_truth(bodiless, source="evaluation")
        stored = self._stack([truth.frame.vertices_world for truth in truths]).float()
        places = _Places(
            world_from_camera=self._stack([invert_rigid(truth.frame.camera_from_world) for truth in truths]),
            origin=stored[:, 0].double(),
        )
        true = self._bodies(_by_axis(stored) - stored[:, 0, :, None])
        values: dict[str, Values] = {}
        contacts = {name: _contact_scores(each, truths) for name, each in predicted.items()}
        for place, (name, each) in enumerate(predicted.items()):
            ours = self._bodies(_see(places, each.meshes.to(self._device)))
            values[name] = {
                **self._pose(ours, true, places, each),
                **self._scene(ours.mesh, places, truths),
                **_contact_values(contacts[name]),
            }
            if place == 0:
                oracles = self._oracles(ours, true, values[name], places, truths)
        values |= oracles
        return Scored(
            table=_table(values, truths, true, places, self._occluded(true, places, truths)),
            parts={
                name: np.zeros((7, 4), dtype=np.int64) if scores is None else scores.parts
                for name, scores in contacts.items()
            },
        )

    def _stack(self, arrays: Sequence[ndarray | None]) -> Float[Tensor, "batch ..."]:
        return torch.from_numpy(np.stack([array for array in arrays if array is not None])).to(self._device)

    def _bodies(self, axes: Float[Tensor, "batch 3 6890"]) -> _Bodies:
        mesh = axes.transpose(1, 2)
        return _Bodies(mesh=mesh, joints=regress_joints(self._regressor, mesh), edges=edge_lengths(mesh, self._edges))

    def _pose(self, ours: _Bodies, true: _Bodies, places: _Places, said: Predicted) -> Values:
        roots = {"initial_root_mm": said.initial_root, "root_mm": said.root}
        pelvis = true.pelvis + places.origin
        return {
            **pose_errors(ours.mesh, true.mesh, ours.joints, true.joints, H36M_TO_14),
            **{
                name: root_errors(_move(places.world_from_camera, root.to(self._device).double()), pelvis)
                for name, root in roots.items()
                if root is not None
            },
            "edge_error_ratio": edge_errors(ours.edges, true.edges),
            "trunk_angle_deg": trunk_angles(ours.joints, true.joints),
        }

    def _scene(self, mesh: Float[Tensor, "batch 6890 3"], places: _Places, truths: Sequence[Truth]) -> Values:
        labels = [truth.frame.contact for truth in truths]
        contact = np.stack([np.zeros(NUM_VERTICES, dtype=bool) if label is None else label for label in labels])
        return scene_errors(self._distance(mesh, places, truths), torch.from_numpy(contact).to(self._device))

    def _distance(
        self, points: Float[Tensor, "batch points 3"], places: _Places, truths: Sequence[Truth]
    ) -> Float[Tensor, "batch points"]:
        """Of points seen from their images' origins, scene by scene."""
        world = points + places.origin.float()[:, None]
        keys = [truth.scene_key for truth in truths]
        distance = world.new_empty(world.shape[:2])
        for key in dict.fromkeys(keys):
            rows = [row for row, other in enumerate(keys) if other == key]
            scene = truths[rows[0]].scene
            sdf, low, high = (part.to(self._device) for part in (scene.sdf, scene.sdf_min, scene.sdf_max))
            distance[rows] = sample_distance(sdf, low, high, world if len(rows) == len(keys) else world[rows])
        return distance

    def _occluded(self, true: _Bodies, places: _Places, truths: Sequence[Truth]) -> Float[Tensor, " batch"]:
        rays = ray_points(places.camera.float(), true.mesh)
        return hidden_share(self._distance(rays.flatten(1, 2), places, truths).view(rays.shape[:-1]))

    def _oracles(
        self, ours: _Bodies, true: _Bodies, scores: Values, places: _Places, truths: Sequence[Truth]
    ) -> dict[str, Values]:
        """The predicted mesh moved to the true pelvis, and the true mesh moved to the predicted mesh's pelvis.

        Whatever does not change with the place is that of the prediction, or of the truth: only the scene is asked.
        """
        shift = (true.pelvis - ours.pelvis)[:, None].float()
        off, zero = root_errors(ours.pelvis, true.pelvis), torch.zeros(len(truths), dtype=torch.float64)
        root = {
            **{name: scores[name] for name in _STILL},
            "global_mpjpe_mm": scores["mpjpe_mm"],
            "global_mpve_mm": scores["mpve_mm"],
            "root_mm": zero,
            **self._scene(ours.mesh + shift, places, truths),
        }
        mesh = {
            **dict.fromkeys(_STILL, zero),
            **dict.fromkeys(("global_mpjpe_mm", "global_mpve_mm", "root_mm"), off),
            **self._scene(true.mesh - shift, places, truths),
        }
        return dict(zip(ORACLES, (root, mesh), strict=True))


def _move(transform: Float[Tensor, "batch 4 4"], point: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3"]:
    """Rigid transforms of a point each, element by element."""
    return tree_sum(transform[:, :3, :3] * point[:, None]) + transform[:, :3, 3]


def _by_axis(vertices: Float[Tensor, "batch 6890 3"]) -> Float[Tensor, "batch 3 6890"]:
    return vertices.transpose(1, 2).contiguous()


def _see(places: _Places, meshes: Float[Tensor, "batch 6890 3"]) -> Float[Tensor, "batch 3 6890"]:
    """Camera frame to world axes, from the images' origins.

    A mesh is turned about a vertex of its own, so that float32 sees no number larger than a body.
    """
    center = meshes[:, 0]
    axes = _by_axis(meshes) - center[:, :, None]
    goal = (_move(places.world_from_camera, center.double()) - places.origin).float()
    turn = places.world_from_camera[:, :3, :3, None].float()
    seen = axes[:, None, 0] * turn[:, :, 0]
    seen += axes[:, None, 1] * turn[:, :, 1]
    seen += axes[:, None, 2] * turn[:, :, 2]
    seen += goal[:, :, None]
    return seen


def _contact_scores(predicted: Predicted, truths: Sequence[Truth]) -> ContactScores | None:
    if predicted.contacts is None:
        return None
    return contact_scores(predicted.contacts, [truth.contacts for truth in truths])


def _contact_values(scores: ContactScores | None) -> Values:
    if scores is None:
        return {}
    named = {"precision": scores.precision, "recall": scores.recall, "f1": scores.f1}
    return {f"contact_{name}_ratio": torch.from_numpy(values) for name, values in named.items()}


def _table(
    values: dict[str, Values],
    truths: Sequence[Truth],
    true: _Bodies,
    places: _Places,
    occluded: Float[Tensor, " batch"],
) -> pa.Table:
    """Values that a predictor does not have, and those that are NaN, become null."""
    count, up = len(values), torch.stack([truth.up for truth in truths])
    columns: dict[str, Sequence[object] | ndarray] = {
        "key": [truth.frame.key for truth in truths],
        "sequence": [truth.sequence for truth in truths],
        "scene": [truth.scene_key for truth in truths],
        "camera": [truth.camera for truth in truths],
        "posture": find_postures(true.joints.cpu(), up),
        "distance_m": (root_errors(true.pelvis, places.camera) / 1000).tolist(),
        "occluded_ratio": occluded.tolist(),
    }
    columns = {name: [value for value in column for _ in range(count)] for name, column in columns.items()}
    columns["predictor"] = [name for _ in truths for name in values]
    unknown = torch.full((len(truths),), torch.nan, dtype=torch.float64)
    for name in METRIC_NAMES:
        found = torch.stack(
            [each.get(name, unknown).double().cpu() for each in values.values()], dim=1
        )  # [images, predictors]
        columns[name] = found.numpy().ravel()
    arrays = {field.name: pa.array(columns[field.name], field.type, from_pandas=True) for field in METRIC_SCHEMA}
    return pa.Table.from_pydict(arrays, schema=METRIC_SCHEMA)
