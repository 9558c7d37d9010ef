"""From shards to batches: random access by index, crops, culled scenes, and an order that can be resumed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch.utils.data import DataLoader, Dataset, Sampler

from sahmr.data.collate import collate
from sahmr.data.crop import (
    ZOOM_RANGE,
    compose,
    crop_box,
    crop_from_image,
    draw,
    invert,
    max_jitter_px,
    stored_from_image,
    warp,
)
from sahmr.data.cull import load_blocks, visible_points
from sahmr.data.scene_store import left_out_scenes
from sahmr.data.shard_files import read_index
from sahmr.data.shards import StoredSample, decode_sample
from sahmr.errors import ShardError
from sahmr.structures import Batch, Sample
from schemas.shard import ShardEntry


class ShardReader:
    """Random access to the samples of one shard folder; files are opened when first read, per process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[tuple[int, str], int] = {}

    def read(self, entry: ShardEntry, *, verify: bool = False) -> bytes:
        """Bytes of one sample.

        Args:
            entry: its row of the index.
            verify: also compare the SHA-256.

        Raises:
            ShardError: if the shard is missing, too short, or (``verify``) not what the index says.
        """
        place = f"{self.folder / entry.shard}: sample {entry.key}"
        data = os.pread(self._open(entry.shard), entry.length, entry.offset)
        if len(data) != entry.length:
            raise ShardError(f"{place}: found {len(data)} of {entry.length} bytes; rebuild with: dvc repro shards")
        if verify and hashlib.sha256(data).hexdigest() != entry.sha256:
            raise ShardError(f"{place}: SHA-256 differs from the index; rebuild with: dvc repro shards")
        return data

    def decode(self, entry: ShardEntry, *, verify: bool = False) -> StoredSample:
        """One sample, decoded. Errors as :meth:`read` and :func:`sahmr.data.shards.decode_sample`."""
        return decode_sample(self.read(entry, verify=verify), place=f"{self.folder / entry.shard}: sample {entry.key}")

    def _open(self, shard: str) -> int:
        key = (os.getpid(), shard)
        if key not in self._files:
            try:
                self._files[key] = os.open(self.folder / shard, os.O_RDONLY)
            except OSError as problem:
                raise ShardError(f"{self.folder / shard}: {problem.strerror}; rebuild with: dvc repro shards") from None
        return self._files[key]

    def close(self) -> None:
        """Close this process's files; the next read opens them again."""
        for pid, shard in list(self._files):
            if pid == os.getpid():
                os.close(self._files.pop((pid, shard)))

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_files": {}}

    def __del__(self) -> None:
        if hasattr(self, "_files"):
            self.close()


def crop_stored(sample: StoredSample, box: Float[ndarray, "4"]) -> UInt8[ndarray, "224 224 3"]:
    """Cut a square box, full-image pixels, out of a stored sample with one resampling."""
    height, width = sample.image.shape[:2]
    image_from_stored = invert(stored_from_image(sample.region, width, height))
    return warp(sample.image, compose(crop_from_image(box), image_from_stored))


def make_sample(stored: StoredSample, box: Float[ndarray, "4"], scenes: Path) -> Sample:
    """Crop a stored sample and cull its scene.

    Args:
        stored: as decoded.
        box: square crop box, full-image pixels.
        scenes: the data set's scene store.

    Raises:
        StoreError: if the store lacks the sample's scene or is damaged.
    """
    intrinsics, crop = (torch.from_numpy(value).float() for value in (stored.intrinsics, box))
    transform = stored.camera_from_world
    vertices = (stored.vertices_world.astype(np.float64) @ transform[:3, :3].T + transform[:3, 3]).astype(np.float32)
    camera_from_world = torch.from_numpy(transform).float()
    return Sample(
        key=stored.key,
        image=torch.from_numpy(np.ascontiguousarray(crop_stored(stored, box).transpose(2, 0, 1))),
        intrinsics=intrinsics,
        camera_from_world=camera_from_world,
        crop_box=crop,
        scene_key=stored.scene_key,
        scene_camera=visible_points(load_blocks(scenes, stored.scene_key), intrinsics, camera_from_world, crop),
        vertices_camera=torch.from_numpy(vertices),
        vertex_contact=None if stored.contact is None else torch.from_numpy(stored.contact),
        has_contact=stored.contact is not None,
    )


class SampleDataset(Dataset[Sample]):
    """Samples of one split, in the order of their keys, but those whose scene the store says it leaves out.

    Args:
        shards: the data set's shard folder.
        scenes: its scene store.
        split: train | val | test.
        is_training: move and zoom the crop; the numbers depend on seed, epoch and key alone.
        seed: of that augmentation.
        zoom_range: the crop is widened by up to this share of the person box's larger side.

    Raises:
        ShardError: if there is no index or the split has no samples.
    """

    def __init__(
        self,
        shards: Path,
        scenes: Path,
        split: str,
        *,
        is_training: bool = False,
        seed: int = 0,
        zoom_range: float = ZOOM_RANGE,
    ) -> None:
        index = read_index(shards)
        self.reader = ShardReader(shards)
        without = set(left_out_scenes(scenes))
        self.entries = [entry for entry in index if entry.split == split and entry.scene_key not in without]
        if not self.entries:
            found = sorted({entry.split for entry in index})
            raise ShardError(f"{shards}: no samples of split '{split}', the index has {found}; choose one of these")
        self.scenes, self.is_training, self.seed, self.zoom_range = scenes, is_training, seed, zoom_range

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, place: int | tuple[int, int]) -> Sample:
        """Sample number ``index`` (of epoch 0), or number ``place[1]`` of epoch ``place[0]``."""
        epoch, index = place if isinstance(place, tuple) else (0, place)
        stored = self.reader.decode(self.entries[index])
        box = crop_box(stored.person_box)
        if self.is_training:
            draws = draw(self.seed, epoch, stored.key)
            jitter = max_jitter_px(*stored.image_size)
            box = crop_box(stored.person_box, zoom_range=self.zoom_range, jitter_px=jitter, draws=draws)
        return make_sample(stored, box, self.scenes)


def epoch_order(length: int, seed: int, epoch: int) -> Int[ndarray, " length"]:
    """A permutation that depends on the arguments alone."""
    return np.random.Generator(np.random.Philox(key=(seed << 64) | epoch)).permutation(length)


class _EpochBatches(Sampler[list[tuple[int, int]]]):
    """Batches of (epoch, index) of the epoch set last."""

    def __init__(self, length: int, batch_size: int, *, seed: int | None, drop_last: bool) -> None:
        self.length, self.batch_size, self.seed, self.drop_last = length, batch_size, seed, drop_last
        self.epoch, self.first = 0, 0

    def __len__(self) -> int:
        whole, rest = divmod(self.length, self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order: Sequence[int] | ndarray = range(self.length)
        if self.seed is not None:
            order = epoch_order(self.length, self.seed, self.epoch)
        for batch in range(self.first, len(self)):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [(self.epoch, int(index)) for index in chosen]


class SampleLoader:
    """Batches of a data set, epoch by epoch; the same batches for any number of workers.

    Args:
        dataset: where samples come from.
        batch_size: samples per batch.
        shuffle_seed: permutes every epoch anew; None keeps the order of the keys.
        drop_last: leave out a last, smaller batch.
        num_workers: processes; 0 decodes in this one.
    """

    def __init__(
        self,
        dataset: SampleDataset,
        *,
        batch_size: int,
        shuffle_seed: int | None = None,
        drop_last: bool = False,
        num_workers: int = 0,
    ) -> None:
        self._batches = _EpochBatches(len(dataset), batch_size, seed=shuffle_seed, drop_last=drop_last)
        self._loader: DataLoader[Sample] = DataLoader(
            dataset,
            batch_sampler=self._batches,
            collate_fn=collate,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            worker_init_fn=_quiet_worker,
        )

    def __len__(self) -> int:
        return len(self._batches)

    def epoch(self, epoch: int, *, first_batch: int = 0) -> Iterator[Batch]:
        """Batches of one epoch, from ``first_batch`` on (to resume in its middle)."""
        self._batches.epoch, self._batches.first = epoch, first_batch
        yield from self._loader

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)


def _quiet_worker(_worker: int) -> None:
    """One thread per worker process: they already share the cores."""
    cv2.setNumThreads(0)


def make_loader(
    dataset: SampleDataset, *, batch_size: int, seed: int | None = None, num_workers: int = 0
) -> SampleLoader:
    """Loader for training (``seed`` given: shuffled, short last batch left out) or evaluation (``seed`` None).

    A data set smaller than one batch keeps its short batch.
    """
    drop_last = seed is not None and len(dataset) >= batch_size
    return SampleLoader(dataset, batch_size=batch_size, shuffle_seed=seed, drop_last=drop_last, num_workers=num_workers)
