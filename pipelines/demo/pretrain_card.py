"""What a pre-training came to: times, scores on the held-out rooms, and the card that says so."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pipelines.environment  # noqa: F401  # before torch and numpy load

# isort: split
import pyarrow.csv
import torch

from pipelines import evaluate, predict
from pipelines.conversion.work_store import WorkStore, piece_key
from pipelines.demo.pretrain_crops import DATASET, VERSION
from pipelines.demo.pretrain_recipe import Order, Recipe
from pipelines.stage import log
from sahmr.demo.pretraining.card import Card, Training
from sahmr.files import file_sha256, publish_text
from sahmr.settings import Paths

_TITLES = {"train_rcnet": "A, root and contact", "train_sahmr": "B, mesh"}


class Clock:
    """Seconds that each step took, in a file: what a stopped command spent counts, what a killed one spent does not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.seconds: dict[str, float] = {}
        try:
            self.seconds = {str(name): float(spent) for name, spent in json.loads(path.read_text()).items()}
        except (OSError, ValueError, TypeError, AttributeError):
            log.info("%s: no times of earlier runs", path)

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Count what happens inside."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[step] = round(self.seconds.get(step, 0.0) + time.monotonic() - start, 1)
            publish_text(self._path, json.dumps(self.seconds, indent=2, sort_keys=True) + "\n")


def find_scores(recipe: Recipe, paths: Paths) -> dict[str, float]:
    """Means over the held-out rooms, by metric; kept in the work store under the checkpoint they are of."""
    store, stage_name = WorkStore(root=paths.work.resolve()), "pretrain_scores"
    settings = {"predict": asdict(recipe.predict), "evaluate": asdict(recipe.evaluate)}
    key = piece_key(stage_name, VERSION, settings, [file_sha256(paths.models / recipe.predict.checkpoint)])
    if store.find(stage_name, key) is None:
        predict.run(DATASET, recipe.predict, paths, recipe.parallel)
        evaluate.run(DATASET, recipe.evaluate, paths, recipe.parallel)
        found = json.loads((paths.reports / f"{DATASET}_metrics.json").read_text())["sahmr"]
        with store.make(stage_name, key) as draft:
            draft.facts = {name: value for name, value in found.items() if isinstance(value, int | float)}
    first = {} if recipe.train_rcnet is None else _root_scores(paths)  # it was taken as it was
    return {**first, **store.require(stage_name, key).facts}


def _root_scores(paths: Paths) -> dict[str, float]:
    """What stage A alone reached in its last epoch, in millimetres."""
    table = pyarrow.csv.read_csv(paths.models / "rcnet_history.csv")
    last: dict[str, Any] = table.slice(table.num_rows - 1).to_pylist()[0]
    return {f"stage A: {name}": value for name, value in last.items() if name.endswith("_mm") and value is not None}


def make_card(order: Order, recipe: Recipe, clock: Clock, scores: dict[str, float]) -> Card:
    """All that the card says of the weights in ``order.output``."""
    return Card(
        file=order.output.name,
        size=order.output.stat().st_size,
        sha256=file_sha256(order.output),
        command=order.command,
        seed=order.seed,
        rooms=order.rooms,
        held_out=order.rooms_of("val"),
        crops=order.crops,
        render_seconds=clock.seconds["crops"],
        trainings=tuple(
            Training(
                title=_TITLES[name],
                epochs=section.epochs,
                batch_size=section.batch_size,
                steps=order.steps(section),
                rate=section.canonical_lr,
                seed=section.seed,
                seconds=clock.seconds[name],
            )
            for name, section in recipe.trainings.items()
        ),
        start=_start(recipe),
        machine=_machine(recipe.parallel.threads),
        scores=scores,
    )


def _start(recipe: Recipe) -> str:
    """What the trainings start from."""
    path = recipe.network.initial_checkpoint
    if path is None:
        return "random weights"
    stays = "" if recipe.train_rcnet else ", whose root and contact network stays"
    return f"`{path.name}` of SHA-256 {file_sha256(path)}{stays}"


def _machine(threads: int) -> str:
    """Processor, cores, GPU, torch."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    parts = [names[0] if names else platform.processor() or platform.machine(), f"{os.cpu_count()} cores"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join([*parts, f"{threads} thread{'s' * (threads > 1)}", f"torch {torch.__version__}"])
