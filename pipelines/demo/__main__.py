"""Stage ``demo``: write a licence-free dataset in the raw layouts of RICH, PROX and the body models."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pipelines.conversion.parallel import Parallel, map_ordered
from pipelines.stage import stage
from sahmr.demo.generate import Demo, Trees, generate
from sahmr.settings import load_section

HOME = Path("data/demo")  # pipelines/demo/dvc.yaml declares the three folders below as outputs
# Always there, whatever `raw` says: elsewhere may lie licensed data, which this stage must never touch.
TREES = Trees.below(HOME)
log = logging.getLogger("sahmr")


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Make the trees and say what was made."""
    run(load_section("demo", Demo), load_section("parallel", Parallel))


def run(settings: Demo, parallel: Parallel) -> None:
    """Write the three trees below ``data/demo``."""
    mapper = partial(map_ordered, workers=parallel.workers, label="demo", unit="camera")
    made = generate(TREES, settings, run=mapper)
    log.info(
        "demo: %d RICH images in %s, %d PROX images in %s, body models in %s",
        made.rich_images, TREES.rich, made.prox_images, TREES.prox, TREES.bodies,
    )  # fmt: skip


if __name__ == "__main__":
    main()
