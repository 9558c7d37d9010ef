"""The published network on one CUDA device: forwards, both trainings' steps, peak memory, and what bfloat16 costs.

Every figure is a median; the device is waited for before and after each call. Batches grow until twice the samples no
longer bring a tenth more samples per second, or memory ends. ``--size demo --device cpu`` only shows that it runs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import get_args

import torch

from sahmr.losses import weighted_sum
from sahmr.network.precision import Precision, reduced
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import OWN, NetworkSize
from sahmr.structures import Batch, Targets, move_to
from sahmr.training.build import SIZES
from sahmr.training.mesh_task import MeshTask, MeshWeights
from sahmr.training.optimizer import Plan, descend, make_optimizer
from sahmr.training.tasks import RootContactTask, RootContactWeights, Task
from tests.benchmarks.figures import record
from tests.benchmarks.network import SHARED_VOXELS, load_voxels, room_batch, root_at
from tests.worlds.networks import make_topology

_DEPTH = 4.0  # metres, of every root
_SIZES = (1, 4, 16, 32, 64, 128, 256)
_PAYS = 1.1  # so much more samples per second, or the larger batch is not worth its memory
_RATE = 1e-6  # so low that the weights stay where they are
_ROUNDS, _MIN_SECONDS = 10, 2.0


def wait(device: torch.device) -> None:
    """Let the device finish."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(call: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Median seconds of a call after three that warm up, and the most memory held meanwhile, GiB."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    times: list[float] = []
    for turn in range(10**6):
        wait(device)
        start = time.perf_counter()
        call()
        wait(device)
        if turn >= 3:
            times.append(time.perf_counter() - start)
        if len(times) >= _ROUNDS and sum(times) > _MIN_SECONDS:
            break
    peak = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else float("nan")
    return {"seconds": statistics.median(times), "peak_gib": peak}


def people(cells: torch.Tensor, count: int, device: torch.device) -> Batch:
    """A room with so many people, whose bodies are points near their roots."""
    batch = room_batch(cells, count)
    generator = torch.Generator().manual_seed(count)
    body = torch.randn(count, 6890, 3, generator=generator) * 0.3 + torch.tensor([0.0, 0.0, _DEPTH])
    touched = torch.rand(count, 6890, generator=generator) < 0.05
    targets = Targets(vertices_camera=body, vertex_contact=touched, has_contact=torch.ones(count, dtype=torch.bool))
    return move_to(replace(batch, targets=targets), device)


def growing(measured: Callable[[int], dict[str, float]], largest: int) -> Iterator[tuple[int, dict[str, float]]]:
    """Measure larger and larger batches while they pay."""
    best = 0.0
    for size in _SIZES:
        if size > largest:
            return
        try:
            found = measured(size)
        except torch.cuda.OutOfMemoryError:
            print(f"  B={size}: out of memory", flush=True)
            return
        found["per_second"] = size / found["seconds"]
        yield size, found
        if size > 1 and found["per_second"] < _PAYS * best:
            return
        best = max(best, found["per_second"])


def network_on(size: NetworkSize, device: torch.device, precision: Precision) -> SahmrNet:
    """A random network that sees every root at the same depth; its forwards, not its losses, run at that precision."""
    torch.manual_seed(0)
    net = SahmrNet(size, OWN, make_topology())
    root_at(net, _DEPTH)
    for part in (net, net.rcnet):
        part.forward = reduced(precision, device)(part.forward)  # type: ignore[method-assign]
    return net.to(device)


@torch.no_grad()
def deviation(size: NetworkSize, batch: Batch) -> dict[str, float]:
    """How far bfloat16 moves what the network says, as a share of the largest value (random weights)."""
    device = batch.image.device
    contact, mesh = network_on(size, device, "float32").eval()(batch)
    contact_low, mesh_low = network_on(size, device, "bfloat16").eval()(batch)
    pairs: dict[str, tuple[torch.Tensor, torch.Tensor]] = {
        "root": (contact.root, contact_low.root),
        "voxel_offset": (contact.voxel_offset, contact_low.voxel_offset),
        "voxel_part": (contact.voxel_part, contact_low.voxel_part),
        "vertices": (mesh.vertices_anchor, mesh_low.vertices_anchor),
    }
    return {
        name: float((full - low).abs().max() / full.abs().max())
        for name, (full, low) in pairs.items()
        if full.shape == low.shape
    }


def forward(net: SahmrNet, batch: Batch) -> dict[str, float]:
    """The whole forward in evaluation mode."""
    net.eval()
    return measure(torch.inference_mode()(lambda: net(batch)), batch.image.device)


def step(net: SahmrNet, task: Task, batch: Batch) -> dict[str, float]:
    """A training step: losses, gradients, Adam."""
    module = task.trained(net)
    net.requires_grad_(False).eval()
    module.requires_grad_(True).train()
    plan = Plan(seed=0, epochs=1, batch_size=len(batch.keys), canonical_lr=_RATE)
    optimizer = make_optimizer(module.parameters(), plan)
    generator = torch.Generator().manual_seed(0)

    def call() -> None:
        losses = task.losses(net, batch, generator)
        descend(optimizer, [weighted_sum(losses, task.weights).mean()])

    return measure(call, batch.image.device)


def main() -> None:
    """Measure, print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=sorted(SIZES), default="paper")
    parser.add_argument("--largest", type=int, default=_SIZES[-1], help="batch")
    parser.add_argument("--voxels", type=Path, default=SHARED_VOXELS if SHARED_VOXELS.is_file() else None)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    device = torch.device(args.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("no CUDA device: nothing measured")
        return
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    cells = load_voxels(args.voxels)[10_000]
    size = SIZES[args.size]
    topology = move_to(make_topology(), device)
    tasks: tuple[Task, ...] = (
        RootContactTask(topology=topology, loss_weights=RootContactWeights(), pitch_m=0.02),
        MeshTask(topology=topology, loss_weights=MeshWeights()),
    )
    print(f"{name}, size {args.size}\n{'call':<34}{'ms':>9}{'images/s':>10}{'peak GiB':>10}")
    rows: dict[str, dict[str, float]] = {}
    for precision in get_args(Precision):
        net = network_on(size, device, precision)
        calls: dict[str, Callable[[Batch], dict[str, float]]] = {"forward": partial(forward, net)}
        calls |= {task.stage: partial(step, net, task) for task in tasks}
        for what, call in calls.items():
            for count, row in growing(lambda n, call=call: call(people(cells, n, device)), args.largest):
                label = f"{what} {precision} B={count}"
                rows[label] = row
                figures = f"{1e3 * row['seconds']:>9.1f}{row['per_second']:>10.1f}{row['peak_gib']:>10.2f}"
                print(f"{label:<34}{figures}", flush=True)
    off = deviation(size, people(cells, 1, device))
    print("bfloat16 off by, share of scale:", {name: f"{value:.1e}" for name, value in off.items()})
    record(args.out, "python -m tests.benchmarks.gpu", {"device": name, "rows": rows, "bfloat16_off": off})


if __name__ == "__main__":
    main()
