"""Which samples make which batch, as numbers alone; tests/batches/test_exact.py has them decoded."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sahmr.batches.loader import _Share
from sahmr.batches.order import InOrder, Mixed, Shuffled, Steps, counts_by_weight, epoch_order
from sahmr.errors import ShardError

SHORT = st.sampled_from(["drop", "keep"])


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 70), batch=st.integers(1, 20), seed=st.none() | st.integers(0, 2**32), short=SHORT,
    ranks=st.integers(1, 9), step=st.integers(0, 300),
)  # fmt: skip
def test_shares_of_any_number_of_ranks_make_the_step(
    length: int, batch: int, seed: int | None, short: str, ranks: int, step: int
) -> None:
    steps = Steps(InOrder(length) if seed is None else Shuffled(length, seed), batch, short=short)
    whole = steps.batch(step)
    shares = [steps.share(step, rank, ranks) for rank in range(ranks)]
    assert [place for share in shares for place in share] == whole
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert {walk for walk, _ in whole} == {step // steps.per_cycle}


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 70), batch=st.integers(1, 20), seed=st.integers(0, 2**32), short=SHORT)
def test_a_cycle_has_every_sample_once_or_leaves_out_the_short_batch(
    length: int, batch: int, seed: int, short: str
) -> None:
    steps = Steps(Shuffled(length, seed), batch, short=short)
    for cycle in (0, 3):
        numbers = [
            number for step in range(steps.per_cycle) for _, number in steps.batch(cycle * steps.per_cycle + step)
        ]
        left_out = length % batch if short == "drop" and length >= batch else 0
        assert len(numbers) == len(set(numbers)) == length - left_out
        assert numbers == epoch_order(length, seed, cycle)[: len(numbers)].tolist()


def test_epochs_count_steps_and_cycles_go_on_over_their_end() -> None:
    by_cycle, by_three = (Steps(Shuffled(10, 1), 2, short="keep", per_epoch=n) for n in (None, 3))
    assert (by_cycle.per_epoch, by_three.per_epoch) == (5, 3)
    assert [by_cycle.batch(step) for step in range(30)] == [by_three.batch(step) for step in range(30)]
    numbers = [number for step in range(15) for _, number in by_three.batch(step)]  # five epochs of three steps
    for cycle in range(3):
        assert sorted(numbers[10 * cycle : 10 * cycle + 10]) == list(range(10))


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=4), seed=st.integers(0, 2**32), data=st.data(),
    cycles=st.integers(1, 6),
)  # fmt: skip
def test_a_mixture_walks_each_data_set_evenly(lengths: list[int], seed: int, data: st.DataObject, cycles: int) -> None:
    weights = data.draw(st.lists(st.floats(0.5, 4), min_size=len(lengths), max_size=len(lengths)))
    mixed = Mixed(lengths, weights, samples=40, seed=seed)
    firsts = np.cumsum([0, *lengths])
    drawn = [
        place for cycle in range(cycles) for place in zip(*map(np.ndarray.tolist, mixed.cycle(cycle)), strict=True)
    ]
    assert len(drawn) == len(set(drawn)) == 40 * cycles  # a walk has every sample once at most
    times = np.bincount([number for _, number in drawn], minlength=firsts[-1])
    for part, count in enumerate(mixed.counts):
        own = times[firsts[part] : firsts[part + 1]]
        assert own.sum() == count * cycles
        assert own.max() - own.min() <= 1


def test_weights_become_whole_numbers() -> None:
    assert counts_by_weight([3, 1], 100) == (75, 25)
    assert counts_by_weight([1, 1, 1], 10) == (4, 3, 3)
    for weights in ([1, 0], [1, float("nan")], []):
        with pytest.raises(ShardError, match="positive"):
            counts_by_weight(weights, 10)
    with pytest.raises(ShardError, match="one of them is less than a sample of 10"):
        counts_by_weight([1, 1e-9], 10)


def test_parts_of_a_rank_are_the_shares_of_more_ranks() -> None:
    steps = Steps(InOrder(23), 10, short="keep")
    for step in range(3):
        whole = [steps.share(step, share, 6) for share in range(6)]
        for ranks, parts in ((1, 6), (2, 3), (3, 2)):
            sampler = [_Share(steps, rank, ranks, parts, workers=1) for rank in range(ranks)]
            for each in sampler:
                each.numbers = range(step, step + 1)
            assert [places for each in sampler for places in each] == whole
