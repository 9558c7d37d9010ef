"""Batches, epoch by epoch: the same global batches for any number of ranks and workers, from any step on."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import cv2
from torch.utils.data import DataLoader, Dataset, Sampler

from sahmr.batches.collate import collate, empty_batch
from sahmr.batches.dataset import SampleDataset
from sahmr.batches.mixture import MixedDataset
from sahmr.batches.order import Place, Steps
from sahmr.batches.threads import Threaded
from sahmr.errors import QuarantineError, SahmrError, ShardError
from sahmr.structures import Batch, Sample

log = logging.getLogger("sahmr")

DecodeIn = Literal["processes", "threads"]

_KEPT_DIGITS = 16  # of the SHA-256 of what decides the order


@dataclass(frozen=True, slots=True)
class _Failed:
    """A sample that could not be had, and why; an error would lose its type and gain a traceback between processes."""

    key: str
    error: SahmrError


class _Request(list[Place]):
    """What one process makes of a step, and what it will be asked for after that."""

    def __init__(self, places: list[Place], ahead: list[Place]) -> None:
        super().__init__(places)
        self.ahead = ahead

    def __reduce__(self) -> tuple[type[_Request], tuple[list[Place], list[Place]]]:
        return _Request, (list(self), self.ahead)


class _Attempts(Dataset[Sample | _Failed]):
    """Samples, or why there is none. While those of one step are decoded, those of the next are fetched."""

    def __init__(self, dataset: SampleDataset | MixedDataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, place: Place) -> Sample | _Failed:
        try:
            return self._dataset[place]
        except SahmrError as error:
            return _Failed(self._dataset.key(place[1]), error)

    def __getitems__(self, request: _Request) -> list[Sample | _Failed]:
        """How torch asks for a batch."""
        self.expect([*request, *request.ahead])
        return self.attempt(request)

    def expect(self, places: Sequence[Place], *, more: bool = False) -> None:
        """Say what is asked for soon, alone or beside what was said before."""
        self._dataset.expect([number for _, number in places], more=more)

    def attempt(self, request: Sequence[Place]) -> list[Sample | _Failed]:
        """All samples of a request, up to an error that ends the epoch."""
        found = list[Sample | _Failed]()
        for place in request:
            found.append(self[place])
            if isinstance(last := found[-1], _Failed) and not isinstance(last.error, ShardError):
                break  # it ends the epoch: nobody waits for a lost server once for every sample
        return found


_Made = tuple[Batch, list[_Failed]]


class _Share(Sampler[list[Place]]):
    """One rank's samples of the steps set last, in ``parts``; of every step, even if it has none of it.

    Requests go to the worker processes in turn, so the next one of the same process is ``workers`` requests later.
    """

    def __init__(self, steps: Steps, rank: int, size: int, parts: int, workers: int) -> None:
        self.steps, self.rank, self.size, self.parts = steps, rank, size, parts
        self.stride = max(1, workers)
        self.numbers = range(0)

    def __len__(self) -> int:
        return len(self.numbers) * self.parts

    def __iter__(self) -> Iterator[list[Place]]:
        waiting = deque[list[Place]]()
        for number in self.numbers:
            for part in range(self.parts):
                waiting.append(self.steps.share(number, self.rank * self.parts + part, self.size * self.parts))
                if len(waiting) > self.stride:
                    yield _Request(waiting.popleft(), waiting[-1])
        while waiting:
            yield _Request(waiting.popleft(), [])


def _put_together(found: Sequence[Sample | _Failed]) -> tuple[Batch, list[_Failed]]:
    samples = [one for one in found if isinstance(one, Sample)]
    failed = [one for one in found if isinstance(one, _Failed)]
    return collate(samples) if samples else empty_batch(), failed


def _by_processes(attempts: _Attempts, share: _Share, workers: int) -> Iterable[_Made]:
    return DataLoader(
        attempts,
        batch_sampler=share,
        collate_fn=_put_together,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=_quiet_worker,
    )


def _by_threads(attempts: _Attempts, share: _Share, workers: int) -> Iterable[_Made]:
    return Threaded(
        share,
        lambda request: _put_together(attempts.attempt(request)),
        begin=lambda request: attempts.expect(request, more=True),
        end=lambda: attempts.expect([]),
        threads=workers,
    )


class SampleLoader:
    """Batches of a data set, epoch by epoch.

    The batches of all ranks of a step, put one after the other, are the same for any number of ranks and workers, and
    all ranks have equally many. A rank's batch has no sample where there are fewer samples than ranks.

    Args:
        dataset: where samples come from.
        steps: which make which batch.
        num_workers: processes or threads; 0 decodes in between.
        decode_in: which of them; threads share this process's memory, and its interpreter with what it computes.
        share: (rank, ranks): which part of every batch is made.
        parts: a rank's share comes as so many batches, as if there were so many times more ranks.
        quarantine: so many different samples may be damaged: each is left out of its batch and counted in ``left_out``.
            None: the first one is an error. A lost server or a damaged scene always is.

    Attributes:
        step: the next to be made, counted through all epochs.
        left_out: key -> what was wrong.
    """

    def __init__(
        self,
        dataset: SampleDataset | MixedDataset,
        steps: Steps,
        *,
        num_workers: int = 0,
        decode_in: DecodeIn = "processes",
        share: tuple[int, int] = (0, 1),
        parts: int = 1,
        quarantine: int | None = None,
    ) -> None:
        self.step, self.left_out = 0, dict[str, str]()
        self._dataset, self._steps, self._quarantine = dataset, steps, quarantine
        self._share = _Share(steps, *share, parts, num_workers)
        in_threads = num_workers > 0 and decode_in == "threads"
        self._made = (_by_threads if in_threads else _by_processes)(_Attempts(dataset), self._share, num_workers)

    @property
    def samples(self) -> int:
        """Of a walk through the data."""
        return len(self._steps.order)

    def __len__(self) -> int:
        """Steps of an epoch."""
        return self._steps.per_epoch

    def epoch(self, epoch: int, *, first_batch: int = 0) -> Iterator[Batch]:
        """Batches of one epoch, from step ``first_batch`` of it on (to resume in its middle).

        Raises:
            ShardError: if a sample is damaged and there is no quarantine; later, also if its scene is.
            QuarantineError: if more are damaged than it allows.
        """
        self._share.numbers = range(epoch * len(self) + first_batch, (epoch + 1) * len(self))
        numbers = (number for number in self._share.numbers for _ in range(self._share.parts))
        for number, (batch, failed) in zip(numbers, self._made, strict=True):
            for one in failed:
                self._leave_out(one)
            self.step = number + 1
            yield batch

    def rest(self) -> Iterator[Batch]:
        """What is left of the epoch that ``step`` is in. Errors as :meth:`epoch`."""
        epoch, first = divmod(self.step, len(self))
        return self.epoch(epoch, first_batch=first)

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def keys(self, step: int) -> tuple[str, ...]:
        """Keys of a step's samples, all ranks together, counted through all epochs; none is read."""
        return tuple(self._dataset.key(number) for _, number in self._steps.batch(step))

    def state_dict(self) -> dict[str, int | str]:
        """Where it stands, at most 256 bytes of JSON: the step, and what the sequence of samples depends on."""
        return {
            "step": self.step,
            "batch_size": self._steps.batch_size,
            "samples": self.samples,
            "order": self._order,
        }

    @cached_property
    def _order(self) -> str:
        said = json.dumps([self._steps.describe(), self._dataset.digest()], sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()[:_KEPT_DIGITS]

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Stand where another loader of the same data stood, of any number of ranks and workers; see :meth:`rest`.

        Raises:
            ShardError: if it was of other data, seed or batch size, or this is no such state.
        """
        ours, step = self.state_dict(), state.get("step")
        if state.keys() != ours.keys() or type(step) is not int or not 0 <= step < 2**63:
            raise ShardError(f"state of a loader: found {str(dict(state))[:200]}, expected {sorted(ours)}")
        for name in ("batch_size", "samples", "order"):
            if state[name] != ours[name]:
                more = " (seed, mixing, or the keys themselves)" if name == "order" else ""
                raise ShardError(
                    f"state of a loader: {name}{more} is {state[name]!r}, here it is {ours[name]!r}: it would go on "
                    "with other samples; load it with the settings and data it was made with"
                )
        self.step = step

    def _leave_out(self, one: _Failed) -> None:
        if self._quarantine is None or not isinstance(one.error, ShardError):
            raise one.error
        if one.key in self.left_out:
            return
        self.left_out[one.key] = str(one.error)
        log.warning("left out of its batch: %s", one.error)
        if len(self.left_out) > self._quarantine:
            raise QuarantineError(
                f"{len(self.left_out)} damaged samples, allowed at most {self._quarantine}; the last: {one.error}"
            )


def _quiet_worker(_worker: int) -> None:
    """One thread per worker process: they already share the cores."""
    cv2.setNumThreads(0)


def make_loader(
    dataset: SampleDataset | MixedDataset,
    *,
    batch_size: int,
    seed: int | None = None,
    num_workers: int = 0,
    decode_in: DecodeIn = "processes",
    share: tuple[int, int] = (0, 1),
    parts: int = 1,
    short: Literal["drop", "keep"] | None = None,
    steps_per_epoch: int | None = None,
    quarantine: int | None = None,
) -> SampleLoader:
    """Loader for training (``seed`` given: shuffled, short last batch left out) or evaluation (``seed`` None).

    Args:
        dataset, num_workers, decode_in, share, parts, quarantine: as :class:`SampleLoader` has them.
        batch_size: samples of a step, all ranks together.
        seed: of the order.
        short: what becomes of a short last batch, if not what is said above; see :class:`sahmr.batches.order.Steps`.
        steps_per_epoch: None: an epoch is every sample once.
    """
    rule = short or ("keep" if seed is None else "drop")
    steps = Steps(dataset.order(seed), batch_size, short=rule, per_epoch=steps_per_epoch)
    return SampleLoader(
        dataset, steps, num_workers=num_workers, decode_in=decode_in, share=share, parts=parts, quarantine=quarantine
    )
