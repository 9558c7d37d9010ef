"""The Dask door: one ordered map whose results do not depend on the number of workers."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, TypeVar

from tqdm import tqdm

from sahmr.settings import load_section, settings

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_IN_FLIGHT = 8  # tasks per worker; bounds the scheduler's memory whatever the number of items
# Decided before numpy loads: one thread per worker and one instruction set, so that bytes do not depend on the machine.
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL",
    "DASK_LOGGING__DISTRIBUTED": "critical",  # a failed task is told once, by the stage, not by every worker
}


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
    function: Callable[[_Item], _Result], items: Iterable[_Item], *, workers: int, label: str, unit: str = "it"
) -> Iterator[_Result]:
    """Apply a function to every item and yield the results in input order.

    Args:
        function: picklable: a module-level function or a ``functools.partial`` of one.
        items: picklable arguments.
        workers: 0 runs a plain loop in this process; n > 0 starts n local processes, unless
            ``DASK_SCHEDULER_ADDRESS`` names a running scheduler, which then does the work.
        label: what the progress bar says; shown only on a terminal.
        unit: what one item is called there.

    Yields:
        One result per item. An exception in ``function`` is raised here as it was raised there.
    """
    total = len(items) if isinstance(items, Sized) else None
    with tqdm(total=total, desc=label, unit=unit, disable=None) as bar:
        for result in _run(function, items, workers):
            bar.update()
            yield result


def _run(function: Callable[[_Item], _Result], items: Iterable[_Item], workers: int) -> Iterator[_Result]:
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    if isinstance(items, Sized):
        workers = min(workers, len(items))  # a worker without work only costs its start
    if workers <= 0 and not address:
        yield from map(function, items)
        return
    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.ERROR)  # Dask sets INFO when it is imported
    if address:
        with Client(address) as client:
            yield from _stream(client, function, items)
        return
    environment = {"distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT}
    with (
        dask.config.set(environment),
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield from _stream(client, function, items)


def _stream(client: object, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Keep a bounded number of tasks in flight; hand back the oldest first."""
    from distributed import Client

    assert isinstance(client, Client)
    window = _IN_FLIGHT * max(1, len(client.scheduler_info()["workers"]))
    waiting: deque[Any] = deque()  # futures; distributed has no type hints
    for item in items:
        waiting.append(client.submit(function, item, pure=False))
        if len(waiting) >= window:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
