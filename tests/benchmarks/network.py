"""The network's parts and the whole forward at published size, in ms and in 2048x2048 matrix products.

Every figure is the median of interleaved rounds on two threads; the product measured in the same rounds divides it, so
that machines compare. Baselines are torchsparse 1.4.0's CPU path and the authors' modules, measured the same way.
The last column is the floating-point operations that are needed (pairs of voxels that exist; no zeros), per second,
as a share of the matrix product's.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from sahmr.network.contact import ContactNet
from sahmr.network.hrnet import Hrnet
from sahmr.network.mesh import MeshNet
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import PAPER, REFERENCE
from sahmr.sparse.layers import PointwiseConv, SparseConv
from sahmr.sparse.tensor import SparseTensor
from sahmr.structures import Batch, ContactPoints
from tests.benchmarks.figures import record
from tests.worlds.batches import make_batch
from tests.worlds.networks import make_topology

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


@dataclass
class Case:
    """One call, and the floating-point operations it needs."""

    call: Callable[[], object]
    operations: float
    note: str = ""
    seconds: list[float] = field(default_factory=list)


def pairs_of(layer: SparseConv, x: SparseTensor) -> int:
    """Products of rows that a sparse convolution has to make."""
    if layer.kind == "same":
        kernel_map = x.pyramid.same(x.stride)
    else:
        kernel_map = x.pyramid.down(x.stride) if layer.kind == "down" else x.pyramid.up(x.stride)
    return int((kernel_map.table < kernel_map.num_inputs).sum())


@contextmanager
def counted(net: nn.Module) -> Iterator[list[float]]:
    """Collect the operations of the sparse network's layers; zeros that the code multiplies do not count."""
    found: list[float] = []

    def count(layer: nn.Module, inputs: tuple[object, ...]) -> None:
        x = inputs[0]
        if isinstance(layer, SparseConv) and isinstance(x, SparseTensor):
            found.append(2.0 * pairs_of(layer, x) * layer.kernel[0].numel())
        elif isinstance(layer, PointwiseConv) and isinstance(x, SparseTensor):
            found.append(2.0 * len(x.features) * layer.kernel.numel())
        elif isinstance(layer, nn.Linear) and isinstance(x, torch.Tensor):
            found.append(2.0 * len(x) * layer.weight.numel())

    hooks = [module.register_forward_pre_hook(count) for module in net.modules()]
    yield found
    for hook in hooks:
        hook.remove()


def sparse_operations(sparse: ContactNet, call: Callable[[], object]) -> float:
    """What one call of anything that runs the sparse network makes it multiply."""
    with counted(sparse) as found:
        call()
    return sum(found)


def dense_operations(call: Callable[[], object]) -> float:
    """Convolutions, matrix products and attention of one call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return float(counter.get_total_flops())


def room_batch(cells: torch.Tensor, size: int) -> Batch:
    """``size`` people in a room of so many voxels, 4 m away."""
    points = (cells[:, :3].float() + 0.5) * PAPER.voxel_size
    points += torch.tensor([0.0, 0.0, 4.0]) - points.mean(0)
    return make_batch([points] * size)


def root_at(net: SahmrNet, depth: float) -> None:
    """Make an untrained network see its roots at a depth, metres, so that the room is about them."""
    layer = net.rcnet.root_net.out_conv
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight[1] = 0
        layer.bias[1] = depth * 224 / 1000


def sparse_cases(voxels: dict[int, torch.Tensor]) -> Iterator[tuple[str, Case]]:
    """The contact network, forward and forward+backward."""
    inputs = 3 + PAPER.image_features
    net = ContactNet(inputs, 12, PAPER.contact, REFERENCE.rounding).eval()

    def forward(coords: torch.Tensor, features: torch.Tensor) -> object:
        with torch.no_grad():
            return net(coords, features)

    def backward(coords: torch.Tensor, features: torch.Tensor) -> object:
        net.zero_grad(set_to_none=True)
        return net(coords, features).sum().backward()

    for count, coords in voxels.items():
        features = torch.randn(count, inputs, generator=torch.Generator().manual_seed(count))
        needed = sparse_operations(net, lambda c=coords, f=features: forward(c, f))
        yield f"spvcnn {count} forward", Case(lambda c=coords, f=features: forward(c, f), needed)
        yield f"spvcnn {count} forward+backward", Case(lambda c=coords, f=features: backward(c, f), 3 * needed)


def dense_cases() -> Iterator[tuple[str, Case]]:
    """Both trunks and the mesh network."""
    root, trunk = (
        Hrnet(size, with_head=head).eval() for size, head in ((PAPER.root_hrnet, False), (PAPER.mesh_hrnet, True))
    )
    mesh = MeshNet(PAPER, REFERENCE, make_topology()).eval()
    for batch in (1, 4):
        image = torch.rand(batch, 3, 224, 224)
        contacts = ContactPoints(
            xyz_camera=torch.rand(batch, PAPER.max_contacts, 3),
            part=torch.ones(batch, PAPER.max_contacts, dtype=torch.long),
            mask=torch.ones(batch, PAPER.max_contacts, dtype=torch.bool),
        )
        calls: dict[str, Callable[[], object]] = {
            "root hrnet": torch.no_grad()(lambda i=image: root(i)),
            "mesh hrnet": torch.no_grad()(lambda i=image: trunk(i)),
            "enhanced metro": torch.no_grad()(lambda i=image, c=contacts: mesh(i, torch.zeros(len(i), 3), c)),
        }
        for name, call in calls.items():
            yield f"{name} B={batch}", Case(call, dense_operations(call))


def whole_cases(cells: torch.Tensor) -> Iterator[tuple[str, Case]]:
    """Images, cameras and scene points to meshes."""
    net = SahmrNet(PAPER, REFERENCE, make_topology()).eval()
    root_at(net, 4.0)
    for size in (1, 4):
        batch = room_batch(cells, size)

        def forward(batch: Batch = batch) -> object:
            with torch.no_grad():
                return net(batch)

        with torch.no_grad():
            found = net.rcnet(batch)
            needed = dense_operations(lambda b=batch: net.rcnet.root_net(b.image))
            needed += dense_operations(lambda b=batch, f=found: net.metro_enhanced(b.image, f.root, f.contacts))
        needed += sparse_operations(net.rcnet.contact_net, forward)
        yield f"whole forward B={size}", Case(forward, needed, f"{len(found.voxel_offset)} voxels")


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
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    a, b = torch.randn(PRODUCT, PRODUCT), torch.randn(PRODUCT, PRODUCT)
    voxels = load_voxels(args.voxels)
    cases = {**dict(sparse_cases(voxels)), **dict(dense_cases()), **dict(whole_cases(voxels[10_000]))}
    calls = {"product": lambda: torch.mm(a, b), **{name: case.call for name, case in cases.items()}}
    seconds = measure(calls, args.rounds)
    product = seconds.pop("product")
    rate = 2 * PRODUCT**3 / product
    rows = {
        name: {
            "ms": round(1000 * found, 1),
            "products": round(found / product, 2),
            "baseline_products": BASELINE.get(name),
            "ratio": round(found / product / BASELINE[name], 2) if name in BASELINE else None,
            "gflop": round(cases[name].operations / 1e9, 1),
            "share_of_product_rate": round(cases[name].operations / found / rate, 2),
            **({"note": cases[name].note} if cases[name].note else {}),
        }
        for name, found in seconds.items()
    }
    print(f"voxels: {args.voxels or 'built-in room'}; one product {1000 * product:.1f} ms ({rate / 1e9:.0f} GFLOP/s)")
    print(f"{'part':<32}{'ms':>9}{'products':>10}{'baseline':>10}{'ratio':>7}{'GFLOP':>8}{'of rate':>9}")
    for name, row in rows.items():
        shown = [row[key] if row[key] is not None else "" for key in ("ms", "products", "baseline_products", "ratio")]
        cells = "".join(f"{cell:>{width}}" for cell, width in zip(shown, (9, 10, 10, 7), strict=True))
        print(f"{name:<32}{cells}{row['gflop']:>8}{row['share_of_product_rate']:>9.0%}  {row.get('note', '')}")
    record(
        args.out,
        f"python -m tests.benchmarks.network --rounds {args.rounds}",
        {"product_ms": 1000 * product, "rows": rows},
    )


if __name__ == "__main__":
    main()
