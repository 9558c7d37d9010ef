"""The comparison itself: what it must notice. Needs no golden data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.parity.golden_file import GoldenFile, Ledger, markdown


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def data(tmp_path: Path, ledger: Ledger) -> GoldenFile:
    arrays = {
        "in__x": np.ones(3),
        "pred_x": np.array([1.0, -2.0, 4.0]),
        "pred_y": np.zeros(2),
        "pred_id": np.array([[0, 3], [1, 2]]),
        "list_b0": np.ones(2),
        "list_b1": np.ones(5),
        "voxels": np.array([[0.125, 0.375], [-0.375, 0.125], [0.625, 0.125]]),
    }
    np.savez(tmp_path / "G0_small.npz", **arrays)
    return ledger.open(tmp_path / "G0_small.npz")


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
