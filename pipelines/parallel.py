"""The Dask door: one ordered map whose results do not depend on the number of workers."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

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
}


@settings
class Parallel:
    """Section ``parallel`` of params.yaml. It cannot change a result, so no stage tracks it.

    Attributes:
        workers: local processes; 0 does the work in the stage's own process.
    """

    workers: int


def worker_count() -> int:
    """How many local processes ``params.yaml`` allows."""
    return load_section("parallel", Parallel).workers


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
    if workers <= 0 and not address:
        yield from map(function, items)
        return
    import dask
    from distributed import Client, LocalCluster

    if address:
        with Client(address) as client:
            yield from _stream(client, function, items)
        return
    environment = {"distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT}
    with (
        dask.config.set(environment),
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield from _stream(client, function, items)


def _stream(client: object, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """Keep a bounded number of tasks in flight; hand back the oldest first."""
    from distributed import Client

    assert isinstance(client, Client)
    window = _IN_FLIGHT * max(1, len(client.scheduler_info()["workers"]))
    waiting: deque[object] = deque()
    for item in items:
        waiting.append(client.submit(function, item, pure=False))
        if len(waiting) >= window:
            yield waiting.popleft().result()  # type: ignore[attr-defined]  # distributed has no type hints
    while waiting:
        yield waiting.popleft().result()  # type: ignore[attr-defined]
