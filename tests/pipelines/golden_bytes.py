"""What the conversion stages write for fixed little inputs; ``python -m tests.pipelines.golden_bytes`` records it."""

from __future__ import annotations

import pipelines.environment  # noqa: F401  # before numpy loads: the kernels of every conversion process

# isort: split
import hashlib
import json
import sys
import tempfile
from pathlib import Path

from pipelines import frames, scenes, shards
from pipelines.conversion.work_store import library_versions
from sahmr.readers.prox import ProxRules
from tests.worlds import raw_trees as trees
from tests.worlds import small

GOLDEN = Path(__file__).with_suffix(".json")


def digest(*folders: Path) -> str:
    """SHA-256 over names and contents of all files but manifests, which say the same over again."""
    found = [
        {name: sha256 for name, sha256 in small.hashes(folder).items() if not name.endswith("manifest.json")}
        for folder in folders
    ]
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def frames_digest(root: Path) -> str:
    """Both datasets' tables from the small raw trees."""
    roots = {"rich": trees.write_rich(root / "RICH"), "prox": trees.write_prox(root / "PROX")}
    trees.write_bodies(root / "bodies")
    rules = {"rich": trees.RULES, "prox": ProxRules(parts=("quantitative",))}
    for dataset, raw in roots.items():
        frames.run(dataset, rules[dataset], small.paths_of(root), small.PARALLEL, raw=raw)
    return digest(root / "frames")


def scenes_digest(root: Path) -> str:
    """The store of an empty room."""
    small.write_world(root)
    scenes.run("rich", small.SCENES, small.paths_of(root), small.PARALLEL, raw=root / "raw")
    return digest(root / "scenes")


def shards_digest(root: Path) -> str:
    """Tars and index of eleven samples, two of them without ground truth."""
    small.write_world(root, [*small.records(), *small.own_records()])
    shards.open_reader = lambda *_, **__: small.SmallReader(root / "raw")
    shards.run("rich", small.SHARDS, small.paths_of(root), small.PARALLEL, raw=root / "raw")
    return digest(root / "shards")


def measure() -> dict[str, object]:
    """Version and digest per stage, and the libraries they were made with."""
    stages = {"frames": (frames, frames_digest), "scenes": (scenes, scenes_digest), "shards": (shards, shards_digest)}
    found: dict[str, object] = {"libraries": library_versions()}
    for name, (module, function) in stages.items():
        with tempfile.TemporaryDirectory() as folder:
            found[name] = {"version": module.VERSION, "sha256": function(Path(folder).resolve())}
    return found


if __name__ == "__main__":
    text = json.dumps(measure(), indent=2, sort_keys=True) + "\n"
    if sys.argv[1:] == ["--print"]:
        print(text)
    else:
        GOLDEN.write_text(text)
