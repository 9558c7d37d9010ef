"""Sparse layers, point-voxel exchange and the whole sparse network against the reference (golden G1)."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sahmr.geometry.voxel import unique_voxels, voxel_index
from sahmr.network.contact import ContactNet
from sahmr.network.size import PAPER
from sahmr.sparse.backend import resolve_backend
from sahmr.sparse.kernel_map import Lattice, Rounding
from sahmr.sparse.layers import PointwiseConv, SparseConv
from sahmr.sparse.points import devoxelize_pairs, trilinear_corners, voxelize_pairs
from sahmr.sparse.tensor import Pyramid, SparseTensor
from tests.parity import deterministic_weights
from tests.parity.golden_file import DEEP_GRADIENT, LAYER
from tests.parity.published import MODES


def conv(kind: Any, kernel: torch.Tensor) -> SparseConv:
    layer = SparseConv(kernel.shape[1], kernel.shape[2], kind, resolve_backend("native"))
    layer.kernel = torch.nn.Parameter(kernel.clone())
    return layer


def pointwise(kernel: torch.Tensor) -> PointwiseConv:
    layer = PointwiseConv(*kernel.shape)
    layer.kernel = torch.nn.Parameter(kernel.clone())
    return layer


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", ["k3s1", "k1s1", "k2s2", "k2s2_then_transposed"])
def test_single_layers(load: Any, case: str, mode: Rounding) -> None:
    data = load("G1_layers")
    layers = {
        "k3s1": lambda: [conv("same", data.given("w_k3s1"))],
        "k1s1": lambda: [pointwise(data.given("w_k1s1"))],
        "k2s2": lambda: [conv("down", data.given("w_k2s2"))],
        "k2s2_then_transposed": lambda: [
            conv("down", data.given("w_k2s2")),
            conv("up", data.given("w_k2s2_transposed")),
        ],
    }[case]()
    suffix = f"_{mode}" if case.startswith("k2") else ""
    feats = data.given("feats").requires_grad_()
    x = SparseTensor(features=feats, stride=1, pyramid=Pyramid(data.given("coords"), mode))
    for layer in layers:
        x = layer(x)
    order = data.match(f"{case}_out_coords{suffix}", x.pyramid.lattice(x.stride).coords)
    out = x.features[order]
    data.check(f"{case}_out_feats{suffix}", out, LAYER)
    out.backward(data.given(f"{case}_cotangent{suffix}"))
    data.check(f"{case}_grad_feats{suffix}", feats.grad, LAYER)
    data.check(f"{case}_grad_w{suffix}", layers[-1].kernel.grad, LAYER)


def first_voxels(data: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The points in voxel units, their voxels, and the voxel of each."""
    points = data.given("points")
    voxel_size = data.given("voxel_size")
    coords, row = unique_voxels(voxel_index(points[:, :3], float(voxel_size)), points[:, 3].long())
    return torch.cat([points[:, :3] / voxel_size, points[:, 3:]], dim=1), coords, row


def inverse(order: torch.Tensor) -> torch.Tensor:
    """Our row -> row of the file; its last entry keeps -1, "none", as it is."""
    where = torch.full((len(order) + 1,), -1)
    where[order] = torch.arange(len(order))
    return where


def test_initial_voxels(load: Any) -> None:
    data = load("G1_pointvoxel")
    points, coords, row = first_voxels(data)
    order = data.match("iv_coords", coords)
    data.check("iv_point_coords_after", points, LAYER)
    mean = voxelize_pairs(points, Lattice(coords)).apply(data.given("point_feats"))
    data.check("iv_feats", mean[order], LAYER)
    data.check_equal("iv_counts", torch.bincount(row)[order])
    data.check_equal("iv_idx_query", inverse(order)[row])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_points_and_voxels(load: Any, stride: int, mode: Rounding) -> None:
    data = load("G1_pointvoxel")
    points, coords, _ = first_voxels(data)
    feats = data.given("point_feats")
    pyramid = Pyramid(coords, mode)
    x = SparseTensor(features=voxelize_pairs(points, pyramid.lattice(1)).apply(feats), stride=1, pyramid=pyramid)
    for level, width in ((1, 6), (2, 7)):
        if stride >= 2**level:
            x = conv("down", deterministic_weights.value(f"g1.down{level}", (8, x.features.shape[1], width)))(x)
    tail = "" if stride == 1 else f"_{mode}"
    lattice = pyramid.lattice(stride)
    order = data.match(f"s{stride}_voxel_coords{tail}", lattice.coords)
    where = inverse(order)
    data.check(f"s{stride}_voxel_feats{tail}", x.features[order], LAYER)
    rows, weight = trilinear_corners(points, lattice)
    data.check_equal(f"s{stride}_v2p_idx{tail}", where[rows])
    data.check(f"s{stride}_v2p_weights{tail}", weight, LAYER)
    data.check(f"s{stride}_v2p_out{tail}", devoxelize_pairs(points, lattice).apply(x.features), LAYER)
    pairs = voxelize_pairs(points, lattice)
    voxel_of_point = torch.full((len(points),), -1)
    voxel_of_point[pairs.source] = pairs.target
    data.check_equal(f"s{stride}_p2v_idx{tail}", where[voxel_of_point])
    data.check_equal(f"s{stride}_p2v_counts{tail}", torch.bincount(pairs.target, minlength=len(lattice))[order])
    data.check(f"s{stride}_p2v_out{tail}", pairs.apply(feats)[order], LAYER)


@pytest.fixture(params=MODES)
def net(request: pytest.FixtureRequest) -> ContactNet:
    """The published sparse network with deterministic deterministic_weights."""
    made = ContactNet(35, 12, PAPER.contact, request.param)
    deterministic_weights.fill_(made, "rcnet.contact_net.")
    assert deterministic_weights.digest(made) == "2d5623a4"
    return made


@torch.no_grad()
def test_network_forward(load: Any, net: ContactNet) -> None:
    data, mode = load("G1_spvcnn_eval"), net.rounding
    seen: list[SparseTensor] = []
    for stage in (net.stage1, net.stage2, net.stage3, net.stage4):
        stage.register_forward_hook(lambda _module, _input, output: seen.append(output))
    out = net.eval()(data.given("coords"), data.given("feats"))
    data.check(f"eval_out_{mode}", out)
    data.check_class(f"eval_out_{mode}", out, first=4)
    orders = [
        data.match(f"stage{i}_coords_{mode}", x.pyramid.lattice(x.stride).coords) for i, x in enumerate(seen, start=1)
    ]
    data.check(f"stage4_feats_{mode}", seen[3].features[orders[3]])


def run_training(net: ContactNet, inputs: Any, cotangent: torch.Tensor) -> dict[str, torch.Tensor]:
    """Output and gradients of one step in the precision of the cotangent."""
    net.dropout = 0.0
    feats = inputs.given("feats").to(cotangent.dtype).requires_grad_()
    out = net.train().to(cotangent.dtype)(inputs.given("coords"), feats)
    out.backward(cotangent)
    assert feats.grad is not None
    grads = {f"train_grad__{name}": p.grad for name, p in net.named_parameters() if p.grad is not None}
    grads["train_grad__up4.1.1.net.3.kernel"] = grads["train_grad__up4.1.1.net.3.kernel"][:, ::8]
    return {"train_out": out.detach(), "train_grad_feats": feats.grad, **grads}


def test_network_training(load: Any, net: ContactNet) -> None:
    data, mode = load("G1_spvcnn_train"), net.rounding
    made = run_training(net, load("G1_spvcnn_eval"), data.given("cotangent"))
    made |= {f"train_after__{name}": buffer for name, buffer in net.named_buffers()}
    for key in data.names(f"train_.*_{mode}"):
        name = key.removesuffix(f"_{mode}")
        if "grad" in name and "classifier" not in name:
            # Behind many ReLUs float32 does not repeat; the float64 test below is the tight one.
            data.check(key, made[name], DEEP_GRADIENT, "L2")
        else:
            data.check(key, made[name])


def test_network_training_in_float64(load: Any, net: ContactNet) -> None:
    data, mode = load("G1_spvcnn_train_f64"), net.rounding
    made = run_training(net, load("G1_spvcnn_eval"), load("G1_spvcnn_train").given("cotangent").double())
    for key in data.names(f"train_.*_{mode}"):
        data.check(key, made[key.removesuffix(f"_{mode}")], LAYER)
