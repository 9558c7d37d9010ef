"""What a Croissant file says of a dataset's files and records: shards and tables with SHA-256, fields with units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from catalog.croissant_terms import ORIGINS, activity
from schemas.frame import FRAME_SCHEMA

_SPLITS = {"train": "cr:TrainingSplit", "val": "cr:ValidationSplit", "test": "cr:TestSplit"}
_RAW_FILES = ("image_file", "body_file", "contact_file")  # columns that name what a record was made of
# With the key in front and any extension behind; a value it was applied to before stays as it is.
_KEY = r"^([^.]+)(?:\..*)?$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A file of the dataset.

    Attributes:
        url: relative to the Croissant file.
        size, sha256: as its manifest says.
    """

    url: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """Of the file, without folders."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """All files that a Croissant file lists.

    Attributes:
        frames: the frame table.
        shards: tars.
        others: tables and manifests beside them, by identifier: each with its stage.
        members: extensions of the tars' members.
        splits: that occur.
    """

    frames: Listed
    shards: tuple[Listed, ...]
    others: Mapping[str, tuple[Listed, str]]
    members: tuple[str, ...]
    splits: tuple[str, ...]


def distribution(files: Files, version: str) -> list[dict[str, Any]]:
    """FileObjects with their SHA-256, and a FileSet for each kind of member.

    Patterns name no folder: ``**/*.jpg`` asks for a slash that no member of ours has, and would match nothing.
    """
    made = [_file("frame-table", files.frames, "application/x-parquet", "frames", version)]
    made += [_file(shard.name, shard, "application/x-tar", "shards", version) for shard in files.shards]
    for name, (listed, stage) in files.others.items():
        encoding = "application/x-parquet" if listed.name.endswith(".parquet") else "application/json"
        made.append(_file(name, listed, encoding, stage, version))
    formats = {"jpg": "image/jpeg", "json": "application/json"}
    made += [
        {
            "@id": _member_set(extension),
            "@type": "cr:FileSet",
            "name": f"*.{extension}",
            "description": f"Members {extension} of all shards, one per sample.",
            "containedIn": [{"@id": shard.name} for shard in files.shards],
            "encodingFormat": formats.get(extension, "application/octet-stream"),
            "includes": f"*.{extension}",
        }
        for extension in files.members
    ]
    return made


def _file(name: str, listed: Listed, encoding: str, stage: str, version: str) -> dict[str, Any]:
    origins = [{"@id": origin} for origin in ORIGINS[stage]]
    lineage = {"prov:wasDerivedFrom": origins, "prov:wasGeneratedBy": {"@id": activity(stage)}}
    return {
        "@id": name,
        "@type": "cr:FileObject",
        "name": listed.name,
        "contentSize": f"{listed.size} B",
        "contentUrl": listed.url,
        "encodingFormat": encoding,
        "sha256": listed.sha256,
        **(lineage if version == "1.1" else {}),
    }


def _member_set(extension: str) -> str:
    return f"members-{extension.replace('.', '-')}"


def record_sets(files: Files, version: str) -> list[dict[str, Any]]:
    """Splits; rows of the frame table; samples, picture and columns joined by key; the other members by key."""
    splits = {
        "@id": "splits",
        "@type": "cr:RecordSet",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@id": "splits/name", "@type": "cr:Field", "dataType": "sc:Text"},
            {"@id": "splits/url", "@type": "cr:Field", "dataType": "sc:URL"},
        ],
        "data": [{"splits/name": name, "splits/url": _SPLITS[name]} for name in files.splits],
    }
    frames = {
        "@id": "frames",
        "@type": "cr:RecordSet",
        "name": "frames",
        "description": "One usable person-image per row of the frame table.",
        "key": {"@id": "frames/key"},
        "field": list(_columns("frames", version)),
    }
    others = [_members(extension) for extension in files.members if extension not in ("jpg", "json")]
    return [splits, frames, _samples(version), *others]


def _samples(version: str) -> dict[str, Any]:
    picture = {"fileSet": {"@id": _member_set("jpg")}, "extract": {"fileProperty": "content"}}
    image = _field("samples/image", "sc:ImageObject", "picture of the stored region, RGB, un-mirrored", picture)
    joined = _columns("samples", version)
    key = {**next(joined), "source": _key_of("jpg"), "references": _column("key")}
    return {
        "@id": "samples",
        "@type": "cr:RecordSet",
        "name": "samples",
        "description": "One sample per record: its picture out of a shard, joined with its row of the frame table.",
        "key": {"@id": "samples/key"},
        "field": [key, image, *joined],
    }


def _members(extension: str) -> dict[str, Any]:
    """The bytes of one kind of member."""
    name = extension.partition(".")[0]
    content = {"fileSet": {"@id": _member_set(extension)}, "extract": {"fileProperty": "content"}}
    return {
        "@id": name,
        "@type": "cr:RecordSet",
        "name": name,
        "description": f"Members {extension}: bytes of a NumPy file; docs/schemas.md, section sample, has its shape.",
        "key": {"@id": f"{name}/key"},
        "field": [
            _field(f"{name}/key", "sc:Text", "unique img_key", _key_of(extension)),
            _field(f"{name}/npy", "sc:Text", f"bytes of {extension}", content),
        ],
    }


def _key_of(extension: str) -> dict[str, Any]:
    return {
        "fileSet": {"@id": _member_set(extension)},
        "extract": {"fileProperty": "filename"},
        "transform": {"regex": _KEY},
    }


def _column(name: str) -> dict[str, Any]:
    return {"fileObject": {"@id": "frame-table"}, "extract": {"column": name}}


def _field(name: str, kind: str, description: str, source: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "@id": name,
        "@type": "cr:Field",
        "name": name.rpartition("/")[2],
        "description": description,
        "dataType": kind,
        "source": source,
    }


def _columns(record_set: str, version: str) -> Iterator[dict[str, Any]]:
    """A field for each column of the frame table, the key first; unit and frame stand in the description."""
    for column in FRAME_SCHEMA:
        meta = {key.decode(): text.decode() for key, text in (column.metadata or {}).items()}
        said = [meta.get("note", ""), *(f"{word}: {meta[word]}" for word in ("unit", "frame") if word in meta)]
        kind = column.type.value_type if pa.types.is_fixed_size_list(column.type) else column.type
        name = f"{record_set}/{column.name}"
        field = _field(name, _data_type(kind), "; ".join(filter(None, said)) or column.name, _column(column.name))
        if pa.types.is_fixed_size_list(column.type):
            length = str(column.type.list_size)
            field |= {"isArray": True, "arrayShape": length} if version == "1.1" else {"repeated": True}
        if version == "1.1" and column.name in _RAW_FILES:
            field["equivalentProperty"] = "prov:wasDerivedFrom"
        yield field


def _data_type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"
