"""One ordered map whose results do not depend on who computes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sized
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from tqdm import tqdm

from pipelines.conversion.cluster import map_on_cluster, names_scheduler
from pipelines.conversion.preflight import expect, forget
from sahmr.settings import Between, settings

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@settings
class Parallel:
    """Section ``parallel`` of params.yaml: this machine, not the experiment, so no stage tracks it.

    Attributes:
        workers: local processes; 0 does the work in the stage's own process.
        loaders: that decode samples for a training or prediction; cannot change the batches.
        decode_in: what they are: threads of the process that computes, or processes beside it.
        threads: CPU threads of trainings and predictions; their last bits depend on it.
        checkpoint_steps: a training can go on from every so many steps, not from its whole epochs alone; 0: only these.
    """

    workers: Annotated[int, Between(0, 256)]
    loaders: Annotated[int, Between(0, 64)]
    threads: Annotated[int, Between(1, 256)]
    checkpoint_steps: Annotated[int, Between(0, 1_000_000)] = 0
    decode_in: Literal["threads", "processes"] = "threads"


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
        StoreError: if ``writable`` cannot be written from here.
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
    if workers <= 0 and not names_scheduler():
        yield from map(function, items)
        return
    expected = expect(readable, writable)
    try:
        yield from map_on_cluster(function, items, workers=workers, expected=expected)
    finally:
        forget(expected)
