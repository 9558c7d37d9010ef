"""The ordered map gives the same results for any number of workers."""

import os
from collections.abc import Sequence
from fractions import Fraction
from operator import neg

import pytest

from pipelines.parallel import map_ordered
from sahmr.errors import RawDataError


def _run(items: Sequence[int], workers: int) -> list[int]:
    return list(map_ordered(neg, items, workers=workers, label="negate"))


@pytest.mark.filterwarnings("default")  # distributed warns of slow starts on a busy machine
def test_worker_count_does_not_matter() -> None:
    items = list(range(40))  # more than the window of tasks in flight
    assert _run(items, 0) == _run(items, 2) == [-i for i in items]


@pytest.mark.filterwarnings("default")
def test_workers_compute_with_one_thread_and_fixed_kernels() -> None:
    (found,) = map_ordered(os.environ.get, ["OPENBLAS_CORETYPE"], workers=1, label="environment")
    assert found == "Haswell"


def test_an_error_arrives_as_it_was_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_ordered(Fraction(1).__truediv__, [1, 0], workers=0, label="divide"))


@pytest.mark.filterwarnings("default")
def test_an_error_crosses_processes() -> None:
    def fail(item: int) -> int:
        raise RawDataError(f"file {item}")

    with pytest.raises(RawDataError, match="file 1"):
        list(map_ordered(fail, [1], workers=1, label="fail"))
