"""The Dask door: a function mapped over the workers of a cluster, which may join late and die at any time."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from pipelines.conversion.preflight import Expected, inspect
from pipelines.environment import PINNED
from sahmr.errors import ClusterError, SettingsError

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_IN_FLIGHT = 8  # tasks per thread of the workers; bounds the scheduler's memory whatever the number of items
_POLL_S = 5.0
_MOST_FILE = 1 << 20  # bytes
_SILENCE_S = 10.0  # without a worker before the log says so
_WAIT = "SAHMR_WAIT_FOR_WORKERS_S"
_GO_ON = "finished pieces are kept: run the same command again"
# Dask gives a task up when the fourth worker dies with it. A dying worker takes tasks along that are not to blame.
_SUBMISSIONS = 5
_LOCAL_WORKERS = {
    "distributed.nanny.pre-spawn-environ": {
        "OMP_NUM_THREADS": "1",
        **PINNED,
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",  # looks every 10 ms, for pages that nobody sees here
        "DASK_LOGGING__DISTRIBUTED": "critical",  # a failed task is reported once, by the stage
    },
}
_log = logging.getLogger("sahmr")
_inspected: dict[str, tuple[str, ...]] = {}  # per process: what the inspection for a token found


def names_scheduler() -> bool:
    """Whether the environment names a running scheduler."""
    return bool(os.environ.get("DASK_SCHEDULER_ADDRESS") or os.environ.get("DASK_SCHEDULER_FILE"))


def map_on_cluster(
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, workers: int, expected: Expected
) -> Iterator[_Result]:
    """Inspect all workers, then compute the results there and yield them in input order.

    Args:
        function, items: picklable.
        workers: how many local processes to start where the environment names no scheduler.
        expected: what every worker must find.

    Raises:
        ClusterError: if a worker cannot do the work (all reasons of all workers at once), or the cluster is lost.
    """
    patience_s = _patience_s()
    with _client(workers) as client:
        pool = WorkerPool(client, partial(_guarded, function=function, expected=expected), patience_s)
        pool.inspect(expected)
        yield from pool.stream(items)


def _patience_s() -> float:
    """How long to wait while there is no worker at all; a queue of batch jobs may need hours."""
    text = os.environ.get(_WAIT, "600")
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"environment variable {_WAIT}: {text!r} is not a number of seconds") from None


@contextmanager
def _client(workers: int) -> Iterator[Any]:
    """A client of the running scheduler the environment names, else of a cluster of local processes."""
    from distributed import Client

    for name in ("distributed", "distributed.client", "tornado.application"):  # Dask sets levels when it is imported
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with _remote_client(Client) if names_scheduler() else _local_client(Client, workers) as client:
        yield client


def _address_in(file: Path) -> str:
    """The address in a scheduler file; Dask itself would wait for a missing one, and read a pipe, for ever."""
    if not file.is_file():
        raise FileNotFoundError("no such file" if not file.exists() else "no regular file")
    if file.stat().st_size > _MOST_FILE:
        raise ValueError(f"{file.stat().st_size} bytes, a scheduler file has 1 kB")
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"not a scheduler file: {str(problem)[:100]}") from None
    address = content.get("address") if isinstance(content, dict) else None
    if not isinstance(address, str) or not re.fullmatch(r"[a-z]{2,10}://[^\s/]{1,250}", address):
        raise ValueError(f"not a scheduler file: its address is {str(address)[:60]!r}")
    return address


@contextmanager
def _remote_client(open_client: Any) -> Iterator[Any]:
    address, file = (os.environ.get(f"DASK_SCHEDULER_{name}") for name in ("ADDRESS", "FILE"))
    try:
        client = open_client(address or _address_in(Path(file or "")))
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as problem:  # TypeError: TLS is not set up
        raise ClusterError(
            f"{address or file}: no scheduler answers there ({str(problem)[:200]}); start it, or unset "
            "DASK_SCHEDULER_ADDRESS and DASK_SCHEDULER_FILE to work on this machine alone"
        ) from None
    with client:
        yield client


@contextmanager
def _local_client(open_client: Any, workers: int) -> Iterator[Any]:
    import dask
    from distributed import LocalCluster

    with dask.config.set(_LOCAL_WORKERS):
        try:
            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0")
        except RuntimeError as problem:
            raise ClusterError(
                f"a local worker did not start ({problem.__cause__ or problem}); {_GO_ON}, or with fewer "
                "parallel.workers (0: none) in params.yaml"
            ) from None
        with cluster, open_client(cluster) as client:
            yield client


def _guarded(item: _Item, *, function: Callable[[_Item], _Result], expected: Expected) -> _Result:
    """Call the function, in a process that was inspected once for this run."""
    if expected.token not in _inspected:
        _inspected[expected.token] = tuple(inspect(expected))
    if _inspected[expected.token]:
        from distributed import get_worker

        lines = [f"worker {get_worker().address}: {line}" for line in _inspected[expected.token]]
        raise ClusterError("\n".join(["a worker that joined late cannot do the work:", *lines]))
    return function(item)


def _by_value() -> Callable[[bytes, bytes], Any]:
    """A function that travels as code, not by name: the scheduler, which reads all tasks, needs nothing of ours."""

    def call(function: bytes, item: bytes) -> Any:
        import pickle

        return pickle.loads(function)(pickle.loads(item))

    return call


class WorkerPool(Generic[_Item, _Result]):
    """The workers behind a client, which come and go, and one function for them to compute.

    Args:
        client: Dask's; it has no type hints.
        function: picklable.
        patience_s: how long to wait while there is no worker.
    """

    def __init__(self, client: Any, function: Callable[[_Item], _Result], patience_s: float) -> None:
        from distributed.protocol.pickle import dumps

        self._client, self._patience_s = client, patience_s
        self._dumps = cast("Callable[[Any], bytes]", dumps)
        self._call, self._function = _by_value(), self._dumps(function)
        self._workers: dict[str, Any] = {}
        self._looked = float("-inf")
        self._lonely_since: float | None = None
        self._has_warned = False

    def inspect(self, expected: Expected) -> None:
        """Inspect every worker there is; those that join later are inspected before their first task.

        Raises:
            ClusterError: naming every worker that cannot do the work, and why; or if there is no worker or scheduler.
        """
        first = self._client.submit(self._call, self._dumps(len), self._dumps(()), pure=False)
        self._gather(first)  # a cluster that grows with its load starts a worker for it
        found: dict[str, Any] = {}
        for pause_s in (0.0, 1.0, 5.0):  # a worker that cannot be reached may be dying
            silent = [address for address in self._look() if isinstance(found.get(address, OSError()), OSError)]
            if silent:
                time.sleep(pause_s)
                found |= self._ask(silent, expected)
        here = self._look()
        problems = [
            f"worker {address}: {line}"
            for address, answer in sorted(found.items())
            if address in here
            for line in (answer if isinstance(answer, list) else [f"cannot run our code ({answer}); install it there"])
        ]
        if problems:
            raise ClusterError("\n".join([f"{len(problems)} problems on {len(here)} workers:", *problems]))

    def _ask(self, addresses: list[str], expected: Expected) -> dict[str, Any]:
        """Each worker's list of problems, or the exception that came instead."""
        try:
            answers: dict[str, Any] = self._client.run(inspect, expected, workers=addresses, on_error="return")
        except OSError as problem:
            raise ClusterError(f"the scheduler is gone ({problem}); {_GO_ON}") from None
        return answers

    def stream(self, items: Iterable[_Item]) -> Iterator[_Result]:
        """Keep a bounded number of tasks in flight; hand back the oldest first."""
        waiting: deque[tuple[Any, _Item]] = deque()
        for item in items:
            waiting.append((self._submit(item), item))
            while len(waiting) >= self._room():
                yield self._result(*waiting.popleft())
        while waiting:
            yield self._result(*waiting.popleft())

    def _submit(self, item: _Item) -> Any:
        return self._client.submit(self._call, self._function, self._dumps(item), pure=False)

    def _room(self) -> int:
        """How many tasks may be in flight."""
        if time.monotonic() - self._looked > _POLL_S:
            self._look()
        return _IN_FLIGHT * max(1, sum(int(worker["nthreads"]) for worker in self._workers.values()))

    def _look(self) -> dict[str, Any]:
        """The workers there are now, by address.

        Raises:
            ClusterError: if the scheduler is gone, or there was no worker for longer than ``patience_s``.
        """
        if self._client.status != "running":
            raise ClusterError(f"the scheduler is gone; {_GO_ON}")
        self._workers = self._client.scheduler_info(n_workers=-1)["workers"]
        self._looked = time.monotonic()
        if self._workers:
            self._lonely_since, self._has_warned = None, False
            return self._workers
        self._lonely_since = self._lonely_since or self._looked
        lonely_s = self._looked - self._lonely_since
        if lonely_s > self._patience_s:
            raise ClusterError(
                f"no worker for {self._patience_s:.0f} s ({_WAIT} sets how long to wait): start some. "
                f"{_GO_ON[0].upper()}{_GO_ON[1:]}"
            )
        if lonely_s > _SILENCE_S and not self._has_warned:
            _log.warning("waiting for workers of %s, up to %.0f s", self._client.scheduler.address, self._patience_s)
            self._has_warned = True
        return self._workers

    def _result(self, future: Any, item: _Item) -> _Result:
        """Wait for an item's result; submit the item again if the workers that held it died."""
        from distributed.scheduler import KilledWorker

        for left in reversed(range(_SUBMISSIONS)):
            try:
                result: _Result = self._gather(future)
            except KilledWorker:
                if not left:
                    break
                future = self._submit(item)
            else:
                return result
        raise ClusterError(f"workers kept dying (often out of memory) while they computed {repr(item)[:200]}; {_GO_ON}")

    def _gather(self, future: Any) -> Any:
        """Wait as long as there is a cluster to compute it; the function's own errors come as they are."""
        from distributed.client import FutureCancelledError

        while True:
            try:
                return future.result(timeout=min(_POLL_S, max(self._patience_s, 0.1)))
            except FutureCancelledError:
                raise ClusterError(f"the scheduler is gone; {_GO_ON}") from None
            except ImportError as problem:
                raise ClusterError(f"a worker cannot run our code ({problem}); install it there. {_GO_ON}") from None
            except OSError:  # among them: not done yet
                if future.status == "error":
                    raise
                self._look()
