"""Samples of a split: decoded, cropped, with the scene points their crop can see."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from jaxtyping import Float
from numpy import ndarray
from torch.utils.data import Dataset

from sahmr.batches.order import InOrder, Order, Shuffled
from sahmr.errors import ShardError
from sahmr.files import file_sha256
from sahmr.geometry.rigid import apply_rigid
from sahmr.remote import Place, RemotePath
from sahmr.scenes.arrays import left_out_scenes
from sahmr.scenes.views import VIEWS, View, points_in_crop
from sahmr.shards.crop import (
    ZOOM_RANGE,
    crop_box,
    draw,
    max_jitter_px,
)
from sahmr.shards.decode import StoredSample, crop_stored
from sahmr.shards.reader import INDEX_NAME, ShardReader, find_key, read_index
from sahmr.shards.where import named_columns, parse_where, select_rows
from sahmr.structures import Sample
from schemas.fields import Rows
from schemas.shard import ShardEntry


def make_sample(stored: StoredSample, box: Float[ndarray, "4"], scenes: Place) -> Sample:
    """Crop a stored sample and cull its scene.

    Args:
        stored: as decoded.
        box: square crop box, full-image pixels.
        scenes: the data set's scene store.

    Raises:
        StoreError: if the store lacks the sample's scene or is damaged.
    """
    intrinsics, pose = camera_of(stored)
    return sample_in(stored, box, VIEWS.get(scenes, stored.scene_key, intrinsics, pose))


def camera_of(stored: StoredSample) -> tuple[Float[torch.Tensor, "3 3"], Float[torch.Tensor, "4 4"]]:
    """K, full-image pixels, and ``camera_from_world``, float32 as all that is computed with them."""
    return torch.from_numpy(stored.intrinsics).float(), torch.from_numpy(stored.camera_from_world).float()


def sample_in(stored: StoredSample, box: Float[ndarray, "4"], view: View) -> Sample:
    """The same of a scene that the sample's camera sees: crop, and cull."""
    crop = torch.from_numpy(box).float()
    intrinsics, camera_from_world = camera_of(stored)
    return Sample(
        key=stored.key,
        image=torch.from_numpy(np.ascontiguousarray(crop_stored(stored, box).transpose(2, 0, 1))),
        intrinsics=intrinsics,
        camera_from_world=camera_from_world,
        crop_box=crop,
        scene_key=stored.scene_key,
        scene_camera=points_in_crop(view, crop),
        vertices_camera=_vertices_camera(stored),
        vertex_contact=None if stored.contact is None else torch.from_numpy(stored.contact),
        has_contact=stored.contact is not None,
        dataset=stored.dataset,
    )


def _vertices_camera(stored: StoredSample) -> Float[torch.Tensor, "6890 3"] | None:
    """Moved in float64; None without ground truth."""
    if stored.vertices_world is None:
        return None
    vertices = torch.from_numpy(stored.vertices_world).double()
    return apply_rigid(torch.from_numpy(stored.camera_from_world), vertices).float()


def keys_digest(entries: Rows[ShardEntry]) -> str:
    """SHA-256 of all keys in their order."""
    digest = hashlib.sha256()
    for block in entries.blocks(["key"], 65536):
        digest.update("\n".join([*block.column("key").to_pylist(), ""]).encode())
    return digest.hexdigest()


class SampleDataset(Dataset[Sample]):
    """Samples of one split, in the order of their keys, but those whose scene the store says it leaves out.

    Args:
        shards: the data set's shard folder.
        scenes: its scene store.
        split: train | val | test.
        is_training: move and zoom the crop; the numbers depend on seed, epoch and key alone.
        seed: of that augmentation.
        zoom_range: the crop is widened by up to this share of the person box's larger side.
        fixed_crops: the numbers are those of epoch 0 in every epoch.
        where: a condition on the index (:func:`sahmr.shards.where.parse_where`); empty: all samples.

    Raises:
        ShardError: if there is no index, the split has no samples or, ``is_training``, some without ground truth; if
            ``where`` is no condition, nothing fulfils it, or the index is older than a column that it names.
    """

    def __init__(
        self,
        shards: Place,
        scenes: Place,
        split: str,
        *,
        is_training: bool = False,
        seed: int = 0,
        zoom_range: float = ZOOM_RANGE,
        fixed_crops: bool = False,
        where: str = "",
    ) -> None:
        self.reader, self.split, self.where = ShardReader(shards), split, where
        self.scenes, self.is_training, self.seed, self.zoom_range = scenes, is_training, seed, zoom_range
        self.fixed_crops = fixed_crops
        self.entries = self._select()
        if is_training:
            self.require_bodies()

    def _select(self) -> Rows[ShardEntry]:
        index, without = read_index(self.reader.folder), pa.array(left_out_scenes(self.scenes), pa.string())
        splits, scenes = (pc.field(name).cast(pa.string()) for name in ("split", "scene_key"))
        places = select_rows(index.table, (splits == self.split) & ~scenes.isin(without))
        if len(places) == 0:
            found = sorted(pc.unique(index.column("split").cast(pa.string())).to_pylist())
            place = f"{self.reader.folder}: no samples of split '{self.split}'"
            raise ShardError(f"{place}, the index has {found}; choose one of these")
        entries = Rows(index.table, ShardEntry, places)
        return self._narrow(entries) if self.where else entries

    def _narrow(self, entries: Rows[ShardEntry]) -> Rows[ShardEntry]:
        condition, place = parse_where(self.where), f"{self.reader.folder}: condition {self.where!r}"
        for name in named_columns(self.where):
            if entries.column(name).null_count:
                raise ShardError(f"{place}: the index is older than its column '{name}'; run: dvc repro shards")
        assert entries.places is not None
        met = np.intersect1d(entries.places, select_rows(entries.whole, condition), assume_unique=True)
        if len(met) == 0:
            raise ShardError(f"{place}: none of {len(entries)} samples of split '{self.split}' fulfils it; change it")
        return Rows(entries.whole, ShardEntry, met)

    def __getstate__(self) -> dict[str, Any]:
        """Small: a loader's process reads the index itself."""
        return {**self.__dict__, "entries": self._index_sha256()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.entries = self._select()
        if self._index_sha256() != state["entries"]:
            raise ShardError(f"{self.reader.folder}: the index changed while it was in use; run the command again")

    def _index_sha256(self) -> str:
        index = self.reader.folder / INDEX_NAME
        return index.sha256 if isinstance(index, RemotePath) else file_sha256(index)

    def require_bodies(self) -> None:
        """Insist that every sample has ground truth.

        Raises:
            ShardError: saying how many have none, and what to do.
        """
        has_body = self.entries.column("has_body")
        if not pc.all(has_body).as_py():
            keys = self.entries.column("key").filter(pc.invert(has_body))
            raise ShardError(
                f"{self.reader.folder}: {len(keys)} of {len(self.entries)} samples of split '{self.split}' have no "
                f"ground truth (the first: {keys[0]}), and a training needs it of each; let the reader put these "
                "frames into another split, then run: dvc repro frames shards"
            )

    def __len__(self) -> int:
        return len(self.entries)

    def key(self, number: int) -> str:
        """Key of a sample; nothing else of it is read."""
        return str(self.entries.value("key", number))

    def number(self, key: str) -> int:
        """Number of a sample. Raises KeyError if there is no such key; it names the nearest."""
        return find_key(self.entries, key, of=f"split '{self.split}'")

    def expect(self, numbers: Sequence[int], *, more: bool = False) -> None:
        """Samples that are asked for soon, alone or beside those said before: remote ones are fetched meanwhile."""
        if self.reader.is_remote:
            self.reader.expect([self.entries[number] for number in numbers], more=more)

    def order(self, seed: int | None) -> Order:
        """Of the samples of an epoch: shuffled, or without a seed that of the keys."""
        return InOrder(len(self)) if seed is None else Shuffled(len(self), seed)

    def digest(self) -> str:
        """Equal for equal keys in equal order."""
        return keys_digest(self.entries)

    def __getitem__(self, place: int | str | tuple[int, int]) -> Sample:
        """A sample by its number or key (of epoch 0), or number ``place[1]`` of epoch ``place[0]``."""
        epoch, number = place if isinstance(place, tuple) else (0, place)
        index = self.number(number) if isinstance(number, str) else number
        stored = self.reader.decode(self.entries[index])
        box = crop_box(stored.person_box)
        if self.is_training:
            draws = draw(self.seed, 0 if self.fixed_crops else epoch, stored.key)
            jitter = max_jitter_px(*stored.image_size)
            box = crop_box(stored.person_box, zoom_range=self.zoom_range, jitter_px=jitter, draws=draws)
        return make_sample(stored, box, self.scenes)
