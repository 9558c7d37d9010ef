"""What a loader asks for, made by threads of its own process: nothing is copied, and what is kept is kept once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import cv2
import torch

_AHEAD = 2  # requests of each thread that are begun or done before they are wanted, as of each of torch's processes

_Asked = TypeVar("_Asked")
_Made = TypeVar("_Made")


class Threaded(Generic[_Asked, _Made]):
    """Answers to an epoch's requests, in their order, whenever it is iterated over: torch's ``DataLoader`` in small.

    Args:
        requests: of the epoch.
        make: answers one; an error ends the epoch when its turn comes.
        begin: told of every request before it is made, by whoever iterates.
        end: told when no more are wanted.
        threads: that make them.
    """

    def __init__(
        self,
        requests: Iterable[_Asked],
        make: Callable[[_Asked], _Made],
        *,
        begin: Callable[[_Asked], None],
        end: Callable[[], None],
        threads: int,
    ) -> None:
        self._requests, self._make, self._begin, self._end, self._threads = requests, make, begin, end, threads

    def __iter__(self) -> Iterator[_Made]:
        torch.empty((), dtype=torch.int64).random_()  # torch's DataLoader takes one number: who goes on has the same
        pool, waiting = ThreadPoolExecutor(self._threads, "loader", _be_quiet), deque[Future[_Made]]()
        try:
            for request in self._requests:
                self._begin(request)
                waiting.append(pool.submit(self._make, request))
                if len(waiting) > _AHEAD * self._threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # a lost server is waited for once, not by every thread
            self._end()


def _be_quiet() -> None:
    """OpenCV starts no threads of its own: these already share the cores."""
    cv2.setNumThreads(0)
