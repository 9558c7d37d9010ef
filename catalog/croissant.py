"""A dataset as Croissant, the vocabulary that search engines and loaders of datasets share; versions 1.1 and 1.0."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from catalog.croissant_records import Files, Listed, distribution, record_sets
from catalog.croissant_terms import conforms_to, context, provenance, responsible_ai, usage_info
from catalog.entry import Entry
from sahmr.files import MANIFEST_NAME, file_sha256, publish_text, read_manifest
from schemas.fields import read_table
from schemas.frame import FRAME_SCHEMA
from schemas.sample import SAMPLE_SCHEMA

NAMES = {"1.1": "croissant.json", "1.0": "croissant-1.0.json"}
STAGES = ("frames", "scenes", "shards")
_DIGITS = 12  # of the digest in a version


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """What the Croissant files of a dataset are made of.

    Attributes:
        dataset: its name in section ``raw``.
        entry: of its raw tree.
        frames: folder of frame tables.
        scenes: folder of scene stores.
        shards: folder of the datasets' folders of shards.
        settings: of the ``STAGES``, as params.yaml has them.
    """

    dataset: str
    entry: Entry
    frames: Path
    scenes: Path
    shards: Path
    settings: Mapping[str, Any]


def write_croissants(found: Described, folder: Path) -> list[Path]:
    """Write a dataset's Croissant files, ``<folder>/<dataset>/croissant.json`` and ``croissant-1.0.json``.

    Paths in them are relative to themselves. Same entry, settings and data, same bytes.

    Raises:
        ManifestError, SchemaError: if frame table or shards are missing, unfinished or damaged.
    """
    written = []
    for version, name in NAMES.items():
        path = folder / found.dataset / name
        text = json.dumps(croissant(found, path.parent, version), indent=2, ensure_ascii=False, allow_nan=False)
        if not path.is_file() or path.read_text(encoding="utf-8") != f"{text}\n":  # else it may be DVC's: let it be
            publish_text(path, f"{text}\n")
        written.append(path)
    return written


def croissant(found: Described, folder: Path, version: str) -> dict[str, Any]:
    """A dataset as JSON-LD.

    Args:
        found: what is described.
        folder: where the file will lie.
        version: of Croissant: 1.1 or 1.0; the latter has neither provenance nor conditions of use that a program reads.

    Raises:
        ManifestError, SchemaError: as :func:`write_croissants`.
    """
    entry, files = found.entry, list_files(found, folder)
    modern = {"usageInfo": usage_info(entry), **provenance(entry, found.settings)} if version == "1.1" else {}
    return {
        "@context": context(version),
        "@type": "sc:Dataset",
        "name": f"{found.dataset} of sahmr-pipeline",
        "description": f"{entry.title}, as sahmr-pipeline converts it. {entry.description}",
        "conformsTo": conforms_to(version),
        "alternateName": entry.title,
        "citeAs": entry.citation.bibtex.strip(),
        "creator": {"@type": "sc:Organization", "name": entry.publisher},
        "datePublished": entry.published,
        "inLanguage": "en",
        "keywords": list(entry.keywords),
        "license": entry.licence.url,
        "publisher": {"@type": "sc:Organization", "name": entry.owner},
        "url": entry.source if "://" in entry.source else entry.citation.url,
        "version": dataset_version(found),
        **responsible_ai(entry),
        **modern,
        "distribution": distribution(files, version),
        "recordSet": record_sets(files, version),
    }


def dataset_version(found: Described) -> str:
    """Semantic: of the format of samples, and behind the plus sign a digest of all files that the manifests list."""
    digest = file_sha256(found.shards / found.dataset / MANIFEST_NAME)
    return f"{SAMPLE_SCHEMA.metadata[b'sahmr.schema_version'].decode()}.0+{digest[:_DIGITS]}"


def list_files(found: Described, folder: Path) -> Files:
    """Files of a dataset with their SHA-256, as the manifests of their stages have them.

    Raises:
        ManifestError, SchemaError: as :func:`write_croissants`.
    """
    name, shards = found.dataset, found.shards / found.dataset
    tables = read_manifest(found.frames / f"{name}.manifest.json", stage="frames", dataset=name)
    packed = read_manifest(shards / MANIFEST_NAME, stage="shards", dataset=name)

    def listed(path: Path, said: tuple[int, str]) -> Listed:
        return Listed(url=Path(os.path.relpath(path, folder)).as_posix(), size=said[0], sha256=said[1])

    def itself(path: Path) -> Listed:
        return listed(path, (path.stat().st_size, file_sha256(path)))

    frame_table, scenes = f"{name}.parquet", found.scenes / f"{name}.manifest.json"
    frames = read_table(found.frames / frame_table, FRAME_SCHEMA, ["split", "body_file", "contact_file"])
    others = {
        "scene-table": (listed(found.frames / f"{name}_scenes.parquet", tables[f"{name}_scenes.parquet"]), "frames"),
        "shard-index": (listed(shards / "index.parquet", packed["index.parquet"]), "shards"),
        "shard-manifest": (itself(shards / MANIFEST_NAME), "shards"),
    }
    if scenes.is_file():
        others["scene-manifest"] = (itself(scenes), "scenes")
    has = {"vertices.npy": "body_file", "contact.npy": "contact_file"}
    some = [member for member, column in has.items() if frames.column(column).null_count < len(frames)]
    return Files(
        frames=listed(found.frames / frame_table, tables[frame_table]),
        shards=tuple(listed(shards / tar, said) for tar, said in sorted(packed.items()) if tar.endswith(".tar")),
        others=others,
        members=("jpg", "json", *some),
        splits=tuple(sorted(pc.unique(frames.column("split")).to_pylist())),
    )
