"""SMPL pose, shape and translation of given meshes of SMPL topology: many at once, in torch."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor

from sahmr.body.posed import NUM_BETAS, NUM_TURNS, Bodies, SmplTables
from sahmr.dimensions import NUM_VERTICES
from sahmr.geometry.rotation import axis_angles, nearest_rotations, rotation_matrices

_STRIDE = 8  # every eighth vertex is fitted, which is twice as many as the coarse mesh has; the residual is of all
_ALTERNATIONS, _STEPS = 2, 3  # more change the residual of bodies SMPL can make by less than 0.001 mm
# What a parameter is expected to be: 0, give or take this. A mesh of SMPL's own is followed exactly; the farther a
# mesh is from any body, the more the fit keeps to likely ones: its error counts as that of so many free vertices.
_SHAPE_STD, _TURN_STD_RAD, _INDEPENDENT = 1.0, 0.5, 200
_DAMPING = 1e-6  # share of a normal matrix' diagonal


@dataclass(frozen=True, slots=True, kw_only=True)
class SmplParams:
    """Parameters of several SMPL bodies, as ``smplx`` takes them: axis-angles, radians; metres.

    ``transl`` is *not* where the root joint is: that is at ``transl`` plus its rest position, which depends on
    ``betas`` and lies some 0.2 m below the origin of the body frame. So a rigid motion cannot be applied to ``transl``
    alone: :func:`move_params`.
    """

    betas: Float[Tensor, "bodies 10"]
    global_orient: Float[Tensor, "bodies 3"]
    body_pose: Float[Tensor, "bodies 69"]
    transl: Float[Tensor, "bodies 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmplFit:
    """What :func:`fit_smpl` found.

    Attributes:
        params: in the frame of the meshes.
        residual_mm: mean distance of the 6890 vertices to those of the re-posed body.
    """

    params: SmplParams
    residual_mm: Float[Tensor, " bodies"]


def fit_smpl(tables: SmplTables, vertices: Float[Tensor, "bodies 6890 3"]) -> SmplFit:
    """Find the bodies of least squared distance to meshes, vertex by vertex.

    Each joint's rotation is first read off the vertices it moves (Kabsch), in turns with the shape, which is linear
    given the rotations; then come Gauss-Newton steps on all parameters at once.

    One mesh after another, for a fit must not depend on the meshes beside it: libraries choose how they sum a matrix
    product by the size of the batch, which moved parameters by up to 5e-5.

    Args:
        tables: of the model, all of its vertices.
        vertices: any frame, metres, finite.

    Returns:
        The fit, float32; a mesh that SMPL cannot make gets the nearest likely body, and its residual says how near.
    """
    few = tables.every(_STRIDE)
    found = [_fit(tables, few, vertices[row : row + 1].float()) for row in range(max(1, len(vertices)))]
    names = [field.name for field in fields(SmplParams)]
    params = {name: torch.cat([getattr(each.params, name) for each in found]) for name in names}
    return SmplFit(params=SmplParams(**params), residual_mm=torch.cat([each.residual_mm for each in found]))


def _fit(tables: SmplTables, few: SmplTables, vertices: Float[Tensor, "bodies 6890 3"]) -> SmplFit:
    middle = vertices.mean(dim=1)  # float32 is finer near the origin
    target = vertices - middle[:, None]
    sparse = target[:, ::_STRIDE].contiguous()
    bodies = _at_rest(few, len(vertices))
    for _ in range(_ALTERNATIONS):
        bodies = _aligned(bodies, sparse)
        bodies = bodies.moved(_solve(bodies.by_shape(), sparse - bodies.vertices, _likely_shape(bodies)))
    for _ in range(_STEPS):
        derivative = torch.cat([bodies.by_turn(), bodies.by_shape()], dim=3)
        likely = torch.cat([_likely_turn(bodies), _likely_shape(bodies)], dim=1)
        change = _solve(derivative, sparse - bodies.vertices, likely)
        bodies = bodies.moved(change[:, NUM_TURNS:], change[:, :NUM_TURNS])
    whole, pose = replace(bodies, tables=tables), axis_angles(bodies.local)
    params = SmplParams(
        betas=bodies.betas,
        global_orient=pose[:, 0],
        body_pose=pose[:, 1:].flatten(1),
        transl=bodies.transl + middle,
    )
    return SmplFit(params=params, residual_mm=(whole.vertices - target).norm(dim=2).mean(dim=1) * 1000)


def _at_rest(tables: SmplTables, count: int) -> Bodies:
    local = torch.eye(3).repeat(count, len(tables.parents), 1, 1)
    return Bodies(tables=tables, local=local, betas=torch.zeros(count, NUM_BETAS), transl=torch.zeros(count, 3))


def _aligned(bodies: Bodies, target: Float[Tensor, "bodies vertices 3"]) -> Bodies:
    """Turn every joint so that the vertices it moves lie best on theirs, each joint for itself (Kabsch)."""
    weights = bodies.tables.weights.square().T  # squared: a joint goes by the vertices that are mostly its own
    share = weights / weights.sum(dim=1, keepdim=True)
    source = bodies.vertices
    products = (target[..., :, None] * source[..., None, :]).flatten(2)  # [bodies, vertices, 9]
    here, there = share @ source, share @ target  # [bodies, 24, 3]
    covariance = (share @ products).view(len(source), 24, 3, 3) - there[..., :, None] * here[..., None, :]
    return bodies.turned(nearest_rotations(covariance) @ bodies.turn)


def _likely_turn(bodies: Bodies) -> Float[Tensor, "bodies 72 2"]:
    """Of each turn, the change that leads to its likeliest value, and one over its variance."""
    axes = axis_angles(bodies.local[:, 1:])  # seen from the parent, as the unknowns are not
    seen = torch.einsum("bjik,bjk->bij", bodies.parent_turn, axes)  # [bodies, 3, 23]
    change = -torch.cat([torch.zeros_like(seen[..., :1]), seen], dim=2).flatten(1)
    rate = torch.full((3, 24), _TURN_STD_RAD**-2)
    rate[:, 0] = 0  # bodies face anywhere
    return torch.stack([change, rate.flatten().expand_as(change)], dim=2)


def _likely_shape(bodies: Bodies) -> Float[Tensor, "bodies 13 2"]:
    """The same of shape and ``transl``; bodies stand anywhere."""
    change = torch.cat([-bodies.betas, torch.zeros_like(bodies.transl)], dim=1)
    rate = torch.cat([torch.full((NUM_BETAS,), _SHAPE_STD**-2), torch.zeros(3)])
    return torch.stack([change, rate.expand_as(change)], dim=2)


def _solve(
    derivative: Float[Tensor, "bodies vertices 3 unknowns"],
    missing: Float[Tensor, "bodies vertices 3"],
    likely: Float[Tensor, "bodies unknowns 2"],
) -> Float[Tensor, "bodies unknowns"]:
    """Least squares with a prior whose weight goes by the error.

    Args:
        derivative: of each vertex.
        missing: what is to be made up for, metres.
        likely: the changes that lead to the likeliest parameters, and one over their variances.
    """
    flat, error = derivative.flatten(1, 2), missing.flatten(1)
    normal = (flat.transpose(1, 2) @ flat).double()
    right = (flat.transpose(1, 2) @ error[..., None]).double()
    variance = error.square().mean(dim=1, keepdim=True).double() * (missing.shape[1] / _INDEPENDENT)
    weight = likely[..., 1].double() * variance  # m^2 per unit^2, as the normal matrix
    diagonal = normal.diagonal(dim1=1, dim2=2)
    diagonal += _DAMPING * diagonal + 1e-12 + weight
    right[..., 0] += weight * likely[..., 0]
    solution: Tensor = torch.linalg.solve(normal, right)
    return solution[..., 0].float()


def smpl_vertices(tables: SmplTables, params: SmplParams) -> Float[Tensor, "bodies 6890 3"]:
    """The meshes that parameters stand for, in their frame, metres; one after another, as they are fitted."""
    turns = rotation_matrices(torch.cat([params.global_orient, params.body_pose], dim=1).view(-1, NUM_TURNS // 3, 3))
    posed = [
        Bodies(
            tables=tables, local=turns[i : i + 1], betas=params.betas[i : i + 1], transl=params.transl[i : i + 1]
        ).vertices
        for i in range(len(turns))
    ]
    return torch.cat(posed) if posed else params.transl.new_zeros(0, NUM_VERTICES, 3)


def move_params(tables: SmplTables, params: SmplParams, transform: Float[Tensor, "bodies 4 4"]) -> SmplParams:
    """The same bodies in another frame, each moved by its own transform.

    Vertices are ``turn (x - root) + root + transl`` with the rest position of the root joint, so moving them by (R, t)
    makes ``transl`` R (root + transl) + t - root: leave out the root, and bodies seen upside down are 0.5 m off.

    Args:
        tables: of the model that was fitted.
        params: frame the transforms start from.
        transform: rotation and translation, metres; float64 where it counts.
    """
    rotation, shift = transform[:, :3, :3].double(), transform[:, :3, 3].double()
    root = (tables.joints[0] + params.betas @ tables.joint_shape_dirs[0].T).double()
    moved = (rotation @ (root + params.transl.double())[..., None])[..., 0] + shift - root
    orient = axis_angles(rotation @ rotation_matrices(params.global_orient.double()))
    return replace(params, global_orient=orient.to(params.transl), transl=moved.to(params.transl))
