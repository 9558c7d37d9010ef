"""SMPL bodies in torch, many at once, with their derivatives; :mod:`sahmr.body.skinning` is the definition."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sahmr.body.model import BodyModel
from sahmr.dimensions import NUM_VERTICES
from sahmr.errors import BodyModelError
from sahmr.geometry.rotation import rotation_matrices

NUM_BETAS, NUM_TURNS = 10, 72  # unknowns of a body's shape and pose
_CROSS = torch.tensor(  # of each axis e: the matrix that takes x to e x x
    [[[0.0, 0, 0], [0, 0, -1], [0, 1, 0]], [[0, 0, 1], [0, 0, 0], [-1, 0, 0]], [[0, -1, 0], [1, 0, 0], [0, 0, 0]]]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmplTables:
    """An SMPL model's arrays in float32, of all of its vertices or some. Body frame, metres.

    Attributes:
        template: rest vertices.
        shape_dirs: their change per unit of shape.
        pose_dirs: their change per entry of (rotation - identity), joint after joint from the second.
        weights: skinning weights.
        joints, joint_shape_dirs: rest joints, and their change per unit of shape.
        parents: of each joint; -1 for the root.
        lineage: 1 where the second joint is the first or one above it.
    """

    template: Float[Tensor, "vertices 3"]
    shape_dirs: Float[Tensor, "vertices 3 10"]
    pose_dirs: Float[Tensor, "23 9 xyz"]
    weights: Float[Tensor, "vertices 24"]
    joints: Float[Tensor, "24 3"]
    joint_shape_dirs: Float[Tensor, "24 3 10"]
    parents: tuple[int, ...]
    lineage: Float[Tensor, "24 24"]

    def every(self, stride: int) -> SmplTables:
        """The same of every so many vertices; joints stay what all vertices make them."""
        return replace(
            self,
            template=self.template[::stride].contiguous(),
            shape_dirs=self.shape_dirs[::stride].contiguous(),
            pose_dirs=self.pose_dirs.view(23, 9, -1, 3)[:, :, ::stride].flatten(2),
            weights=self.weights[::stride].contiguous(),
        )


def smpl_tables(model: BodyModel) -> SmplTables:
    """A model as torch has it.

    Raises:
        BodyModelError: if it is no SMPL model.
    """
    if model.kind != "smpl":
        raise BodyModelError(f"a {model.kind} model does not have SMPL's parameters; give the neutral smpl model")
    shape_dirs = model.shape_dirs[:, :, :NUM_BETAS]
    lineage = np.eye(len(model.parents))
    for joint, parent in enumerate(model.parents[1:], start=1):
        lineage[joint] += lineage[parent]
    arrays = {
        "template": model.v_template,
        "shape_dirs": shape_dirs,
        "pose_dirs": model.pose_dirs.reshape(-1, 9, NUM_VERTICES * 3),
        "weights": model.weights.toarray(),
        "joints": model.joint_regressor @ model.v_template,
        "joint_shape_dirs": (model.joint_regressor @ shape_dirs.reshape(NUM_VERTICES, -1)).reshape(-1, 3, NUM_BETAS),
        "lineage": lineage,
    }
    tensors = {name: torch.from_numpy(np.ascontiguousarray(value, dtype=np.float32)) for name, value in arrays.items()}
    return SmplTables(parents=tuple(map(int, model.parents)), **tensors)


@dataclass(frozen=True, kw_only=True)
class Bodies:
    """Posed bodies of a model; what of them is asked for is computed once. Metres, one frame for all of it.

    Attributes:
        tables: the model.
        local: rotations against the parents; the root's against the frame.
        betas, transl: shape, and what is added to every vertex.
    """

    tables: SmplTables
    local: Float[Tensor, "bodies 24 3 3"]
    betas: Float[Tensor, "bodies 10"]
    transl: Float[Tensor, "bodies 3"]

    @cached_property
    def turn(self) -> Float[Tensor, "bodies 24 3 3"]:
        """Rotation of each joint against the frame."""
        found = [self.local[:, 0]]
        for joint, parent in enumerate(self.tables.parents[1:], start=1):
            found.append(found[parent] @ self.local[:, joint])
        return torch.stack(found, dim=1)

    @cached_property
    def parent_turn(self) -> Float[Tensor, "bodies 23 3 3"]:
        """Rotation of the parent of each joint but the root."""
        return self.turn[:, list(self.tables.parents[1:])]

    @cached_property
    def joints(self) -> Float[Tensor, "bodies 24 3"]:
        """Rest joints."""
        return self.tables.joints + torch.einsum("jck,bk->bjc", self.tables.joint_shape_dirs, self.betas)

    @cached_property
    def places(self) -> Float[Tensor, "bodies 24 3"]:
        """Posed joints, but for ``transl``."""
        return self._along(self.joints[..., None])[..., 0]

    def _along(self, rest: Float[Tensor, "*bodies 24 3 n"]) -> Float[Tensor, "_bodies 24 3 n"]:
        """Sum rest joints' offsets, or their derivatives, from the root to each joint."""
        step = self.parent_turn @ (rest[..., 1:, :, :] - rest[..., list(self.tables.parents[1:]), :, :])
        root = rest[..., :1, :, :].expand(len(self.turn), -1, -1, -1)
        return torch.einsum("ja,bacn->bjcn", self.tables.lineage, torch.cat([root, step], dim=1))

    @cached_property
    def shaped(self) -> Float[Tensor, "bodies vertices 3"]:
        """Rest vertices with the offsets of shape and pose."""
        tables, count = self.tables, len(self.local)
        feature = (self.local[:, 1:] - torch.eye(3)).reshape(count, 207)
        offset = feature @ tables.pose_dirs.flatten(0, 1) + self.betas @ tables.shape_dirs.flatten(0, 1).T
        return tables.template + offset.view(count, len(tables.template), 3)

    @cached_property
    def shift(self) -> Float[Tensor, "bodies 24 3"]:
        """A joint moves a rest point x to ``turn x + shift``."""
        return self.places - (self.turn @ self.joints[..., None])[..., 0]

    @cached_property
    def blended(self) -> Float[Tensor, "bodies vertices 3 3"]:
        """Linear part of each vertex' motion: a mean of rotations."""
        return (self.tables.weights @ self.turn.flatten(2)).view(len(self.turn), len(self.tables.weights), 3, 3)

    @cached_property
    def vertices(self) -> Float[Tensor, "bodies vertices 3"]:
        """Posed vertices."""
        turned = (self.blended @ self.shaped[..., None])[..., 0]
        return turned + self.tables.weights @ self.shift + self.transl[:, None]

    def by_turn(self) -> Float[Tensor, "bodies vertices 3 72"]:
        """Change of each vertex per radian that a joint turns about an axis of the frame, with all that hangs on it.

        Columns: axis, then joint.
        """
        tables, (count, size, _) = self.tables, self.shaped.shape
        turned = self.shaped @ self.turn.permute(0, 3, 2, 1).flatten(2)  # [bodies, vertices, 3 * 24]
        moved = turned.view(count, size, 3, 24) + self.shift.transpose(1, 2)[:, None]
        carried = (moved * tables.weights[:, None]) @ tables.lineage  # by a joint and those below, times their weights
        arm = carried - self.places.transpose(1, 2)[:, None] * (tables.weights @ tables.lineage)[:, None]
        x, y, z = arm.unbind(2)
        out = arm.new_empty(count, size, 3, 3, 24)
        out.diagonal(dim1=2, dim2=3).zero_()
        out[:, :, 1, 0], out[:, :, 2, 0] = -z, y  # first axis x arm
        out[:, :, 0, 1], out[:, :, 2, 1] = z, -x
        out[:, :, 0, 2], out[:, :, 1, 2] = -y, x
        out[..., 1:] += (self.blended @ self._offset_by_turn()).view(count, size, 3, 3, 23)
        return out.flatten(3)

    def _offset_by_turn(self) -> Float[Tensor, "bodies vertices 3 69"]:
        """Change of the pose offsets. With P of the parent and T its own, a joint's P^T T changes by P^T [axis] T."""
        change = torch.einsum("bjki,akl,bjlm->jbaim", self.parent_turn, _CROSS, self.turn[:, 1:])
        count = len(self.turn)
        offset = change.reshape(23, count * 3, 9) @ self.tables.pose_dirs  # [23, bodies * 3, vertices * 3]
        return offset.view(23, count, 3, len(self.tables.weights), 3).permute(1, 3, 4, 2, 0).flatten(3)

    def by_shape(self) -> Float[Tensor, "bodies vertices 3 13"]:
        """Change of each vertex per unit of shape and of ``transl``."""
        rest = self.tables.joint_shape_dirs
        shift = self._along(rest) - self.turn @ rest  # [bodies, 24, 3, 10]
        shape = (self.tables.weights @ shift.flatten(2)).view(*self.shaped.shape, NUM_BETAS)
        shape = shape + self.blended @ self.tables.shape_dirs
        return torch.cat([shape, torch.eye(3).expand(*shape.shape[:3], 3)], dim=3)

    def moved(self, change: Float[Tensor, "bodies 13"], turn: Float[Tensor, "bodies 72"] | None = None) -> Bodies:
        """Other bodies by steps in the unknowns of :meth:`by_shape` and :meth:`by_turn`."""
        local = self.local
        if turn is not None:
            axes = turn.view(len(turn), 3, 24).transpose(1, 2)
            inner = torch.einsum("bjki,bjk->bji", self.parent_turn, axes[:, 1:])  # seen from the parent
            local = rotation_matrices(torch.cat([axes[:, :1], inner], dim=1)) @ local
        return replace(
            self, local=local, betas=self.betas + change[:, :NUM_BETAS], transl=self.transl + change[:, NUM_BETAS:]
        )

    def turned(self, turn: Float[Tensor, "bodies 24 3 3"]) -> Bodies:
        """The same bodies with other rotations against the frame."""
        inner = turn[:, list(self.tables.parents[1:])].transpose(2, 3) @ turn[:, 1:]
        return replace(self, local=torch.cat([turn[:, :1], inner], dim=1))
