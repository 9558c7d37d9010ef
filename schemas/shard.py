"""Where each sample lies inside the tars: the index the stage ``shards`` writes beside them."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.fields import column, schema

SHARD_INDEX_SCHEMA = schema(
    "shard_index",
    (
        column("key", pa.string()),
        column("split", pa.string()),
        column("sequence", pa.string()),
        column("scene_key", pa.string()),
        column("shard", pa.string(), note="tar file name, relative to the index"),
        column("offset", pa.int64(), unit="byte", note="first byte of the sample's first tar header"),
        column("length", pa.int64(), unit="byte", note="headers and padding included"),
        column("sha256", pa.string(), note="of these bytes"),
        column("has_body", pa.bool_(), note="whether there is ground truth", since="2.1", default=True),
        column("has_contact", pa.bool_(), nullable=True, note="whether there are labels", since="2.2"),
        column("crc32c", pa.int64(), nullable=True, note="Castagnoli, of the bytes of sha256", since="2.2"),
    ),
    version="2.2",  # 2.1: has_body; 2.2: has_contact, crc32c
    stage="shards",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry:
    """A sample's byte range. One ``os.pread(fd, length, offset)`` brings a valid tar fragment."""

    key: str
    split: str
    sequence: str
    scene_key: str
    shard: str
    offset: int
    length: int
    sha256: str
    has_body: bool
    has_contact: bool | None = None
    crc32c: int | None = None
