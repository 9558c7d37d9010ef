"""Live curves of a training, through DVCLive: the door to it."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sahmr.settings import Paths
from sahmr.training.progress import Row

if TYPE_CHECKING:
    from dvclive.live import Live


log = logging.getLogger("sahmr")


class Curves:
    """Curves and latest values of one training, a line per epoch.

    Args:
        folder: gets ``plots/metrics/<name>.tsv`` and, with the last epoch's values, ``metrics.json``; what other
            trainings left of these is removed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._shown, self._is_off = folder, 0, False
        self._live: Live | None = None

    def __call__(self, history: Sequence[Row], times: Sequence[Row]) -> None:
        """Show what is new; of a training that was resumed, all: after a kill no line is there twice.

        Args:
            history, times: a row per epoch so far, see :func:`sahmr.training.trainer.train`.
        """
        if self._is_off:
            return
        try:
            live = self._live = self._live or _start(self._folder)
        except Exception as error:  # many kinds, from git's first commit missing on; a training is worth more
            self._is_off = True
            log.warning("%s: no live curves: %s", self._folder, str(error).split("\n")[0][:200])
            return
        for row, seconds in zip(history[self._shown :], times[self._shown :], strict=True):
            live.step = int(row["epoch"])
            for name, value in {**row, **seconds}.items():
                if name in ("train_loss", "val_loss") or name.endswith(("_mm", "_s")):  # the history has all
                    live.log_metric(name, value)
            live.next_step()  # type: ignore[no-untyped-call]  # the library leaves it untyped
        self._shown = len(history)


def watcher(stage: str, paths: Paths) -> Curves:
    """What shows a training's rows and times, below ``paths.reports``."""
    return Curves(paths.reports / "live" / stage)


def show_finished(stage: str, paths: Paths, history: Path) -> None:
    """Curves of a training that was finished before, from its history; of its times nothing is known any more."""
    with history.open(newline="") as lines:
        rows = [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(lines)]
    watcher(stage, paths)(rows, [{} for _ in rows])


def _start(folder: Path) -> Live:
    """Half of DVC loads with it, so only once there is something to show. Nothing may be posted anywhere."""
    os.environ.setdefault("DVC_STUDIO_OFFLINE", "true")
    from dvclive.live import Live

    logging.getLogger("dvclive").setLevel(logging.ERROR)
    return Live(str(folder), save_dvc_exp=False, dvcyaml=False)
