"""Conversion stages in one process: ``python -m tests.soak.road frames:rich shards:rich`` (imports take seconds)."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
STAGES = tuple(f"{stage}:{dataset}" for stage in ("frames", "scenes", "shards") for dataset in ("rich", "prox"))
OUTPUTS = ("frames", "scenes", "shards")  # of section ``paths``


def write_params(folder: Path, demo: str, *, workers: int = 0, bodies: str = "data/bodies") -> None:
    """``params.yaml`` of a run on the demo data: coarse scenes and small shards, so that it takes seconds.

    Args:
        folder: the run's working directory; outputs and work store go below its ``data``.
        demo: folder of ``RICH``, ``PROX`` and ``body_models``.
        workers: see ``parallel.workers``.
        bodies: output of the stage ``bodies``.
    """
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["raw"] = {"rich": f"{demo}/RICH", "prox": f"{demo}/PROX"}
    params["bodies"]["raw"] = f"{demo}/body_models"
    params["paths"]["bodies"] = bodies
    params["scenes"] |= {"voxel_pitch_m": 0.1, "sdf_spacing_m": 0.5}
    params["shards"] |= {"samples_per_shard": 4}
    params["parallel"]["workers"] = workers
    params["network"]["initial_checkpoint"] = None  # nothing is trained here
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def main(names: list[str]) -> None:
    """Run stages as ``python -m pipelines.<stage> --dataset <dataset>`` does; the first failure ends it."""
    from tests.soak.delays import slow_down

    slow_down()
    for name in names:
        stage, _, dataset = name.partition(":")
        sys.argv = [f"pipelines.{stage}", *(["--dataset", dataset] if dataset else [])]
        runpy.run_module(f"pipelines.{stage}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
