from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from sahmr.training.optimizer import Plan, RunningAverage, descend, make_optimizer, make_schedule, peak_rate

PLAN = Plan(seed=0, epochs=4, batch_size=24, canonical_lr=5e-4)
STEPS = 10  # per epoch


def rates(plan: Plan) -> list[float]:
    """The rate of every step of a training."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak_rate(plan))
    schedule, found = make_schedule(optimizer, plan, STEPS), []
    for _ in range(plan.epochs * STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def closed(plan: Plan, done: int) -> float:
    """The published rule, and the cosine with a linear warm-up."""
    rate = plan.canonical_lr * plan.batch_size / 32
    rate *= min(1, (done + 1) / plan.warmup_steps) if plan.warmup_steps else 1
    if plan.schedule == "cosine":
        return rate * (1 + math.cos(math.pi * done / (plan.epochs * STEPS))) / 2
    return rate / 2 if plan.epochs > 1 and done // STEPS >= plan.epochs // 2 else rate


@pytest.mark.parametrize(
    "changes", [{}, {"schedule": "cosine", "warmup_steps": 7}, {"epochs": 1}, {"warmup_steps": 15}]
)
def test_rates_are_those_of_the_closed_formula(changes: dict) -> None:
    plan = replace(PLAN, **changes)
    assert rates(plan) == pytest.approx([closed(plan, done) for done in range(plan.epochs * STEPS)], rel=1e-12)


def test_rate_scales_with_batch_and_halves_at_half_time() -> None:
    assert rates(PLAN)[::STEPS] == pytest.approx([3.75e-4, 3.75e-4, 1.875e-4, 1.875e-4])


def test_gradients_are_clipped_by_value() -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    descend(optimizer, [(weight * torch.tensor([0.1, 9.0])).sum()])
    assert torch.allclose(weight.detach(), torch.tensor([-0.1, -0.5]))


def test_frozen_parameters_are_left_out() -> None:
    layer = torch.nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    assert [len(group["params"]) for group in make_optimizer(layer.parameters(), PLAN).param_groups] == [1]


def test_average_warms_up_takes_buffers_in_and_copies_counters() -> None:
    layer = torch.nn.BatchNorm1d(1)
    average = RunningAverage(layer, 0.25)
    expected = 1.0
    for update, value in enumerate((3.0, 5.0, -1.0, 2.0), start=1):
        with torch.no_grad():
            layer.weight.fill_(value)
            layer.running_var.fill_(value)
            layer.num_batches_tracked.fill_(update)
        average.update_parameters(layer)
        decay = min(0.25, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * value
    assert average.module.weight.item() == pytest.approx(expected)
    assert average.module.running_var.item() == pytest.approx(expected)
    assert average.module.num_batches_tracked.item() == 4
