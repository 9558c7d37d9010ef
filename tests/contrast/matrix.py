"""Orders of one epoch through Grain and through our loader, for all numbers of ranks and workers: by hand, minutes."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from sahmr.batches.dataset import SampleDataset
from tests.contrast import test_grain
from tests.worlds import small

SAMPLES, BATCH = 50, 24  # a batch that 1, 2, 3, 4 and 8 ranks share evenly, as Grain needs it; a short one at the end
RANKS, WORKERS = (1, 2, 3, 4, 8), (0, 1, 2, 4)


def main() -> None:
    """Print, for each cell, which of the orders found so far it has, and how many of the samples."""
    test_grain.BATCH = BATCH
    with tempfile.TemporaryDirectory() as name:
        world = Path(name) / "world"
        small.write_world(world, [small.record(number) for number in range(SAMPLES)])
        samples = SampleDataset(world / "shards/rich", world / "scenes/rich.zarr", "train", is_training=True, seed=3)
        known: dict[str, dict[str, int]] = {"ours": {}, "Grain": {}}
        for ranks in RANKS:
            for workers in WORKERS:
                found = {
                    "ours": test_grain.through_ours(samples, ranks, workers),
                    "Grain": test_grain.through_grain(samples, ranks, workers)[0],
                }
                said = []
                for way, steps in found.items():
                    digest = hashlib.sha256(repr([sorted(step) for step in steps]).encode()).hexdigest()
                    number = known[way].setdefault(digest, len(known[way]) + 1)
                    said.append(f"{way}: order {number}, {len({key for step in steps for key in step})} samples")
                print(f"{ranks} ranks, {workers} workers: {'; '.join(said)}", flush=True)
        print(", ".join(f"{way}: {len(orders)} different" for way, orders in known.items()))


if __name__ == "__main__":
    main()
