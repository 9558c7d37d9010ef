"""Small pictures of some samples of a dataset. Stands on the library's shard reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from sahmr.report.html import picture_uri
from sahmr.shards.crop import crop_box
from sahmr.shards.decode import StoredSample, crop_stored
from sahmr.shards.reader import INDEX_NAME, ShardReader
from schemas.fields import Rows, read_table
from schemas.shard import SHARD_INDEX_SCHEMA, ShardEntry

COUNT = 8  # of a dataset
_SIDE_PX, _QUALITY = 144, 78


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """A sample's crop.

    Attributes:
        key: of the sample.
        split: it is in.
        uri: the picture itself.
    """

    key: str
    split: str
    uri: str


def make_thumbnails(folder: Path) -> tuple[Thumbnail, ...]:
    """Crops of samples that lie equally far apart in the index, sorted by split and key; of shards that are here.

    Args:
        folder: of a dataset's shards; without an index there are none.

    Raises:
        ShardError, SchemaError: if a sample or the index is damaged.
    """
    if not (folder / INDEX_NAME).is_file():
        return ()
    table, reader = read_table(folder / INDEX_NAME, SHARD_INDEX_SCHEMA), ShardReader(folder)
    index = Rows(table, ShardEntry)
    names = zip(*(table.column(name).to_pylist() for name in ("split", "key", "shard")), strict=True)
    there = {shard for shard in table.column("shard").unique().to_pylist() if (folder / shard).is_file()}
    order = [place for *_, shard, place in sorted((*row, place) for place, row in enumerate(names)) if shard in there]
    chosen = np.unique(np.linspace(0, len(order) - 1, min(COUNT, len(order))).round().astype(int)).tolist()
    found = []
    for place in chosen:
        entry = index[order[place]]
        picture = _crop(reader.decode(entry, verify=True))
        found.append(Thumbnail(key=entry.key, split=entry.split, uri=picture_uri(picture, _QUALITY)))
    reader.close()
    return tuple(found)


def _crop(sample: StoredSample) -> UInt8[ndarray, "side side 3"]:
    """What the network sees, smaller."""
    crop = crop_stored(sample, crop_box(sample.person_box))
    small: UInt8[ndarray, "side side 3"] = cv2.resize(crop, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    return small
