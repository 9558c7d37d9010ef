"""The Dask door: one ordered map whose results do not depend on who computes them."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from pipelines.environment import PINNED
from pipelines.preflight import Expected, expect, forget, inspect
from sahmr.errors import ClusterError
from sahmr.settings import load_section, settings

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_IN_FLIGHT = 8  # tasks per worker; bounds the scheduler's memory whatever the number of items
_POLL_S = 5.0
_NO_WORKER_S = 600.0  # a cluster without any worker for so long is given up
_GO_ON = "finished pieces are kept: run the same command again"
# Of a local cluster's workers. A lost worker counts against every task it held, so innocent ones must bear a few.
_DASK = {
    "distributed.nanny.pre-spawn-environ": {
        "OMP_NUM_THREADS": "1",
        **PINNED,
        "DASK_LOGGING__DISTRIBUTED": "critical",  # a failed task is told once, by the stage, not by every worker
    },
    "distributed.scheduler.allowed-failures": 20,
}
_inspected: dict[str, tuple[str, ...]] = {}  # per process: what the inspection for a token found


@settings
class Parallel:
    """Section ``parallel`` of params.yaml: this machine, not the experiment, so no stage tracks it.

    Attributes:
        workers: local processes; 0 does the work in the stage's own process.
        loaders: processes that decode samples for a training or prediction; cannot change the batches.
        threads: CPU threads of trainings and predictions; their last bits depend on it.
    """

    workers: int
    loaders: int
    threads: int


def worker_count() -> int:
    """How many local processes ``params.yaml`` allows."""
    return load_section("parallel", Parallel).workers


def loader_count() -> int:
    """How many processes decode samples beside a training or prediction."""
    return load_section("parallel", Parallel).loaders


def thread_count() -> int:
    """How many CPU threads torch may use."""
    return load_section("parallel", Parallel).threads


def map_ordered(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    workers: int,
    label: str,
    unit: str = "it",
    readable: tuple[Path, ...] = (),
    writable: Path | None = None,
) -> Iterator[_Result]:
    """Apply a function to every item and yield the results in input order.

    Args:
        function: picklable: a module-level function or a ``functools.partial`` of one.
        items: picklable arguments.
        workers: 0 runs a plain loop in this process; n > 0 starts n local processes, unless
            ``DASK_SCHEDULER_ADDRESS`` or ``DASK_SCHEDULER_FILE`` names a running scheduler, which then does the work.
        label: what the progress bar says; shown only on a terminal.
        unit: what one item is called there.
        readable, writable: absolute folders that every worker must share with this process.

    Yields:
        One result per item. An exception in ``function`` is raised here as it was raised there.

    Raises:
        ClusterError: if a worker cannot do the work (all reasons of all workers at once), or the cluster is lost.
    """
    total = len(items) if isinstance(items, Sized) else None
    with tqdm(total=total, desc=label, unit=unit, disable=None) as bar:
        for result in _run(function, items, workers, readable, writable):
            bar.update()
            yield result


def _run(
    function: Callable[[_Item], _Result],
    items: Iterable[_Item],
    workers: int,
    readable: tuple[Path, ...],
    writable: Path | None,
) -> Iterator[_Result]:
    if isinstance(items, Sized):
        workers = min(workers, len(items))  # a worker without work only costs its start
        if len(items) == 0:
            return
    if workers <= 0 and not _names_scheduler():
        yield from map(function, items)
        return
    expected = expect(readable, writable)
    try:
        with _client(workers) as client:
            _inspect_all(client, expected)
            yield from _stream(client, partial(_guarded, function=function, expected=expected), items)
    finally:
        forget(expected)


def _names_scheduler() -> bool:
    return bool(os.environ.get("DASK_SCHEDULER_ADDRESS") or os.environ.get("DASK_SCHEDULER_FILE"))


@contextmanager
def _client(workers: int) -> Iterator[Any]:
    """A client of the running scheduler the environment names, else of a cluster of local processes."""
    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # Dask sets INFO when it is imported
    address, file = (os.environ.get(f"DASK_SCHEDULER_{name}") for name in ("ADDRESS", "FILE"))
    if address or file:
        try:
            client = Client(address) if address else Client(scheduler_file=file)
        except (OSError, ValueError) as problem:
            raise ClusterError(
                f"{address or file}: no scheduler answers there ({problem}); start it, or unset "
                "DASK_SCHEDULER_ADDRESS and DASK_SCHEDULER_FILE to work on this machine alone"
            ) from None
        with client:
            yield client
        return
    with (
        dask.config.set(_DASK),
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _worker_addresses(client: Any) -> list[str]:
    return sorted(client.scheduler_info(n_workers=-1)["workers"])


def _inspect_all(client: Any, expected: Expected) -> None:
    """Run the inspection on every worker there is; those that join later are inspected before their first task."""
    started = time.monotonic()
    while not _worker_addresses(client):
        if time.monotonic() - started > _NO_WORKER_S:
            raise ClusterError(
                f"the scheduler had no worker for {_NO_WORKER_S:.0f} s; start some. {_GO_ON.capitalize()}"
            )
        time.sleep(0.2)
    found = client.run(inspect, expected, on_error="return")
    problems = [
        f"worker {address}: {line}"
        for address, lines in sorted(found.items())
        for line in (lines if isinstance(lines, list) else [f"cannot run our code ({lines!r}); install it there"])
    ]
    if problems:
        raise ClusterError("\n".join([f"{len(problems)} problems on {len(found)} workers:", *problems]))


def _guarded(item: _Item, *, function: Callable[[_Item], _Result], expected: Expected) -> _Result:
    """Call the function, in a process that was inspected once for this run."""
    if expected.token not in _inspected:
        _inspected[expected.token] = tuple(inspect(expected))
    if _inspected[expected.token]:
        from distributed import get_worker

        lines = [f"worker {get_worker().address}: {line}" for line in _inspected[expected.token]]
        raise ClusterError("\n".join(["a worker that joined late cannot do the work:", *lines]))
    return function(item)


def _stream(client: Any, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Keep a bounded number of tasks in flight; hand back the oldest first."""
    waiting: deque[Any] = deque()  # futures; distributed has no type hints
    for item in items:
        waiting.append(client.submit(function, item, pure=False))
        if len(waiting) >= _IN_FLIGHT * max(1, len(client.scheduler_info()["workers"])):
            yield _result(client, waiting.popleft())
    while waiting:
        yield _result(client, waiting.popleft())


def _result(client: Any, future: Any) -> Any:
    """Wait for a future as long as there is a cluster to compute it."""
    from distributed import wait
    from distributed.client import FutureCancelledError
    from distributed.scheduler import KilledWorker

    lonely_since = None
    while not future.done():
        try:
            wait([future], timeout=_POLL_S)
        except TimeoutError:
            if client.status != "running":
                raise ClusterError(f"the scheduler is gone; {_GO_ON}") from None
            lonely_since = None if _worker_addresses(client) else lonely_since or time.monotonic()
            if lonely_since is not None and time.monotonic() - lonely_since > _NO_WORKER_S:
                raise ClusterError(f"no worker is left for {_NO_WORKER_S:.0f} s; {_GO_ON}") from None
    try:
        return future.result()
    except KilledWorker as problem:
        raise ClusterError(f"workers died again and again on one task ({problem}); {_GO_ON}") from None
    except (FutureCancelledError, OSError) as problem:
        if client.status == "running" and isinstance(problem, OSError):
            raise
        raise ClusterError(f"the scheduler is gone ({type(problem).__name__}); {_GO_ON}") from None
