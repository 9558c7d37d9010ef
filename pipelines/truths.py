"""What stages need to look at person-images: their truth, and the pictures' contents."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float
from numpy import ndarray

from sahmr.batches.dataset import SampleDataset
from sahmr.body.topology import load_topology
from sahmr.datasets import find_card
from sahmr.geometry.rigid_numpy import apply_rigid
from sahmr.report.panels import SCENE_RADIUS_M, Tile
from sahmr.report.surfels import surfels_near
from sahmr.scores.body import mesh_edges
from sahmr.scores.contact import touching_vertices
from sahmr.scores.evaluation import Scorer
from sahmr.scores.predictions import Predicted, missing_truth
from sahmr.scores.truth import Truth, find_truth
from sahmr.settings import Paths
from sahmr.structures import Sample
from schemas.fields import read_table
from schemas.frame import FRAME_SCHEMA
from schemas.metric import MetricRecord


class Tables:
    """What images are scored with: their shards, scenes, cameras' numbers and the body's tables."""

    def __init__(self, samples: SampleDataset, dataset: str, paths: Paths) -> None:
        self.samples, self.card, self.topology = samples, find_card(dataset), load_topology(paths.bodies)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.scorer = Scorer(self.topology.joint_regressor, mesh_edges(self.topology.faces), device)
        self._cameras = _find_cameras(paths.frames / f"{dataset}.parquet", samples.entries.table.column("key"))

    def truth(self, number: int) -> Truth:
        """What is known of an image, by its place."""
        entry, samples = self.samples.entries[number], self.samples
        frame, camera = samples.reader.geometry(entry), self._cameras[number]
        return find_truth(frame, entry, samples.scenes, self.topology.part_full, self.card, camera)

    def touching(self, number: int) -> Float[ndarray, "touching 3"]:
        """Vertices of an image's true body that touch, camera frame, metres; by its place."""
        frame = self.samples.reader.geometry(self.samples.entries[number])
        if frame.vertices_world is None:
            raise missing_truth([frame.key], source=str(self.samples.reader.folder))
        touching = touching_vertices(frame.contact, self.topology.part_full, self.card.ignored_parts).numpy()
        return apply_rigid(frame.camera_from_world, frame.vertices_world[touching].astype(np.float64))


def _find_cameras(frames: Path, keys: pa.ChunkedArray) -> list[int | None]:
    """The cameras' numbers out of the frame table; shards may have come without it."""
    if not frames.is_file():
        return [None] * len(keys)
    table = read_table(frames, FRAME_SCHEMA, ["key", "camera"])
    rows = pc.index_in(keys, value_set=table.column("key").combine_chunks())
    cameras: list[int | None] = table.column("camera").take(rows).to_pylist()
    return cameras


def tile_of(sample: Sample, truth: Truth, predicted: Predicted, scores: MetricRecord) -> Tile:
    """All that is drawn of a person-image.

    Args:
        sample: with its picture.
        truth: of the same.
        predicted: of it alone.
        scores: of the same prediction, for the caption.
    """
    assert sample.vertices_camera is not None  # it was scored
    true, camera_from_world = sample.vertices_camera.double().numpy(), truth.frame.camera_from_world
    contacts = np.zeros((0, 3)) if predicted.contacts is None else predicted.contacts[0].xyz.astype(np.float64)
    return Tile(
        caption=(
            f"{sample.key}   G-MPJPE {scores.global_mpjpe_mm:.0f} mm, MPJPE {scores.mpjpe_mm:.0f} mm, {scores.posture}"
        ),
        image=sample.image.permute(1, 2, 0).numpy(),
        intrinsics=sample.intrinsics.double().numpy(),
        crop_box=sample.crop_box.double().numpy(),
        true=true,
        predicted=predicted.meshes[0].double().numpy(),
        up=np.einsum("ij,j->i", camera_from_world[:3, :3], truth.up.numpy()),
        scene=surfels_near(truth.scene, camera_from_world, true.mean(axis=0), SCENE_RADIUS_M),
        contacts=contacts,
        true_contacts=truth.contacts.xyz.astype(np.float64),
    )
