"""What is round a person whose true body nobody knows: up, and the scan as squares."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from sahmr.datasets import DatasetCard
from sahmr.remote import Place
from sahmr.report.panels import SCENE_RADIUS_M
from sahmr.report.surfels import Surfels, cloud_near, surfels_near
from sahmr.scenes.arrays import is_cloud, store_attributes
from sahmr.scenes.store import load_points, load_scene
from sahmr.scenes.upright import load_up, rough_up_of


def find_surroundings(
    key: str, camera_from_world: Float[ndarray, "4 4"], middle: Float[ndarray, "3"], scenes: Place, card: DatasetCard
) -> tuple[Float[ndarray, "3"], Surfels]:
    """Up, length 1, and the scan round a point; both in the camera frame. A cloud says nothing of up.

    Args:
        key: of the scene.
        camera_from_world: rigid, metres.
        middle: camera frame, metres.
        scenes: the store.
        card: of the dataset, which knows up roughly.
    """
    rough = rough_up_of(card.rough_up, camera_from_world)
    if is_cloud(scenes, key):
        up, points = np.array(rough), load_points(scenes, key).double().numpy()
        pitch_m = float(store_attributes(scenes, key)["voxel_pitch_m"])
        near = cloud_near(points, pitch_m, camera_from_world, middle, SCENE_RADIUS_M)
    else:
        near = surfels_near(load_scene(scenes, key), camera_from_world, middle, SCENE_RADIUS_M)
        up = load_up(scenes, key, rough).double().numpy()
    return np.einsum("ij,j->i", camera_from_world[:3, :3], up), near
