"""Sparse convolution against a dense oracle, its gradients, and its corner cases."""

from __future__ import annotations

import itertools
import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sahmr.geometry.voxel import pack_keys, unpack_keys
from sahmr.sparse import narrow, native_backend
from sahmr.sparse.backend import resolve_backend
from sahmr.sparse.kernel_map import OFFSETS_3, Lattice, downsampling_map, submanifold_map
from sahmr.sparse.layers import RowNorm, SparseConv
from sahmr.sparse.points import devoxelize_pairs, voxelize_pairs
from sahmr.sparse.tensor import Pyramid, SparseTensor
from tests.worlds.checked import unchecked

SIDE = 6
WAYS = ("narrow", "dense", "taps")  # of the native backend, which chooses by sizes
cells = st.lists(st.tuples(*[st.integers(-3, 2)] * 3, st.integers(0, 1)), min_size=1, max_size=40, unique=True)


def make(coords: Any, channels: int = 3, seed: int = 0, rounding: Any = "floor") -> SparseTensor:
    coords = torch.tensor(coords, dtype=torch.long).view(-1, 4)
    features = torch.randn(len(coords), channels, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return SparseTensor(features=features.requires_grad_(), stride=1, pyramid=Pyramid(coords, rounding))


def layer(kind: Any, width_in: int = 3, width_out: int = 4, backend: str = "native") -> SparseConv:
    torch.manual_seed(1)
    return SparseConv(width_in, width_out, kind, resolve_backend(backend)).double()


def choose(way: str, patch: pytest.MonkeyPatch) -> None:
    """Every convolution goes one way."""
    patch.setattr(narrow, "is_narrow", lambda *_: way == "narrow")
    patch.setattr(native_backend, "_is_dense", lambda *_: way == "dense")


def dense(x: SparseTensor) -> torch.Tensor:
    """Features on a (batch, channel, z, y, x) grid that starts at -4."""
    coords = x.pyramid.lattice(x.stride).coords
    grid = torch.zeros(2, 2 * SIDE, 2 * SIDE, 2 * SIDE, x.features.shape[1], dtype=x.features.dtype)
    grid[coords[:, 3], coords[:, 2] + 4, coords[:, 1] + 4, coords[:, 0] + 4] = x.features
    return grid.permute(0, 4, 1, 2, 3)


def at(grid: torch.Tensor, coords: torch.Tensor, shift: int = 4, stride: int = 1) -> torch.Tensor:
    x, y, z, batch = coords.t()
    return grid[batch, :, (z + shift) // stride, (y + shift) // stride, (x + shift) // stride]


@settings(max_examples=25, deadline=None)
@given(cells, st.sampled_from(WAYS))
def test_submanifold_is_conv3d_on_occupied_voxels(coords: list[tuple[int, ...]], way: str) -> None:
    x, conv = make(coords), layer("same")
    weight = conv.kernel.view(3, 3, 3, 3, 4).permute(4, 3, 0, 1, 2)  # z, y, x, in, out -> out, in, z, y, x
    want = at(F.conv3d(dense(x), weight, padding=1), x.pyramid.lattice(1).coords)
    with pytest.MonkeyPatch.context() as patch:
        choose(way, patch)
        torch.testing.assert_close(conv(x).features, want)


@settings(max_examples=25, deadline=None)
@given(cells)
def test_down_and_up_are_strided_conv3d(coords: list[tuple[int, ...]]) -> None:
    x, down, up = make(coords), layer("down"), layer("up", 4, 3)
    coarse = down(x)
    weight = down.kernel.view(2, 2, 2, 3, 4).permute(4, 3, 2, 1, 0)  # x, y, z, in, out -> out, in, z, y, x
    want = F.conv3d(dense(x), weight, stride=2)
    lattice = coarse.pyramid.lattice(2)
    torch.testing.assert_close(coarse.features, at(want, lattice.coords, stride=2))
    grid = torch.zeros(2, SIDE, SIDE, SIDE, 4, dtype=torch.float64)
    cx, cy, cz, batch = lattice.coords.t()
    grid[batch, (cz + 4) // 2, (cy + 4) // 2, (cx + 4) // 2] = coarse.features
    weight = up.kernel.view(2, 2, 2, 4, 3).permute(3, 4, 2, 1, 0)  # -> in, out, z, y, x
    want = F.conv_transpose3d(grid.permute(0, 4, 1, 2, 3), weight, stride=2)
    fine = up(coarse)
    assert fine.stride == 1
    torch.testing.assert_close(fine.features, at(want, x.pyramid.lattice(1).coords))


@pytest.mark.parametrize("kind", ["same", "down"])
@pytest.mark.parametrize("rounding", ["trunc", "floor"])
@pytest.mark.parametrize("way", WAYS)
def test_gradients(kind: Any, rounding: Any, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_backend, "_BLOCK_ROWS", 4)  # several blocks, the last one not full
    choose(way, monkeypatch)
    coords = [(*c, 0) for c in itertools.product((-2, -1, 0), (-1, 0), (0, 1))]
    x, conv = make(coords, rounding=rounding), layer(kind)
    up = layer("up", 4, 2)

    def run(features: torch.Tensor, kernel: torch.Tensor, up_kernel: torch.Tensor) -> torch.Tensor:
        out = conv.backend.convolve(features, kernel, getattr(x.pyramid, kind)(1))
        return out if kind == "same" else up.backend.convolve(out, up_kernel, x.pyramid.up(2))

    assert torch.autograd.gradcheck(run, (x.features, conv.kernel, up.kernel))


def test_few_channels_on_the_cpu_go_the_narrow_way() -> None:
    x = make([(0, 0, 0, 0)])
    kernel_map = x.pyramid.same(1)
    assert narrow.is_narrow(kernel_map, torch.zeros(27, 8, 16))
    assert not narrow.is_narrow(kernel_map, torch.zeros(27, 64, 64))
    assert not narrow.is_narrow(kernel_map, torch.zeros(27, 8, 16, device="meta"))


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_between_points_and_voxels(stride: int) -> None:
    lattice = make([(*c, 0) for c in itertools.product((-2, 0, 1), (0, 1), (0, 3))]).pyramid.lattice(stride)
    generator = torch.Generator().manual_seed(3)
    points = torch.cat([torch.rand(9, 3, generator=generator) * 4 - 2, torch.zeros(9, 1)], dim=1)
    voxels = torch.randn(len(lattice), 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(devoxelize_pairs(points, lattice).apply, (voxels,))
    values = torch.randn(9, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(voxelize_pairs(points, lattice).apply, (values,))


def test_order_of_voxels_does_not_matter() -> None:
    coords = torch.tensor(list(itertools.product((-2, -1, 0), (0, 1), (0, 2), (0, 1))))
    x, conv = make(coords.tolist()), layer("same")
    order = torch.randperm(len(coords), generator=torch.Generator().manual_seed(5))
    mixed = SparseTensor(features=x.features[order], stride=1, pyramid=Pyramid(coords[order], "floor"))
    torch.testing.assert_close(conv(mixed).features, conv(x).features[order])


def test_batch_items_do_not_mix() -> None:
    x = make([(0, 0, 0, 0), (1, 0, 0, 1)])
    conv = layer("same")
    torch.testing.assert_close(conv(x).features, x.features @ conv.kernel[13])


def test_floor_is_shift_invariant_and_trunc_is_not() -> None:
    coords = torch.tensor([[-1, 0, 0, 0], [0, 0, 0, 0], [-2, 0, 0, 0]])
    assert Lattice(coords).coarser("floor").coords[:, 0].tolist() == [-2, 0]
    assert Lattice(coords).coarser("trunc").coords[:, 0].tolist() == [-2, 0]
    alone = coords[:1]
    assert Lattice(alone).coarser("floor").coords[0].tolist() == [-2, 0, 0, 0]
    assert Lattice(alone).coarser("trunc").coords[0].tolist() == [0, 0, 0, 0]
    coarse = Lattice(alone).coarser("trunc")
    assert (downsampling_map(Lattice(alone), coarse).table == 1).all()  # a parent that none of its children feeds


def test_single_voxel_and_no_voxel() -> None:
    for coords in ([], [(5, -7, 3, 2)]):
        x = make(coords)
        down, up = layer("down"), layer("up", 4, 3)
        out = up(down(layer("same", 3, 3)(x)))
        assert out.features.shape == (len(coords), 3)
        out.features.sum().backward()
        assert x.features.grad is not None and x.features.grad.isfinite().all()


def test_every_tap_of_a_submanifold_map_is_in_order() -> None:
    coords = torch.tensor([[*offset, 0] for offset in OFFSETS_3])
    table = submanifold_map(Lattice(coords)).table
    centre = OFFSETS_3.index((0, 0, 0))
    assert table[:, centre].tolist() == list(range(27))


def test_bad_coordinates_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[1, 2, 3, 0\] occurs more than once"):
        Lattice(torch.tensor([[1, 2, 3, 0], [1, 2, 3, 0]]))
    with pytest.raises(ValueError, match="voxel coordinates span"):
        Lattice(torch.tensor([[1 << 17, 0, 0, 0]]))
    with pytest.raises(ValueError, match="batch index"):
        Lattice(torch.tensor([[0, 0, 0, -1]]))
    with unchecked(), pytest.raises(ValueError, match="must be integers"):
        Lattice(torch.zeros(3, 4))


def test_keys_round_trip() -> None:
    coords = torch.tensor([[-65000, 65000, 0, 0], [3, -2, 1, 4095], [0, 0, 0, 0]])
    assert torch.equal(unpack_keys(pack_keys(coords)), coords)


def test_backends_by_name() -> None:
    assert resolve_backend("auto").name in ("native", "torchsparse")
    with pytest.raises(ValueError, match="unknown sparse backend 'cuda'"):
        resolve_backend("cuda")
    try:
        import torchsparse  # noqa: F401
    except ImportError:
        with pytest.raises(ImportError, match=r"torchsparse 1\.4 is not installed"):
            resolve_backend("torchsparse")


def test_other_torchsparse_is_refused_with_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    package, backend = ModuleType("torchsparse"), ModuleType("torchsparse.backend")
    package.__version__, package.backend = "2.1.0", backend  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchsparse", package)
    monkeypatch.setitem(sys.modules, "torchsparse.backend", backend)
    monkeypatch.delitem(sys.modules, "sahmr.sparse.torchsparse_backend", raising=False)
    with pytest.raises(ImportError, match=r"torchsparse 2\.1\.0 has no convolution_forward_cuda"):
        resolve_backend("torchsparse")


def test_norm_of_one_row_uses_running_statistics() -> None:
    norm = RowNorm(2)
    row = torch.tensor([[3.0, -1.0]])
    torch.testing.assert_close(norm(row), row / (1 + norm.eps) ** 0.5)
    assert norm.running_mean is not None and norm.running_mean.abs().sum() == 0
    assert norm(torch.zeros(0, 2)).shape == (0, 2)


@pytest.mark.gpu
def test_cuda_equals_cpu() -> None:
    coords = [(*c, 0) for c in itertools.product(range(-4, 4), range(4), range(3))]
    x, conv = make(coords), layer("same")
    want = conv(x).features
    pyramid = Pyramid(x.pyramid.lattice(1).coords.cuda(), "floor")
    got = conv.cuda()(SparseTensor(features=x.features.cuda(), stride=1, pyramid=pyramid)).features
    torch.testing.assert_close(got.cpu(), want)
