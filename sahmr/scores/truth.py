"""What a person-image is scored against: body, contacts, scene and gravity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sahmr.datasets import DatasetCard
from sahmr.errors import ShardError
from sahmr.geometry.rigid import apply_rigid
from sahmr.remote import Place
from sahmr.scenes.store import Scene, load_scene
from sahmr.scenes.upright import load_up
from sahmr.scenes.visible import load_blocks, visible_points
from sahmr.scores.contact import touching_vertices, true_contacts
from sahmr.shards.crop import crop_box
from sahmr.shards.decode import StoredGeometry
from schemas.shard import ShardEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One person-image as it is.

    Attributes:
        frame: camera, ground truth, and contact labels; where these are unknown none counts as touching in ConFE.
        sequence: for the records.
        scene: with its distance field.
        up: against gravity, world frame, length 1.
        contacts: scene points in the crop's view that the body touches, camera frame, metres.
    """

    frame: StoredGeometry
    sequence: str
    scene: Scene
    up: Float[Tensor, "3"]
    contacts: Float[Tensor, "contacts 3"]


def find_truth(
    frame: StoredGeometry, entry: ShardEntry, store: Place, part: Int[Tensor, " 6890"], card: DatasetCard
) -> Truth:
    """Put together what shard and scene store know of a sample; its picture is not needed.

    Args:
        frame: as stored.
        entry: its row of the index.
        store: the data set's scene store.
        part: part id 0..7 of each vertex.
        card: of the data set.

    Raises:
        ShardError: if the frame has no ground truth.
        StoreError: if the store lacks the scene or is damaged.
    """
    if frame.vertices_world is None:
        raise ShardError(f"sample {frame.key} has no ground truth; leave it out of what is scored")
    camera = torch.from_numpy(frame.camera_from_world)
    vertices = apply_rigid(camera, torch.from_numpy(frame.vertices_world).double()).float()
    intrinsics, box = (torch.from_numpy(value).float() for value in (frame.intrinsics, crop_box(frame.person_box)))
    seen = visible_points(load_blocks(store, entry.scene_key), intrinsics, camera.float(), box)
    touching = touching_vertices(frame.contact, part, card.ignored_parts)
    return Truth(
        frame=frame,
        sequence=entry.sequence,
        scene=load_scene(store, entry.scene_key),
        up=load_up(store, entry.scene_key, card.rough_up),
        contacts=true_contacts(seen, vertices, touching),
    )
