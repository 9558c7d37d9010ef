"""SMPL parameters of meshes: fits per second and what is left over. Part of ``make bench``.

On bodies of the demo's SMPL with random shapes and bends. Processor time is also divided by that of one forward and
backward pass of the package ``smplx`` over as many bodies, which is what one step of a gradient descent costs. Needs
the output of ``bodies`` (``make repro`` makes it).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch

from sahmr.body.fit import fit_smpl
from sahmr.body.model import SMPL_FILE, load_clean
from sahmr.body.posed import Bodies, smpl_tables
from sahmr.geometry.rotation import rotation_matrices
from tests.benchmarks.figures import record
from tests.imports import ROOT
from tests.worlds.bodies import smplx_package

COUNT, ROUNDS = 32, 5
BEND_RAD = (0.5, 1.2)  # standard deviation about each axis


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Of the clock and of the processor, the fastest round of each."""
    found = []
    for _ in range(ROUNDS):
        wall, processor = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - processor))
    return min(each[0] for each in found), min(each[1] for each in found)


def main() -> None:
    """Print fits a second, ratio and residuals for small and for large bends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bodies", type=Path, default=ROOT / "data/bodies", help="output of the stage bodies")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if not (args.bodies / SMPL_FILE).is_file():
        print(f"{args.bodies / SMPL_FILE} is not there: run make repro first; nothing measured")
        return
    torch.set_num_threads(args.threads)
    model = load_clean(args.bodies / SMPL_FILE)
    tables, package, draw = smpl_tables(model), smplx_package(model, COUNT), torch.Generator().manual_seed(0)

    def step() -> None:
        package(body_pose=torch.zeros(COUNT, 69, requires_grad=True)).vertices.square().sum().backward()

    figures: dict[str, dict[str, float]] = {}
    for bend in BEND_RAD:
        pose = bend * torch.randn(COUNT, 24, 3, generator=draw)
        shape, place = torch.randn(COUNT, 10, generator=draw), torch.randn(COUNT, 3, generator=draw)
        vertices = Bodies(tables=tables, local=rotation_matrices(pose), betas=shape, transl=place).vertices
        residual = fit_smpl(tables, vertices).residual_mm
        (wall, processor), (_, pass_processor) = seconds(lambda v=vertices: fit_smpl(tables, v)), seconds(step)
        figures[f"bends of {bend} rad"] = {
            "meshes_per_second": round(COUNT / wall, 1), "meshes_per_cpu_second": round(COUNT / processor, 1),
            "smplx_passes": round(processor / pass_processor, 2),
            "mean_residual_mm": round(float(residual.mean()), 4), "worst_residual_mm": round(float(residual.max()), 4),
        }  # fmt: skip
        print(f"bends of {bend} rad, {args.threads} threads:", figures[f"bends of {bend} rad"], flush=True)
    record(args.out, "python -m tests.benchmarks.fit", figures)


if __name__ == "__main__":
    main()
