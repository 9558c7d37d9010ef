"""What the authors' Dataset does for one training sample of RICH, written anew from notes on it; for comparison only.

Per sample: decode the whole quarter-size JPEG, cut the square by an affine map, normalise; compare all points of the
scan with the six planes of the crop's frustum, in the world frame, and move those inside to the camera's; evaluate
SMPL-H on the pickled parameters and move its vertices; unpack the contact labels. Theirs does the last three on a GPU.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import smplx
import torch
from torch import Tensor

from sahmr.geometry.rigid_numpy import invert_rigid
from sahmr.shards.crop import crop_from_image

_MEAN, _SPREAD = (np.array(values, np.float32) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
_NEAR_M, _FAR_M, _SIZE = 0.5, 12.5, 224
_PLANES = ((0, 2, 1), (4, 5, 6), (0, 4, 7), (1, 2, 6), (0, 1, 5), (3, 7, 6))


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """A row of their index: files, camera, and the crop box that is to be cut, full-image pixels."""

    image_file: Path
    body_file: Path
    contact_file: Path
    gender: str
    scene_key: str
    intrinsics: np.ndarray
    camera_from_world: np.ndarray
    box: np.ndarray


def make_image(meta: Meta) -> Tensor:
    """[3, 224, 224], normalised."""
    image = cv2.imread(str(meta.image_file))[..., ::-1]
    crop = cv2.warpAffine(np.ascontiguousarray(image), crop_from_image(meta.box), (_SIZE, _SIZE))
    return torch.from_numpy(((crop.astype(np.float32) / 255 - _MEAN) / _SPREAD).transpose(2, 0, 1).copy())


def make_points(meta: Meta, scenes: Mapping[str, Tensor]) -> Tensor:
    """Points inside the frustum, camera frame."""
    k, (left, top, right, bottom) = meta.intrinsics, meta.box
    rays = [[(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], 1.0] for u, v in _corners(left, top, right, bottom)]
    corners = np.concatenate([np.array(rays) * _NEAR_M, np.array(rays) * _FAR_M])
    world = invert_rigid(meta.camera_from_world)
    corners = corners @ world[:3, :3].T + world[:3, 3]
    normals = np.stack([np.cross(corners[b] - corners[a], corners[c] - corners[a]) for a, b, c in _PLANES])
    offsets = (normals * corners[[a for a, _, _ in _PLANES]]).sum(axis=1)
    points = scenes[meta.scene_key]
    inside = (points @ torch.from_numpy(normals).float().T <= torch.from_numpy(offsets).float()).all(dim=1)
    camera = torch.from_numpy(meta.camera_from_world).float()
    return points[inside] @ camera[:3, :3].T + camera[:3, 3]


def make_targets(meta: Meta, bodies: Mapping[str, torch.nn.Module]) -> tuple[Tensor, Tensor]:
    """Vertices, camera frame, and contact labels."""
    with meta.body_file.open("rb") as stream:
        found = pickle.load(stream)  # the demo's own
    names = ("global_orient", "body_pose", "betas", "transl")
    with torch.no_grad():
        made = bodies[meta.gender](**{name: torch.from_numpy(found[name]).float() for name in names}, return_verts=True)
    camera = torch.from_numpy(meta.camera_from_world).float()
    contact = np.unpackbits(np.load(meta.contact_file), count=6890).astype(bool)
    return made.vertices[0] @ camera[:3, :3].T + camera[:3, 3], torch.from_numpy(contact)


def load_bodies(folder: Path) -> dict[str, torch.nn.Module]:
    """SMPL-H of both genders, from the stage ``bodies``, as they set it up."""
    how = {"ext": "npz", "use_pca": False, "flat_hand_mean": True, "num_betas": 10}
    return {name: smplx.SMPLH(str(folder / f"SMPLH_{name.upper()}.npz"), **how) for name in ("male", "female")}


def _corners(left: float, top: float, right: float, bottom: float) -> tuple[tuple[float, float], ...]:
    return (left, top), (right, top), (right, bottom), (left, bottom)
