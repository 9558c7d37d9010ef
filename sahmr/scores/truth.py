"""What a person-image is scored against: body, contacts, scene and gravity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor

from sahmr.datasets import DatasetCard
from sahmr.errors import ShardError
from sahmr.geometry.rigid_numpy import apply_rigid
from sahmr.remote import Place
from sahmr.scenes.store import Scene, load_scene
from sahmr.scenes.upright import load_up, rough_up_of
from sahmr.scenes.visible import BlockedPoints, blocks_near_box, load_blocks, visible_points
from sahmr.scores.contact import Contacts, touching_vertices, true_contacts
from sahmr.shards.crop import crop_box
from sahmr.shards.decode import StoredGeometry
from sahmr.shards.reader import ShardReader
from sahmr.targets import CONTACT_DISTANCE_M
from schemas.fields import Rows
from schemas.shard import ShardEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One person-image as it is.

    Attributes:
        frame: camera, ground truth, and contact labels; where these are unknown none counts as touching in ConFE.
        sequence, scene_key: for the records.
        camera: its number, for the records; None: not known.
        scene: with its distance field.
        up: against gravity, world frame, length 1.
        contacts: scene points in the crop's view that the body touches.
    """

    frame: StoredGeometry
    sequence: str
    scene_key: str
    camera: int | None = None
    scene: Scene
    up: Float[Tensor, "3"]
    contacts: Contacts


def find_truth(
    frame: StoredGeometry,
    entry: ShardEntry,
    store: Place,
    part: Int[Tensor, " 6890"],
    card: DatasetCard,
    camera: int | None = None,
) -> Truth:
    """Put together what shard and scene store know of a sample; its picture is not needed.

    Args:
        frame: as stored.
        entry: its row of the index.
        store: the data set's scene store.
        part: part id 0..7 of each vertex.
        card: of the data set.
        camera: its number, if known.

    Raises:
        ShardError: if the frame has no ground truth.
        StoreError: if the store lacks the scene or is damaged.
    """
    if frame.vertices_world is None:
        raise ShardError(f"sample {frame.key} has no ground truth; leave it out of what is scored")
    return Truth(
        frame=frame,
        sequence=entry.sequence,
        scene_key=entry.scene_key,
        camera=camera,
        scene=load_scene(store, entry.scene_key),
        up=load_up(store, entry.scene_key, rough_up_of(card.rough_up, frame.camera_from_world)),
        contacts=_contacts(frame, frame.vertices_world, load_blocks(store, entry.scene_key), part, card),
    )


def require_truths(reader: ShardReader, entries: Rows[ShardEntry], store: Place) -> None:
    """Read the distance field and the ground truth of all samples once, before anything is computed from them.

    Args:
        reader: of the shards.
        entries: rows of the index; each has ground truth.
        store: the data set's scene store.

    Raises:
        ShardError: if a shard is damaged, its ground truth not finite, or its contact labels are not of 6890 vertices.
        StoreError: if the store lacks a scene or its distance field, or is damaged.
    """
    for key in pc.unique(entries.table.column("scene_key").cast(pa.string())).to_pylist():
        load_scene(store, key)
    for number in range(len(entries)):
        reader.geometry(entries[number])


def _contacts(
    frame: StoredGeometry,
    vertices_world: Float[ndarray, "6890 3"],
    blocks: BlockedPoints,
    part: Int[Tensor, " 6890"],
    card: DatasetCard,
) -> Contacts:
    """Touched points of the crop's frustum; of the scene, only what is near a touching vertex is looked at."""
    touching = touching_vertices(frame.contact, part, card.ignored_parts).numpy()
    vertices = apply_rigid(frame.camera_from_world, vertices_world.astype(np.float64))
    near = _near(blocks, vertices_world[touching]) if touching.any() else torch.zeros(len(blocks.xyz), dtype=torch.bool)
    some = BlockedPoints(xyz=blocks.xyz[near], center=blocks.center[near], radius=blocks.radius[near])
    intrinsics, camera, box = (
        torch.from_numpy(value).float()
        for value in (frame.intrinsics, frame.camera_from_world, crop_box(frame.person_box))
    )
    seen = visible_points(some, intrinsics, camera, box).numpy()
    low, high = (
        (end(vertices[touching], axis=0) if touching.any() else np.zeros(3)) for end in (np.min, np.max)
    )  # of the touching ones
    close = ((seen >= low - CONTACT_DISTANCE_M) & (seen <= high + CONTACT_DISTANCE_M)).all(axis=1)
    return true_contacts(seen[close], vertices, touching, part.numpy())


def _near(blocks: BlockedPoints, vertices_world: Float[ndarray, "touching 3"]) -> Bool[Tensor, " blocks"]:
    """Blocks that may have points in the box of some vertices, widened by 0.07 m and room for the camera's rounding."""
    reach = CONTACT_DISTANCE_M * 1.01
    low, high = (torch.from_numpy(end(vertices_world, axis=0)).float() for end in (np.min, np.max))
    return blocks_near_box(blocks, low - reach, high + reach)
