"""Where scores come from: predictors and their checkpoints, data, code, and the frames that no rule let in."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sahmr
import schemas
from sahmr.errors import ShardError
from sahmr.files import file_sha256
from sahmr.remote import Place, RemotePath
from sahmr.scores.predictions import ORACLES, Predictions
from sahmr.shards.reader import INDEX_NAME

_OURS = "sahmr."  # begins what stages write into a table's metadata
_SCHEMA = ("schema", "schema_version", "stage")  # says nothing of the predictor


def describe_scores(
    predictors: Sequence[Predictions], split: str, *, shards: Place, scenes: Place, bodies: Path, counts: Path
) -> dict[str, Any]:
    """What ``about`` in ``reports/<dataset>_metrics.json`` holds. The same files give the same words.

    Args:
        predictors: whose tables were scored; the first has the oracles.
        split: which they cover.
        shards, bodies: folders.
        scenes: the scene store's manifest.
        counts: what the stage ``frames`` kept and dropped, if it is there.

    Raises:
        ShardError: if ``counts`` is damaged.
    """
    files: dict[str, Place] = {"shards": shards / INDEX_NAME, "scenes": scenes, "bodies": bodies / "manifest.json"}
    data = {name: _sha256(path) for name, path in files.items() if path.is_file()}
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(data.items()))
    return {
        "split": split,
        "predictors": {each.predictor: _facts(each) for each in predictors},
        "oracles": dict.fromkeys(ORACLES, predictors[0].predictor),
        "data": {"fingerprint": hashlib.sha256(lines.encode()).hexdigest(), **data},
        "code": {"version": importlib.metadata.version("sahmr-pipeline"), "sha256": _code_sha256()},
        "frames": _frames(counts, split) if counts.is_file() else {},
    }


def _sha256(path: Place) -> str:
    return path.sha256 if isinstance(path, RemotePath) else file_sha256(path)


def _facts(predictions: Predictions) -> dict[str, str]:
    """All that the writer of a table put into its metadata: the checkpoint's SHA-256 and switches, the precision."""
    facts = {name.removeprefix(_OURS): text for name, text in predictions.facts.items() if name.startswith(_OURS)}
    known = {name: text for name, text in sorted(facts.items()) if name not in _SCHEMA}
    return {"table_sha256": file_sha256(predictions.path), **known}


def _code_sha256() -> str:
    """Of the library's source, file by file."""
    digest = hashlib.sha256()
    for package in (sahmr, schemas):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            digest.update(f"{file_sha256(path)}  {folder.name}/{path.relative_to(folder).as_posix()}\n".encode())
    return digest.hexdigest()


def _frames(counts: Path, split: str) -> dict[str, Any]:
    try:
        found = json.loads(counts.read_text(encoding="utf-8"))
        dropped = {str(rule): int(by[split]) for rule, by in sorted(found["dropped"].items()) if split in by}
        return {"kept": int(found["kept"].get(split, 0)), "dropped": dropped}
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise ShardError(f"{counts}: no counts of frames ({problem!r}); rebuild with: dvc repro frames") from None
