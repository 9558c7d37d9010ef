"""Tool: free the space of finished pieces that nothing uses any more."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from pipelines.conversion.work_store import WorkStore
from pipelines.stage import log, stage
from sahmr.settings import Paths, load_section

# Stages whose outputs are links to their pieces; the pieces of frames are tiny.
_LINKED = ("scenes", "shards", "train_rcnet", "train_sahmr")


def prune(store: WorkStore, *, dry_run: bool) -> dict[str, Any]:
    """Discard every piece of which neither an output nor DVC's cache holds a link; returns counts and bytes.

    Safe while a conversion runs only if that conversion is not about to link a piece made earlier: stop it first.
    """
    freed = {"bytes": 0, "pieces": 0}
    for name in _LINKED:
        for receipt in store.unlinked(name):
            freed["bytes"] += receipt.size
            freed["pieces"] += 1
            if not dry_run:
                store.discard(name, receipt.key)
    return freed


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Prune the work store of ``paths.work``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="count only")
    asked = parser.parse_args(argv)
    store = WorkStore(root=load_section("paths", Paths).work.resolve())
    left = store.sweep()
    freed = prune(store, dry_run=asked.dry_run)
    done = "would free" if asked.dry_run else "freed"
    log.info(
        "work store %s: %s %d unused pieces, %.1f MB; removed %d unfinished ones",
        store.root, done, freed["pieces"], freed["bytes"] / 1e6, left,
    )  # fmt: skip


if __name__ == "__main__":
    main()
