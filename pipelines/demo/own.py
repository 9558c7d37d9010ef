"""Stage ``capture``: write a phone's capture and a tripod's, laid out as docs/own-scene.md says."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from pipelines.stage import stage
from sahmr.demo.publishers.own import CaptureSize, write_capture
from sahmr.errors import RawDataError
from sahmr.files import publish_folder
from sahmr.settings import Seed, load_section, settings

HOME = Path("../../data/own/capture")  # pipelines/own/capture/dvc.yaml declares it, from the folder pipelines/own
MODELS = Path("../../data/demo/body_models/models")  # what stage demo writes
log = logging.getLogger("sahmr")


@settings
class Capture:
    """Section ``capture`` of pipelines/own/params.yaml.

    Attributes:
        seed: people, poses, noise and holes.
    """

    seed: Seed


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Make the folder and say what was made; from the folder ``pipelines/own``."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    run(load_section("capture", Capture), MODELS, HOME)


def run(section: Capture, models: Path, home: Path, size: CaptureSize | None = None) -> None:
    """Write the folder, replacing what was there.

    Raises:
        RawDataError: if there are no body models.
    """
    if not models.is_dir():
        raise RawDataError(f"{models}: no such folder; run the command in the folder pipelines/own, after: dvc repro")
    with publish_folder(home) as folder:
        count = write_capture(folder, models, seed=section.seed, size=size)
    log.info("capture: %d pictures of 2 scenes in %s", count, home)


if __name__ == "__main__":
    main()
