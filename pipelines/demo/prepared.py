"""Write the folders that the authors of SA-HMR prepared of RICH and PROX, derived from the demo's raw trees."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pipelines.environment  # noqa: F401  # before numpy loads

# isort: split
from pipelines.demo.__main__ import TREES
from pipelines.stage import log, stage
from sahmr.demo.publishers.prepared import Preparation, PreparedCounts, write_prepared
from sahmr.errors import SettingsError
from sahmr.files import publish_folder
from sahmr.scenes.build import Scenes
from sahmr.settings import Paths, load_section

OUTPUT = Path("data/demo_prepared")
_FIELD_SIDE = 128


def run(output: Path, *, rich: Path, prox: Path, bodies: Path, pitch_m: float, side: int) -> PreparedCounts:
    """Replace ``output`` by ``RICH`` and ``PROX`` folders as the authors prepared them.

    Args:
        output: where they go.
        rich, prox: raw trees of the demo.
        bodies: output folder of the stage ``bodies``.
        pitch_m: side of the scenes' voxels, metres.
        side: samples along each axis of a distance field.

    Raises:
        SettingsError: if a tree or the bodies are not there.
    """
    for path, remedy in ((rich, "demo"), (prox, "demo"), (bodies / "transfer.npz", "bodies")):
        if not path.exists():
            raise SettingsError(f"{path}: not there; the prepared folders are made from it; run: dvc repro {remedy}")
    with publish_folder(output) as partial:
        job = Preparation(
            rich=rich.resolve(),
            prox=prox.resolve(),
            bodies=bodies.resolve(),
            output=partial,
            voxel_pitch_m=pitch_m,
            field_side=side,
        )
        return write_prepared(job)


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Make the folders and say what was made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=OUTPUT, help=f"folder, replaced; default {OUTPUT}")
    output = parser.parse_args(argv).output
    paths, pitch_m = load_section("paths", Paths), load_section("scenes", Scenes).voxel_pitch_m
    paths.keep_apart("--output", output)
    made = run(output, rich=TREES.rich, prox=TREES.prox, bodies=paths.bodies, pitch_m=pitch_m, side=_FIELD_SIDE)
    log.info("prepared: %d RICH frames in %s, %d PROX frames in %s", made.rich, output / "RICH", made.prox,
             output / "PROX")  # fmt: skip


if __name__ == "__main__":
    main()
