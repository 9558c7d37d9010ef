"""The processes of a team: started here on this machine, or by ``torchrun``."""

from __future__ import annotations

import logging
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TypeVar

import torch

from sahmr.errors import SahmrError, SettingsError
from sahmr.training.team import Launch, Team, find_launch, joined

log = logging.getLogger("sahmr")

_T = TypeVar("_T")
_Other = tuple[BaseProcess, Connection]
_LAST_WORDS_S = 3.0  # for the end of one that fails, and for its message


def plan_team(processes: int, accumulation: int) -> Team:
    """This process in the team that takes the steps of ``processes x accumulation`` shares.

    Under ``torchrun`` its number of processes counts, else ``processes``, on a machine with GPUs at most so many.

    Raises:
        SettingsError: if ``torchrun`` started a number that the shares do not divide into.
    """
    shares, launch = processes * accumulation, find_launch()
    fitting = [size for size in range(1, shares + 1) if shares % size == 0]
    if launch is None:
        most = min(processes, torch.cuda.device_count()) if torch.cuda.is_available() else processes
        size = max(size for size in fitting if size <= most)
        return Team(size=size, parts=shares // size)
    if launch.size not in fitting:
        raise SettingsError(
            f"torchrun: found {launch.size} processes, allowed {', '.join(map(str, fitting))}: they take the shares of "
            f"a step, of which params.yaml has {shares} (processes x accumulation); start another number, or edit these"
        )
    return Team(rank=launch.rank, size=launch.size, parts=shares // launch.size)


def work_together(team: Team, work: Callable[[Team], _T], prepare: Callable[[], object]) -> _T:
    """Do the same work in every process of a team; returns this one's result.

    Args:
        team: this process is its first; or one of those that ``torchrun`` started, which are :func:`connected`.
        work: picklable: a ``functools.partial`` of a module-level function.
        prepare: what new processes do first, e.g. set up torch as it is here; picklable as well.

    Raises:
        SahmrError: what any of the processes raised, or if one was killed.
    """
    if team.size == 1 or find_launch() is not None:
        return work(team)
    with tempfile.TemporaryDirectory(prefix="sahmr-team-") as folder:
        meeting = f"file://{Path(folder).resolve() / 'meeting'}"
        with _others(team, work, prepare, meeting) as others, joined(meeting, 0, team.size):
            try:
                return work(team)
            except RuntimeError as error:  # torch's, when the connection to another process closes
                patience = _LAST_WORDS_S * (10 if "onnection" in str(error) else 1)
                if not any(_has_ended(process, patience) for process, _ in others):
                    raise
                raise SahmrError(_last_words([words for _, words in others])) from error


@contextmanager
def connected(launch: Launch | None) -> Iterator[None]:
    """Connect with the processes that ``torchrun`` started, if it did, until the end of the block.

    Raises:
        SahmrError: if one of them ends before.
    """
    if launch is None:
        yield
        return
    try:
        with joined("env://", launch.rank, launch.size):
            yield
    except RuntimeError as error:
        if not isinstance(error, torch.distributed.DistError) and "onnection" not in str(error):
            raise
        raise _lost(launch, error) from error


def hear_first(word: str | None = None) -> str:
    """What the first of the processes that ``torchrun`` started says to all; without ``torchrun`` one's own word.

    Args:
        word: of the first process; None in all others, which wait for it.
    """
    launch = find_launch()
    if launch is None:
        return word or ""
    said: list[str | None] = Team(rank=launch.rank, size=launch.size).gather(word)
    return said[0] or ""


def _lost(launch: Launch, error: Exception) -> SahmrError:
    return SahmrError(
        f"process {launch.rank} of the training: another process ended ({str(error).splitlines()[0][:160]}); "
        "that one's own message says why: run the same command again"
    )


@contextmanager
def _others(
    team: Team, work: Callable[[Team], object], prepare: Callable[[], object], meeting: str
) -> Iterator[list[_Other]]:
    """The other processes, and where each says why it failed."""
    context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
    started: list[_Other] = []
    for rank in range(1, team.size):
        here, there = context.Pipe(duplex=False)
        member = Team(rank=rank, size=team.size, parts=team.parts)
        process = context.Process(target=_work_as, args=(member, work, prepare, meeting, there), daemon=False)
        process.start()
        there.close()
        started.append((process, here))
    log.info("training in %d processes", team.size)
    patience = 1.0
    try:
        yield started
        patience = 60.0  # their loaders end, too
    finally:
        for other, _ in started:
            other.join(patience)
            if other.is_alive():
                other.kill()  # a training takes its time over SIGTERM
                other.join()


def _work_as(
    team: Team,
    work: Callable[[Team], object],
    prepare: Callable[[], object],
    meeting: str,
    words: Connection,
) -> None:
    """What another process of the team does."""
    try:
        prepare()
        with joined(meeting, team.rank, team.size):
            work(team)
    except SahmrError as error:
        _say(words, (True, str(error)))
    except KeyboardInterrupt:
        pass
    except RuntimeError as error:  # often the connection to one that ended, and that says why
        _say(words, (False, f"process {team.rank} of the training: {str(error).splitlines()[0][:300]}"))
    finally:
        words.close()


def _say(words: Connection, message: tuple[bool, str]) -> None:
    with suppress(OSError):  # nobody may listen any more
        words.send(message)


def _has_ended(process: BaseProcess, patience: float) -> bool:
    process.join(patience)
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
