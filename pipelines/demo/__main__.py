"""Stage ``demo``: write a licence-free dataset in the raw layouts of RICH, PROX and the body models."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pipelines.conversion.parallel import map_ordered, worker_count
from pipelines.stage import stage
from sahmr.demo.generate import Demo, generate
from sahmr.settings import Raw, load_section

HOME = Path("data/demo")  # pipelines/demo/dvc.yaml declares the three folders below as outputs
# Always there, whatever `raw` says: elsewhere may lie licensed data, which this stage must never touch.
TREES = Raw(rich=HOME / "RICH", prox=HOME / "PROX", bodies=HOME / "body_models")
log = logging.getLogger("sahmr")


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Make the trees and say what was made."""
    params = load_section("demo", Demo)
    run = partial(map_ordered, workers=worker_count(), label="demo", unit="camera")
    made = generate(TREES, params, run=run)
    log.info(
        "demo: %d RICH images in %s, %d PROX images in %s, body models in %s",
        made.rich_images, TREES.rich, made.prox_images, TREES.prox, TREES.bodies,
    )  # fmt: skip


if __name__ == "__main__":
    main()
