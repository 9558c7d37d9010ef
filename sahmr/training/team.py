"""Processes of this machine that train one network together: each takes its share of every batch."""

from __future__ import annotations

import logging
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, distributed

from sahmr.errors import SahmrError

log = logging.getLogger("sahmr")

_T = TypeVar("_T")
_Other = tuple[BaseProcess, Connection]
_PATIENCE = timedelta(hours=6)  # for the others; one that ends is noticed at once, by its closed connection
_LAST_WORDS_S = 3.0  # for the end of one that fails, and for its message


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """One process among ``size``; the first writes files and logs.

    Attributes:
        rank: 0 is the first.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and logs."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace float tensors, in the same order in every process, by their means over all."""
        self._add(tensors, share=1 / self.size)

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by their sums over all processes."""
        self._add(tensors, share=1)

    def share_names(self, names: list[str]) -> list[str]:
        """The first process's names, or the first that are not empty."""
        if self.size == 1:
            return names
        found: list[list[str]] = [[] for _ in range(self.size)]
        distributed.all_gather_object(found, names)
        return next((each for each in found if each), [])

    def wait(self) -> None:
        """Go on when all have come this far."""
        if self.size > 1:
            distributed.barrier()

    def _add(self, tensors: Sequence[Tensor], *, share: float) -> None:
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        flat *= share
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.detach().copy_(part.view_as(tensor))


ALONE = Team()


def work_together(size: int, work: Callable[[Team], _T], prepare: Callable[[], object]) -> _T:
    """Do the same work in ``size`` processes, this one included; returns this one's result.

    Args:
        size: of the team; 1 starts no process.
        work: picklable: a ``functools.partial`` of a module-level function.
        prepare: what the new processes do first, e.g. set up torch as it is here; picklable as well.

    Raises:
        SahmrError: what any of the processes raised, or if one was killed.
    """
    if size == 1:
        return work(ALONE)
    with tempfile.TemporaryDirectory(prefix="sahmr-team-") as folder:
        meeting = f"file://{Path(folder).resolve() / 'meeting'}"
        with _others(size, work, prepare, meeting) as others:
            try:
                _join(meeting, 0, size)
                return work(Team(size=size))
            except RuntimeError as error:  # torch's, when the connection to another process closes
                if not any(_has_ended(process) for process, _ in others):
                    raise
                raise SahmrError(_last_words([words for _, words in others])) from error
            finally:
                with suppress(RuntimeError):
                    distributed.destroy_process_group()


def _join(meeting: str, rank: int, size: int) -> None:
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # the machine's name need not be known to any server
    distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=size, timeout=_PATIENCE)


@contextmanager
def _others(
    size: int, work: Callable[[Team], object], prepare: Callable[[], object], meeting: str
) -> Iterator[list[_Other]]:
    """The other processes, and where each says why it failed."""
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    started: list[_Other] = []
    for rank in range(1, size):
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_work_as, args=(rank, size, work, prepare, meeting, there), daemon=False)
        process.start()
        there.close()
        started.append((process, here))
    log.info("training in %d processes", size)
    patience = 1.0
    try:
        yield started
        patience = 60.0  # their loaders end, too
    finally:
        for other, _ in started:
            other.join(patience)
            if other.is_alive():
                other.terminate()
                other.join()


def _work_as(
    rank: int,
    size: int,
    work: Callable[[Team], object],
    prepare: Callable[[], object],
    meeting: str,
    words: Connection,
) -> None:
    """What another process of the team does."""
    try:
        prepare()
        _join(meeting, rank, size)
        work(Team(rank=rank, size=size))
        distributed.destroy_process_group()
    except SahmrError as error:
        _say(words, (True, str(error)))
    except KeyboardInterrupt:
        pass
    except RuntimeError as error:  # often the connection to one that ended, and that says why
        _say(words, (False, f"process {rank} of the training: {str(error).splitlines()[0][:300]}"))
    finally:
        words.close()


def _say(words: Connection, message: tuple[bool, str]) -> None:
    with suppress(OSError):  # nobody may listen any more
        words.send(message)


def _has_ended(process: BaseProcess) -> bool:
    process.join(_LAST_WORDS_S)
    return not process.is_alive()


def _last_words(words: Sequence[Connection]) -> str:
    """Of the process that knows best; a lost connection is what it left to the others."""
    said: list[tuple[bool, str]] = []
    for connection in words:
        with suppress(EOFError, OSError):
            if connection.poll(_LAST_WORDS_S):
                said.append(connection.recv())
    if said:
        return max(said, key=lambda message: message[0])[1]
    return (
        "a process that trained with this one ended without a word (killed, or out of memory?); run the same command "
        "again, or set processes: 1 in its section of params.yaml"
    )
