"""The comparison itself: what it must notice. Needs no golden data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from sahmr.network.contact import ContactNet
from sahmr.network.size import PAPER
from tests.parity import deterministic_weights, thin
from tests.parity.golden_file import GoldenFile, GoldenSet, Kind, Ledger, markdown


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def data(ledger: Ledger) -> GoldenFile:
    arrays = {
        "in__x": np.ones(3),
        "pred_x": np.array([1.0, -2.0, 4.0]),
        "pred_y": np.zeros(2),
        "pred_id": np.array([[0, 3], [1, 2]]),
        "list_b0": np.ones(2),
        "list_b1": np.ones(5),
        "voxels": np.array([[0.125, 0.375], [-0.375, 0.125], [0.625, 0.125]]),
    }
    return ledger.open("G0_small", lambda: arrays)


def test_errors_are_measured_and_bounded(data: GoldenFile, ledger: Ledger) -> None:
    data.check("pred_x", torch.tensor([1.0, -2.0, 4.0 + 4e-5]), 2e-5)
    assert ledger.take_faults() == []
    data.check("pred_x", torch.tensor([1.0, -2.0 - 4e-4, 4.0]), 2e-5)
    assert ledger.take_faults() == ["G0_small pred_x: error 0.0001, allowed 2e-05 (of scale)"]
    (row,) = ledger.rows.values()  # the worst of the two
    assert (row.absolute, row.relative) == pytest.approx((4e-4, 1e-4), rel=1e-2)
    data.check("pred_x", torch.tensor([1.0, -2.0, 4.0 + 0.1]), 0.02, "L2")
    assert len(ledger.take_faults()) == 1  # 0.1 / sqrt(21)
    data.check("pred_x", torch.tensor([1.0, -2.0, 4.5]), 0.5, "absolute")
    assert ledger.take_faults() == []


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, 1e-30])
def test_nan_and_anything_where_zeros_belong(data: GoldenFile, ledger: Ledger, wrong: float) -> None:
    data.check("pred_y", torch.tensor([0.0, wrong], dtype=torch.float64), 0.0)
    assert len(ledger.take_faults()) == 1
    assert "**exceeded**" in markdown(list(ledger.rows.values()))


def test_classes_have_to_be_identical(data: GoldenFile, ledger: Ledger) -> None:
    data.check_equal("pred_id", torch.tensor([[0, 3], [1, 2]]))
    data.check_class("pred_id", torch.tensor([[0.1, 0.2], [5, 6]]))
    assert ledger.take_faults() == []
    data.check_equal("pred_id", torch.tensor([[0, 3], [1, 1]]))
    data.check_class("pred_id", torch.tensor([[0.1, 0.2], [6, 5]]))
    assert len(ledger.take_faults()) == 2


def test_shapes_have_to_agree(data: GoldenFile) -> None:
    with pytest.raises(AssertionError, match=r"pred_x: shape \(3, 1\), expected \(3,\)"):
        data.check("pred_x", torch.zeros(3, 1))


def test_lists_are_compared_in_any_order(data: GoldenFile, ledger: Ledger) -> None:
    ours = torch.tensor([[0.625, 0.125], [0.125, 0.375], [-0.375, 0.125]])
    assert data.match("voxels", ours, cell=0.25).tolist() == [1, 2, 0]
    assert ledger.take_faults() == []
    data.match("voxels", ours + torch.tensor([0.0, 0.25]), cell=0.25)
    assert len(ledger.take_faults()) == 1
    with pytest.raises(AssertionError, match="shape"):
        data.match("voxels", ours[:2], cell=0.25)


def test_unused_arrays_are_listed(data: GoldenFile) -> None:
    assert [len(item) for item in data.items("list_b*")] == [2, 5]
    assert data.items("none_b*") == []
    data.check_equal("pred_y", torch.zeros(2))
    data.given("pred_x")  # a result that is only read counts as unused
    assert data.unused() == ["in__x", "list_b0", "list_b1", "pred_id", "pred_x", "voxels"]
    data.given("in__x")
    assert data.unused()[0] == "list_b0"


THIN = {
    "pred_x": np.random.RandomState(0).standard_normal((40, 50)).astype(np.float32),
    "pred_id": np.random.RandomState(1).randint(0, 8, (30, 20)),
    "in__x": np.arange(300.0),
    "eval_out_trunc": np.random.RandomState(2).standard_normal((90, 12)).astype(np.float32),
}


@pytest.fixture(scope="module")
def thinned(tmp_path_factory: pytest.TempPathFactory) -> GoldenSet:
    """Written and read again."""
    folder = tmp_path_factory.mktemp("full")
    np.savez(folder / "G0_thin.npz", **THIN)
    (folder / "keys.json").write_text("{}")
    thin.write(folder, folder / "keys.json", folder / "set.xz")
    return GoldenSet(folder / "set.xz")


def test_a_thinned_file_keeps_inputs_and_some_of_each_result(thinned: GoldenSet, ledger: Ledger) -> None:
    data = ledger.open("G0_thin", lambda: thinned.arrays("G0_thin"))
    assert (thinned.names, thinned.keys(), data.is_thinned) == (["G0_thin"], "{}", True)
    assert np.array_equal(data.given("in__x"), THIN["in__x"])
    with pytest.raises(AssertionError, match="pred_x is thinned"):
        data.given("pred_x")
    for name in ("pred_x", "eval_out_trunc"):
        data.check(name, torch.from_numpy(THIN[name]), 0.0)
        data.check(name, torch.from_numpy(THIN[name]), 1e-12, "L2")
    data.check_equal("pred_id", torch.from_numpy(THIN["pred_id"]))
    data.check_class("eval_out_trunc", torch.from_numpy(THIN["eval_out_trunc"]), first=4)
    assert ledger.take_faults() == [] and data.unused() == []
    assert {row.entries for row in ledger.rows.values()} == {"48 of 2000", "48 of 600", "48 of 1080", "all"}
    assert np.array_equal(data.given("pred_x"), THIN["pred_x"])  # ours, once it was compared


def scaled(name: str) -> np.ndarray:
    return THIN[name] * 1.001


def one_wrong(name: str) -> np.ndarray:
    array = THIN[name].copy()
    array[-1, -1] += 1
    return array


def with_nan(name: str) -> np.ndarray:
    array = THIN[name].copy()
    array[3, 3] = np.nan
    return array


def one_huge(name: str) -> np.ndarray:
    array = THIN[name].copy()
    array[3, 3] = 50
    return array


@pytest.mark.parametrize(
    ("name", "spoil", "bound", "kind"),
    [
        ("pred_x", scaled, 1e-4, "of scale"),
        ("pred_x", scaled, 5e-4, "L2"),
        ("pred_x", with_nan, 1e-4, "of scale"),
        ("pred_x", one_huge, 1e-4, "of scale"),
        ("pred_id", one_wrong, 0.0, "equal"),
    ],
)
def test_a_thinned_file_notices(
    thinned: GoldenSet, ledger: Ledger, name: str, spoil: Callable[[str], np.ndarray], bound: float, kind: Kind
) -> None:
    data = ledger.open("G0_thin", lambda: thinned.arrays("G0_thin"))
    data.check(name, spoil(name), bound, kind)
    assert len(ledger.take_faults()) == 1


def test_a_class_that_differs_is_noticed(thinned: GoldenSet, ledger: Ledger) -> None:
    data = ledger.open("G0_thin", lambda: thinned.arrays("G0_thin"))
    array = torch.from_numpy(THIN["eval_out_trunc"].copy())
    array[7, 4 + int(array[7, 4:].argmin())] = 9
    data.check_class("eval_out_trunc", array, first=4)
    assert len(ledger.take_faults()) == 1


@torch.no_grad()
def test_the_thinned_set_notices_a_layer_off_by_a_thousandth(ledger: Ledger) -> None:
    golden = GoldenSet(thin.FILE)
    data = ledger.open("G1_spvcnn_eval", lambda: golden.arrays("G1_spvcnn_eval"))
    net = deterministic_weights.fill_(ContactNet(35, 12, PAPER.contact, "trunc"), "rcnet.contact_net.").eval()
    for scale, is_wrong in ((1.0, False), (1.001, True)):
        net.stem[0].kernel *= scale
        data.check("eval_out_trunc", net(data.given("coords"), data.given("feats")))
        assert bool(ledger.take_faults()) == is_wrong
