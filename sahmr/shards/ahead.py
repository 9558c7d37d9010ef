"""Reads that are begun before their results are needed, in a thread: latency of a server passes beside other work."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

_Asked = TypeVar("_Asked")
_THREADS = 2  # a step that comes slowly does not hold up the one behind it


class Ahead(Generic[_Asked]):
    """Results by name.

    Args:
        read: gives one result, and raises what is wrong.
        read_all: gives many at once; None in place of one that cannot be had. Called in a thread.
    """

    def __init__(
        self, read: Callable[[_Asked], bytes], read_all: Callable[[Sequence[_Asked]], Sequence[bytes | None]]
    ) -> None:
        self._read, self._read_all = read, read_all
        self._pools: dict[int, ThreadPoolExecutor] = {}  # by process: threads do not survive a fork
        self._begun: dict[tuple[int, str], tuple[Future[Sequence[bytes | None]], int]] = {}  # and place among many
        self._lock = threading.Lock()

    def ask(self, things: Mapping[str, _Asked], *, more: bool = False) -> None:
        """Begin with what is not begun yet, all at once; unless it is ``more``, forget whatever else was."""
        with self._lock:
            self._ask(os.getpid(), things, more)

    def _ask(self, here: int, things: Mapping[str, _Asked], more: bool) -> None:
        if here not in self._pools:
            self._pools = {here: ThreadPoolExecutor(_THREADS, thread_name_prefix="ahead")}
        kept = {key: begun for key, begun in self._begun.items() if key[0] == here and (more or key[1] in things)}
        wanted = {future for future, _ in kept.values()}
        for key, (future, _) in self._begun.items():
            if key[0] == here and future not in wanted:
                future.cancel()
        fresh = {name: thing for name, thing in things.items() if (here, name) not in kept}
        self._begun = kept
        if fresh:
            begun = self._pools[here].submit(self._read_all, list(fresh.values()))
            self._begun |= {(here, name): (begun, place) for place, name in enumerate(fresh)}

    def take(self, name: str, thing: _Asked) -> bytes:
        """A result, at once if it has come; nothing of it is kept. Errors as ``read``."""
        with self._lock:
            begun, place = self._begun.pop((os.getpid(), name), (None, 0))
        data = None if begun is None else begun.result()[place]
        return self._read(thing) if data is None else data

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pools": {}, "_begun": {}, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())
