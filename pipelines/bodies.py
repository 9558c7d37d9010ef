"""Stage ``bodies``: the licensed SMPL files to clean arrays that later stages read without pickles or chumpy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pipelines.stage import log, stage
from sahmr.body.build_topology import write_topology
from sahmr.body.files import BodyFiles, find_body_files
from sahmr.body.model import body_model, clean_path, read_official, write_clean
from sahmr.body.transfer import TRANSFER_FILE, read_transfer, write_transfer
from sahmr.files import MANIFEST_NAME, publish_folder, write_manifest
from sahmr.settings import AnyPath, Between, Paths, load_section, settings


@settings
class Bodies:
    """Section ``bodies`` of params.yaml.

    Attributes:
        raw: folder of the publishers' body-model files.
        num_betas: shape directions kept of every model; RICH and PROX store 10 coefficients.
    """

    raw: AnyPath
    num_betas: Annotated[int, Between(10, 300)]


def write_models(files: BodyFiles, folder: Path, params: Bodies) -> int:
    """Write ``SMPLX_*.npz`` and, where present, ``SMPLH_*.npz``, but not SMPL; returns how many."""
    models = [("smplx", gender, path) for gender, path in files.smplx.items()]
    models += [("smplh", gender, path) for gender, path in files.smplh.items()]
    for kind, gender, path in models:
        arrays = read_official(path, kind, num_betas=params.num_betas)
        write_clean(clean_path(folder, kind, gender), kind, arrays, params.num_betas)
    return len(models)


def run(settings: Bodies, paths: Paths) -> None:
    """Check the raw body files, then write clean models, the transfer matrix and the topology tables.

    Raises:
        BodyModelError: listing missing files, or naming one that is not what it must be.
    """
    files = find_body_files(settings.raw)
    with publish_folder(paths.bodies) as folder:
        count = write_models(files, folder, settings)
        write_transfer(folder / TRANSFER_FILE, read_transfer(files.transfer))
        arrays = read_official(files.smpl_neutral, "smpl", num_betas=settings.num_betas)
        write_clean(clean_path(folder, "smpl", "neutral"), "smpl", arrays, settings.num_betas)
        neutral = body_model(arrays, "smpl", settings.num_betas)
        write_topology(
            folder, neutral, regressor=files.joint_regressor, downsampling=files.downsampling, parts=files.parts
        )
        write_manifest(folder / MANIFEST_NAME, stage="bodies", dataset=None)
    log.info("bodies: %d models, transfer matrix and topology -> %s", count + 1, paths.bodies)


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read section ``bodies`` and run the stage."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    section, paths = load_section("bodies", Bodies), load_section("paths", Paths)
    paths.keep_apart("bodies.raw", section.raw)
    run(section, paths)


if __name__ == "__main__":
    main()
