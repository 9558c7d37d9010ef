"""A published dataset, used without this repository: ``open_dataset(address)``; nothing is written anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from sahmr.published import Parts, find_published
from sahmr.scenes.arrays import SceneArrays, list_scenes, read_scene
from sahmr.shards.decode import StoredSample
from sahmr.shards.reader import ShardReader, find_key, read_index
from schemas.fields import Rows, read_table
from schemas.frame import FRAME_SCHEMA
from schemas.shard import ShardEntry

if TYPE_CHECKING:
    from sahmr.batches.dataset import SampleDataset


class Dataset:
    """Frames, samples and scenes of one version of a dataset; samples are in the order of their keys.

    A sample costs one ranged read, a scene its own chunks, the tables one read each; all are compared with the
    SHA-256 that the publisher stated. It can be pickled, and used by several processes.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts, self._reader = parts, ShardReader(parts.shards)

    @property
    def name(self) -> str:
        """Of the dataset: rich, prox."""
        return self._parts.dataset

    @property
    def version(self) -> str:
        """SHA-256 of the manifest that all others hang on: equal exactly if every published byte is."""
        return self._parts.root.published.version

    @cached_property
    def frames(self) -> pa.Table:
        """The frame table; each column's metadata has its unit, frame and meaning."""
        return read_table(self._parts.frames / f"{self.name}.parquet", FRAME_SCHEMA)

    @cached_property
    def entries(self) -> Rows[ShardEntry]:
        """The shard index: which sample lies where. ``entries.table`` has it as an Arrow table."""
        return read_index(self._parts.shards)

    @property
    def splits(self) -> list[str]:
        """Names of its splits, sorted."""
        return sorted(pc.unique(self.entries.table.column("split").cast(pa.string())).to_pylist())

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, place: Any) -> Any:
        """A sample by its number or key; samples by a slice.

        Raises:
            KeyError: if there is no such key; it names the nearest.
            RemoteError: if it cannot be had or is not what was published.
        """
        if isinstance(place, slice):
            return [self._reader.decode(entry) for entry in self.entries[place]]
        number = find_key(self.entries, place, of=self.name) if isinstance(place, str) else place
        return self._reader.decode(self.entries[number])

    def __iter__(self) -> Iterator[StoredSample]:
        return map(self._reader.decode, self.entries)

    @property
    def scene_keys(self) -> list[str]:
        """Keys of its scenes, sorted."""
        return list_scenes(self._parts.scenes)

    def scene(self, key: str) -> SceneArrays:
        """A scene: voxel centres and distance field. Errors as :func:`sahmr.scenes.arrays.read_scene`."""
        return read_scene(self._parts.scenes, key)

    def torch_dataset(self, split: str, **options: Any) -> SampleDataset:
        """Samples of a split as the network sees them: cropped, with the scene points in view. Loads torch.

        Args:
            split: one of ``splits``.
            options: of :class:`sahmr.batches.dataset.SampleDataset`: ``is_training``, ``seed``, ``zoom_range``.
        """
        from sahmr.batches.dataset import SampleDataset  # not earlier: it loads torch

        return SampleDataset(self._parts.shards, self._parts.scenes, split, **options)


def open_dataset(url: str, dataset: str | None = None, *, options: Mapping[str, Any] | None = None) -> Dataset:
    """Open a published dataset.

    Args:
        url: of the folder that holds ``catalog/``, or of the manifest in it: a path, ``s3://``, ``ssh://``,
            ``http(s)://``, or whatever else fsspec has a package for.
        dataset: its name; not needed if the folder holds one.
        options: what fsspec's filesystem takes: endpoint, user, key file.

    Raises:
        RemoteError: if there is none, it cannot be reached, or its manifests do not fit together.
    """
    return Dataset(find_published(url, dataset, options=options))
