"""How far an epoch has come: the next step, and for each share its random numbers and the sums of its losses."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sahmr.training.streams import Stream
from sahmr.training.team import Team

Row = dict[str, float]
PHASES = ("data", "forward", "backward")


class Means:
    """Means over all samples of a share."""

    def __init__(self, totals: Mapping[str, float] | None = None, count: int = 0) -> None:
        self.totals, self.count = dict(totals or {}), count

    def add(self, values: Mapping[str, Float[Tensor, " batch"]]) -> None:
        """Take in one value per sample and name."""
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0.0) + float(value.double().sum())
        self.count += len(next(iter(values.values())))


def team_means(means: Sequence[Means], team: Team) -> Row:
    """Means over the samples of all shares of the team, summed up in their order; empty if nobody saw any."""
    found = [each for own in team.gather([(one.totals, one.count) for one in means]) for each in own]
    count = sum(number for _, number in found)
    names = next((list(totals) for totals, _ in found if totals), [])
    return {name: sum(totals.get(name, 0.0) for totals, _ in found) / count for name in names}


@dataclass(kw_only=True)
class Progress:
    """Within one epoch.

    Attributes:
        step: the next one; as many as were made.
        streams, means: of this process's shares.
        seconds: waited for data; in the network and the losses; in gradients and the update.
    """

    streams: list[Stream]
    means: list[Means]
    step: int = 0
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))

    @contextmanager
    def clocked(self, phase: str) -> Iterator[None]:
        """Count the time until the end of the block."""
        start = time.perf_counter()
        yield
        self.seconds[phase] += time.perf_counter() - start

    def content(self, team: Team) -> dict[str, Any]:
        """What a checkpoint has of it, of all shares of the team; every process must ask."""
        own = [
            {"stream": stream.state(), "totals": means.totals, "count": means.count}
            for stream, means in zip(self.streams, self.means, strict=True)
        ]
        shares = [share for found in team.gather(own) for share in found]
        return {"step": self.step, "shares": shares, "seconds": dict(self.seconds)}

    def load(self, content: Mapping[str, Any], team: Team) -> None:
        """Go on from there with this process's shares, however many processes there were."""
        if not content["step"]:
            return
        self.step, self.seconds = content["step"], dict(content["seconds"])
        for place, share in enumerate(team.own):
            found = content["shares"][share]
            self.streams[place].load(found["stream"])
            self.means[place] = Means(found["totals"], found["count"])


def start_epoch(seed: int, epoch: int, team: Team, device: torch.device) -> Progress:
    """An epoch before its first step."""
    streams = [Stream(seed, epoch, share, device) for share in team.own]
    return Progress(streams=streams, means=[Means() for _ in streams])


BETWEEN: dict[str, Any] = {"step": 0, "shares": [], "seconds": {}}
"""What a checkpoint has between two epochs."""
