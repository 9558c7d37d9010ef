from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sahmr.training.optimizer import Plan, WeightAverage, descend, learning_rate, make_optimizer

PLAN = Plan(seed=0, epochs=4, batch_size=24, canonical_lr=5e-4)


def test_rate_scales_with_batch_and_halves_at_half_time() -> None:
    rates = [learning_rate(PLAN, epoch, 0, 10) for epoch in range(4)]
    assert rates == pytest.approx([3.75e-4, 3.75e-4, 1.875e-4, 1.875e-4])


def test_rate_warms_up_and_cosine_ends_near_zero() -> None:
    plan = replace(PLAN, warmup_steps=5, schedule="cosine")
    assert learning_rate(plan, 0, 0, 10) == pytest.approx(3.75e-4 / 5)
    assert learning_rate(plan, 3, 9, 10) < 0.01 * 3.75e-4


def test_gradients_are_clipped_by_value() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    descend(optimizer, (weight * torch.tensor([0.1, 9.0])).sum(), rate=1.0)
    assert torch.allclose(weight.detach(), torch.tensor([-0.1, -0.5]))


def test_frozen_parameters_are_left_out() -> None:
    layer = torch.nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    assert [len(group["params"]) for group in make_optimizer(layer.parameters(), PLAN).param_groups] == [1]


def test_average_starts_fast_and_copies_counters() -> None:
    layer = torch.nn.BatchNorm1d(1)
    average = WeightAverage(layer, 0.99)
    with torch.no_grad():
        layer.weight.fill_(3.0)
        layer.num_batches_tracked.fill_(4)
    average.update(layer)
    assert average.state["weight"].item() == pytest.approx(1 + 2 * (1 - 2 / 11))
    assert average.state["num_batches_tracked"].item() == 4
