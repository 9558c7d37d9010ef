"""``make bench``: the network's parts at published size, in milliseconds and in 2048x2048 matrix products.

Every figure is the median of interleaved rounds on two threads; the product measured in the same rounds divides it, so
that machines compare. Baselines are torchsparse 1.4.0's CPU path and the authors' modules, measured the same way.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sahmr.network.contact import ContactNet
from sahmr.network.hrnet import Hrnet
from sahmr.network.mesh import MeshNet
from sahmr.network.size import PAPER, REFERENCE
from sahmr.structures import BodyTopology, ContactPoints

SHARED_VOXELS = Path(__file__).parents[3] / "shared" / "reference" / "bench_voxels.npz"
PRODUCT = 2048
# In products of the same run: torchsparse 1.4.0 on CPU (forward, forward+backward), the authors' modules (forward).
BASELINE = {
    "spvcnn 3000 forward": 2.2,
    "spvcnn 10000 forward": 6.0,
    "spvcnn 30000 forward": 20.0,
    "spvcnn 3000 forward+backward": 7.2,
    "spvcnn 10000 forward+backward": 12.9,
    "spvcnn 30000 forward+backward": 50.0,
    "root hrnet B=1": 4.4,
    "root hrnet B=4": 14.5,
    "enhanced metro B=1": 14.0,
    "enhanced metro B=4": 49.0,
}


def room_voxels(count: int) -> torch.Tensor:
    """Surface voxels of a floor and two walls, nearest to the corner first; used where no file is given."""
    side = np.arange(-60, 60)
    a, b = (grid.ravel() for grid in np.meshgrid(side, side))
    ground = np.full_like(a, 30)
    cells = np.concatenate([np.stack(three, 1) for three in ((a, ground, b), (ground, a, b), (a, b, ground))])
    cells = np.unique(cells, axis=0)
    order = np.argsort(np.abs(cells - [0, 30, 30]).sum(1), kind="stable")[:count]
    return torch.tensor(np.concatenate([cells[order], np.zeros((count, 1), int)], 1), dtype=torch.int32)


def load_voxels(path: Path | None) -> dict[int, torch.Tensor]:
    """Voxel sets by size, as integer rows (x, y, z, batch)."""
    counts = (3000, 10000, 30000)
    if path is None:
        return {count: room_voxels(count) for count in counts}
    with np.load(path) as file:
        return {count: torch.from_numpy(file[f"coords_{count}"].astype(np.int32)) for count in counts}


def blank_topology() -> BodyTopology:
    """Tables of the right shapes: speed does not depend on their values."""
    part = torch.arange(431) % 8
    return BodyTopology(
        template_joints=torch.zeros(14, 3),
        template_coarse=torch.zeros(431, 3),
        coarse_to_full=torch.arange(431),
        joint_regressor=torch.zeros(17, 6890),
        part_full=torch.arange(6890) % 8,
        part_coarse=part,
        faces=torch.zeros(1, 3, dtype=torch.long),
    )


def cases(voxels: dict[int, torch.Tensor]) -> dict[str, Callable[[], object]]:
    """What is measured: name -> one call."""
    inputs = 3 + PAPER.image_features
    sparse = ContactNet(inputs, 12, PAPER.contact, REFERENCE.rounding).eval()
    found: dict[str, Callable[[], object]] = {}

    def forward(coords: torch.Tensor, features: torch.Tensor) -> object:
        with torch.no_grad():
            return sparse(coords, features)

    def backward(coords: torch.Tensor, features: torch.Tensor) -> object:
        sparse.zero_grad(set_to_none=True)
        return sparse(coords, features).sum().backward()

    for count, coords in voxels.items():
        features = torch.randn(count, inputs, generator=torch.Generator().manual_seed(count))
        found[f"spvcnn {count} forward"] = lambda c=coords, f=features: forward(c, f)
        found[f"spvcnn {count} forward+backward"] = lambda c=coords, f=features: backward(c, f)
    root = Hrnet(PAPER.root_hrnet, with_head=False).eval()
    mesh = MeshNet(PAPER, REFERENCE, blank_topology()).eval()
    for batch in (1, 4):
        image = torch.rand(batch, 3, 224, 224)
        contacts = ContactPoints(
            xyz_camera=torch.rand(batch, PAPER.max_contacts, 3),
            part=torch.ones(batch, PAPER.max_contacts, dtype=torch.long),
            mask=torch.ones(batch, PAPER.max_contacts, dtype=torch.bool),
        )
        found[f"root hrnet B={batch}"] = torch.no_grad()(lambda i=image: root(i))
        found[f"enhanced metro B={batch}"] = torch.no_grad()(
            lambda i=image, c=contacts: mesh(i, torch.zeros(len(i), 3), c)
        )
    return found


def measure(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each call, all calls once per round so that a slow minute hits them alike."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):  # the first round warms up and does not count
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Measure, print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voxels", type=Path, default=SHARED_VOXELS if SHARED_VOXELS.is_file() else None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(2)
    a, b = torch.randn(PRODUCT, PRODUCT), torch.randn(PRODUCT, PRODUCT)
    seconds = measure({"product": lambda: torch.mm(a, b), **cases(load_voxels(args.voxels))}, args.rounds)
    product = seconds.pop("product")
    rows = {
        name: {
            "ms": round(1000 * found, 1),
            "products": round(found / product, 2),
            "baseline_products": BASELINE[name],
            "ratio": round(found / product / BASELINE[name], 2),
        }
        for name, found in seconds.items()
    }
    rate = 2 * PRODUCT**3 / product / 1e9
    print(f"voxels: {args.voxels or 'built-in room'}; one product {1000 * product:.1f} ms ({rate:.0f} GFLOP/s)")
    print(f"{'part':<32}{'ms':>9}{'products':>10}{'baseline':>10}{'ratio':>7}")
    for name, row in rows.items():
        print(f"{name:<32}{row['ms']:>9}{row['products']:>10}{row['baseline_products']:>10}{row['ratio']:>7}")
    if args.out:
        about = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__, "threads": 2}
        args.out.write_text(json.dumps({"machine": about, "product_ms": 1000 * product, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
