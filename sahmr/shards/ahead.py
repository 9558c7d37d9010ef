"""Reads that are begun before their result is needed, in threads: latency of a server passes beside other work."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from sahmr.errors import RemoteError

_Asked = TypeVar("_Asked")


class Ahead(Generic[_Asked]):
    """Results by name; an error is raised where its result is taken.

    Args:
        read: gives a result; called in threads.
        threads: so many at a time, in each process that asks.
    """

    def __init__(self, read: Callable[[_Asked], bytes], threads: int) -> None:
        self._read, self._threads = read, threads
        self._pools: dict[int, ThreadPoolExecutor] = {}  # by process: threads do not survive a fork
        self._begun: dict[tuple[int, str], Future[bytes]] = {}

    def ask(self, things: Mapping[str, _Asked]) -> None:
        """Begin with what is not begun yet, in this order, and forget whatever else was."""
        here = os.getpid()
        if here not in self._pools:
            self._pools = {here: ThreadPoolExecutor(self._threads, thread_name_prefix="ahead")}
        names = {(here, name): thing for name, thing in things.items()}
        for key, future in self._begun.items():
            if key not in names and key[0] == here:
                future.cancel()
        kept = {key: self._begun[key] for key in names if key in self._begun}
        self._begun = kept | {
            key: self._pools[here].submit(self._read, thing) for key, thing in names.items() if key not in kept
        }

    def take(self, name: str, thing: _Asked) -> bytes:
        """A result, at once if it has come; nothing of it is kept. Errors as ``read``."""
        begun = self._begun.pop((os.getpid(), name), None)
        if begun is None:
            return self._read(thing)
        try:
            return begun.result()
        except RemoteError as problem:
            if problem.may_pass:  # but did not: what waits for the same server is given up
                self.ask({})
            raise

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pools": {}, "_begun": {}}
