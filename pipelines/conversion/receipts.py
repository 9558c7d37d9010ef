"""Finished trainings, kept in the work store under all that decides their weights and found there again."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import torch

from pipelines.conversion.lock import hold
from pipelines.conversion.parallel import Parallel
from pipelines.conversion.work_store import WorkStore, piece_key
from pipelines.stage import log, set_up_logging
from sahmr.body.topology import TOPOLOGY_FILE
from sahmr.datasets import find_card
from sahmr.files import file_sha256, publish_text
from sahmr.settings import Paths
from sahmr.training.build import Network, prepare_torch
from sahmr.training.checkpoint import Checkpoint, save_checkpoint
from sahmr.training.parts import drop_others
from sahmr.training.setup import TrainingSettings, source_of
from sahmr.training.source import Source, decisive_data
from sahmr.training.team import Team, work_together
from sahmr.training.trainer import Row

# Their code decides weights: another version, another training. What else reads data (zarr, pyarrow) gives the same
# numbers in every version, and a torchsparse that is not installed counts as a version too.
LIBRARIES = ("numpy", "opencv-python-headless", "torch", "torchsparse")


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """One training of one stage.

    Attributes:
        stage: its name.
        version: raised by hand whenever the same inputs give other weights; see ``tests/training/golden_steps.json``.
        output: the results are ``<output>.pt`` and ``<output>_history.csv``.
        section, network: its settings.
        source: its data.
        threads: of the CPU; the last bits of the weights depend on their number.
        device: the last bits depend on its type. Not on record is the make of processor or GPU, which can change them
            too: a training finished elsewhere is as good.
    """

    stage: str
    version: int
    output: str
    section: TrainingSettings
    network: Network
    source: Source
    threads: int
    device: torch.device

    def key(self, paths: Paths) -> str:
        """Digest of all that decides the weights: of files (data, tables, checkpoints) their content, not their place.

        Raises:
            ShardError, StoreError: as :func:`sahmr.training.source.decisive_data`.
        """
        inputs: dict[str, Any] = {
            "data": decisive_data(self.source),
            "device": self.device.type,
            "ignored_parts": {name: find_card(name).ignored_parts for name in self.section.datasets},
            "threads": self.threads,
            "topology": _content(paths.bodies / TOPOLOGY_FILE),
        }
        section = asdict(self.section)
        section |= {
            key: _content(paths.model(value, f"{self.stage}.{key}"))
            for key, value in section.items()
            if isinstance(value, Path)
        }
        network = asdict(self.network)
        if self.network.initial_checkpoint is not None:
            network["initial_checkpoint"] = _content(self.network.initial_checkpoint)
        settings = {"network": network, "section": section}
        return piece_key(self.stage, self.version, settings, inputs, LIBRARIES)


def plan_training(
    stage: str,
    version: int,
    output: str,
    section: TrainingSettings,
    network: Network,
    paths: Paths,
    parallel: Parallel,
) -> Training:
    """A training with its data and device; torch is set up for it. Arguments as the attributes of :class:`Training`.

    Raises:
        SettingsError: if one of the section's data sets has no card.
    """
    for name in section.datasets:
        find_card(name)
    return Training(
        stage=stage,
        version=version,
        output=output,
        section=section,
        network=network,
        source=source_of(section, paths, parallel.loaders),
        threads=parallel.threads,
        device=prepare_torch(parallel.threads, section.seed),
    )


def _content(path: Path) -> str:
    """Digest of a file; empty if there is none, which the training reports."""
    return file_sha256(path) if path.is_file() else ""


TrainingWork = Callable[[Training, Path, str, Team], tuple[Checkpoint, list[Row]]]


def finish(training: Training, paths: Paths, train: TrainingWork) -> None:
    """Put a training's checkpoint and history into ``paths.models``, trained now or taken from the work store.

    Args:
        training: what it is.
        paths: where inputs, work store and outputs are.
        train: (training, resume file, digest of all that decides the weights, team) -> checkpoint and history;
            picklable, for the team's other processes.

    Raises:
        StoreError: if the work store is full or cannot be written (the resume file is kept), or if another process
            writes the same output.
    """
    with hold(paths.work, training.stage, paths.models / f"{training.output}.pt"):
        _finish(training, paths, train)


def _finish(training: Training, paths: Paths, train: TrainingWork) -> None:
    store, stage, key = WorkStore(root=paths.work.resolve()), training.stage, training.key(paths)
    names = (f"{training.output}.pt", f"{training.output}_history.csv")
    resume = paths.models / f".{stage}.resume.pt"
    store.sweep()
    drop_others(paths.models / f"{stage}_data", training.section.datasets)
    receipt = store.find(stage, key)
    if receipt is not None:
        log.info("%s: reused, trained before from the same settings and data: %s", stage, store.folder(stage, key))
    else:
        prepare = partial(_prepare, training.threads, training.section.seed)
        checkpoint, history = work_together(training.section.processes, partial(train, training, resume, key), prepare)
        with store.make(stage, key) as draft:  # not opened before: what is unfinished for a day is swept away
            save_checkpoint(draft.folder / names[0], checkpoint)
            publish_text(draft.folder / names[1], history_csv(history))
        receipt = store.require(stage, key)
        counts = (checkpoint.epoch, " + ".join(training.section.datasets), len(checkpoint.network))
        log.info("%s: %d epochs on %s, %d tensors", stage, *counts)
    for name in names:
        (paths.models / name).unlink(missing_ok=True)
    paths.models.mkdir(parents=True, exist_ok=True)
    store.link(stage, receipt, paths.models)
    resume.unlink(missing_ok=True)


def _prepare(threads: int, seed: int) -> None:
    """What :func:`plan_training` and the stage's shell did in the first process."""
    set_up_logging()
    log.setLevel(logging.WARNING)  # the first process tells
    prepare_torch(threads, seed)


def history_csv(rows: Sequence[Row]) -> str:
    """The history as CSV, one line per epoch, columns in order of first appearance, six significant digits."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {name: [_rounded(row.get(name)) for row in rows] for name in names}
    stream = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(columns), stream, pyarrow.csv.WriteOptions(quoting_header="none"))
    return stream.getvalue().decode()


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
