"""The ordered map gives the same results for any workers, whoever of them dies, and says clearly when it cannot."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from operator import neg
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from pipelines.conversion import cluster as door
from pipelines.conversion.parallel import map_ordered
from pipelines.conversion.preflight import expect
from pipelines.environment import PINNED
from sahmr.errors import ClusterError, RawDataError, SettingsError
from tests.soak.processes import Cluster, Start, cluster, environment, kill_family, until

pytestmark = pytest.mark.filterwarnings("default")  # distributed warns of slow starts on a busy machine


def run(items: Sequence[int], workers: int) -> list[int]:
    return list(map_ordered(neg, items, workers=workers, label="negate"))


def test_worker_count_does_not_matter() -> None:
    items = list(range(40))  # more than the window of tasks in flight
    assert run(items, 0) == run(items, 2) == [-i for i in items]


def test_workers_compute_with_one_thread_and_fixed_kernels() -> None:
    found = map_ordered(os.environ.get, list(PINNED), workers=1, label="environment")
    assert dict(zip(PINNED, found, strict=True)) == PINNED


def test_an_error_arrives_as_it_was_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        list(map_ordered(Fraction(1).__truediv__, [1, 0], workers=0, label="divide"))


def test_an_error_crosses_processes() -> None:
    def fail(item: int) -> int:
        raise [RawDataError(f"file {item}"), FileNotFoundError(2, "No such file", "here")][item]

    with pytest.raises(RawDataError, match="file 0"):
        list(map_ordered(fail, [0], workers=1, label="fail"))


class FakeFuture:
    """Answers in order; the last answer stays."""

    status = "pending"

    def __init__(self, *answers: Any) -> None:
        self._answers = deque(answers)

    def result(self, timeout: float) -> Any:
        answer = self._answers[0] if len(self._answers) == 1 else self._answers.popleft()
        if isinstance(answer, BaseException):
            raise answer
        return answer


class FakeClient:
    """Counts what is in flight; ``future`` makes the answer to the n-th submission."""

    def __init__(self, future: Callable[[int], FakeFuture], workers: int = 1) -> None:
        self.status, self.submitted = "running", 0
        self._future, self._workers = future, workers

    def submit(self, *_: Any, pure: bool) -> FakeFuture:
        assert not pure  # equal items are two tasks
        self.submitted += 1
        return self._future(self.submitted)

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        assert n_workers == -1  # all, and not the first five
        return {"workers": {f"tcp://{number}": {"nthreads": 2} for number in range(self._workers)}}


def pool(client: FakeClient, patience_s: float = 0.0) -> door.WorkerPool[int, int]:
    return door.WorkerPool(client, neg, patience_s)


def test_tasks_in_flight_are_bounded_by_the_threads_of_all_workers() -> None:
    client = FakeClient(FakeFuture, workers=7)
    results = pool(client).stream(range(1000))
    assert next(results) == 1
    assert client.submitted == 8 * 7 * 2
    assert [next(results) for _ in range(5)] == [2, 3, 4, 5, 6]
    assert client.submitted == 8 * 7 * 2 + 5


def test_an_item_is_handed_out_again_when_workers_die_with_it() -> None:
    client = FakeClient(lambda number: FakeFuture(KilledWorker("task", None, 3) if number < 5 else "made"))
    assert list(pool(client).stream([0])) == ["made"]
    client = FakeClient(lambda _: FakeFuture(KilledWorker("task", None, 3)))
    with pytest.raises(ClusterError, match=r"(?s)kept dying.*memory.*computed 17; finished pieces are kept"):
        list(pool(client).stream([17]))
    assert client.submitted == 5


@pytest.mark.parametrize("problem", [FutureCancelledError("task", "scheduler-connection-lost"), TimeoutError()])
def test_a_lost_scheduler_is_one_clear_error(problem: BaseException) -> None:
    client = FakeClient(lambda _: FakeFuture(problem))
    client.status = "connecting"
    with pytest.raises(ClusterError, match="the scheduler is gone; finished pieces are kept"):
        list(pool(client).stream([1]))


def test_a_cluster_without_workers_is_given_up_but_not_before_its_time() -> None:
    client = FakeClient(lambda _: FakeFuture(*[TimeoutError()] * 3, "late"), workers=0)
    assert list(pool(client, patience_s=60).stream([1])) == ["late"]
    client = FakeClient(lambda _: FakeFuture(TimeoutError()), workers=0)
    with pytest.raises(ClusterError, match=r"no worker for 0 s .SAHMR_WAIT_FOR_WORKERS_S"):
        list(pool(client).stream([1]))


def test_a_workers_own_timeout_or_full_disk_is_not_taken_for_a_lost_cluster() -> None:
    class Failed(FakeFuture):
        status = "error"

    for problem in (TimeoutError("of the function"), OSError(28, "No space left")):
        with pytest.raises(type(problem), match=str(problem.args[-1])):
            list(pool(FakeClient(lambda _, problem=problem: Failed(problem))).stream([1]))


def test_the_wait_for_workers_must_be_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAHMR_WAIT_FOR_WORKERS_S", "an hour")
    with pytest.raises(SettingsError, match="SAHMR_WAIT_FOR_WORKERS_S: 'an hour' is not a number"):
        run([1], 1)


def test_a_worker_that_joined_late_is_inspected_before_its_first_task(monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    worker = type("Worker", (), {"address": "tcp://late:1"})()
    monkeypatch.setattr(distributed, "get_worker", lambda: worker)
    monkeypatch.setattr(door, "_inspected", {})
    monkeypatch.setattr(door, "inspect", lambda _: ["other code in /there"])
    with pytest.raises(ClusterError, match=r"joined late.*\nworker tcp://late:1: other code in /there"):
        door._guarded(1, function=neg, expected=expect())
    monkeypatch.setattr(door, "inspect", lambda _: [])
    assert door._guarded(1, function=neg, expected=expect()) == -1


def test_a_scheduler_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_SCHEDULER_FILE", str(tmp_path / "scheduler.json"))
    with pytest.raises(ClusterError, match=r"scheduler\.json: no scheduler answers there .no such file.; start it, or"):
        run([1], 0)
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", "tcp://127.0.0.1:9")
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.5s"}),
        pytest.raises(ClusterError, match=r"tcp://127\.0\.0\.1:9: no scheduler answers there"),
    ):
        run([1], 0)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A scheduler and one worker; the scheduler has none of our code."""
    folder = tmp_path_factory.mktemp("cluster")
    start = Start(cwd=Path("/"), env=environment())
    bare = Start(cwd=Path("/"), env={name: value for name, value in environment().items() if name != "PYTHONPATH"})
    with cluster(folder, start, workers=1, scheduler=bare) as made:
        yield made


def test_a_cluster_that_dies_is_told_and_not_waited_for(real: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after the other: it works; its only worker dies; its scheduler dies."""
    monkeypatch.setenv("DASK_SCHEDULER_FILE", str(real.file))
    assert run(range(20), 0) == [-number for number in range(20)]
    monkeypatch.setenv("SAHMR_WAIT_FOR_WORKERS_S", "1")
    results = map_ordered(time.sleep, [0.0, *[0.2] * 100], workers=0, label="sleep")
    next(results)
    kill_family(real.workers)
    with pytest.raises(ClusterError, match=r"no worker for 1 s .*Finished pieces are kept: run the same command again"):
        list(results)
    monkeypatch.setenv("SAHMR_WAIT_FOR_WORKERS_S", "600")
    killer = threading.Timer(1.0, real.scheduler.kill)
    killer.start()
    started = time.monotonic()
    with pytest.raises(ClusterError, match="the scheduler is gone; finished pieces are kept"):
        run([1], 0)
    assert time.monotonic() - started < 30
    until(lambda: real.scheduler.poll() is not None, "the scheduler's end")
