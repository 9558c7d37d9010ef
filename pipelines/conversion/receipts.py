"""Finished trainings, kept in the work store under all that decides their weights and found there again."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import torch

from pipelines.conversion.curves import show_finished, watcher
from pipelines.conversion.lock import hold
from pipelines.conversion.parallel import Parallel
from pipelines.conversion.work_store import WorkStore, library_versions, piece_key
from pipelines.stage import log, set_up_logging
from sahmr.body.topology import TOPOLOGY_FILE
from sahmr.datasets import find_card
from sahmr.files import MANIFEST_NAME, file_sha256, publish_text
from sahmr.remote import RemotePath
from sahmr.settings import Paths
from sahmr.share import LOCAL, Share
from sahmr.training.build import Network, prepare_torch
from sahmr.training.checkpoint import Checkpoint, save_checkpoint
from sahmr.training.foreign import REFUSED, Others, settle
from sahmr.training.parts import Part, drop_others
from sahmr.training.processes import connected, hear_first, plan_team, work_together
from sahmr.training.progress import Row
from sahmr.training.setup import TrainingSettings, source_of
from sahmr.training.source import Source, decisive_data
from sahmr.training.state import Keeping, best_file
from sahmr.training.team import Team, find_launch

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
        checkpoint_steps: see :class:`pipelines.conversion.parallel.Parallel`.
        others: what becomes of a resume file of other settings or data.
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
    checkpoint_steps: int = 0
    others: Others = REFUSED

    def about(self, paths: Paths, decisive: Mapping[str, Any]) -> dict[str, Any]:
        """What is written into checkpoints for whoever finds one: parameters, data, code; plain values.

        Args:
            paths: where the data set's manifest is.
            decisive: see :func:`sahmr.training.setup.decisive_data`.
        """
        data = json.dumps(decisive, sort_keys=True)
        manifests = {part.name: _manifest(part) for part in self.source.parts}
        return {
            "stage": self.stage,
            "parameters": {"network": _plain(asdict(self.network)), self.stage: _plain(asdict(self.section))},
            "data": {"decisive": hashlib.sha256(data.encode()).hexdigest(), "manifests": manifests},
            "code": {"version": self.version, "package": importlib.metadata.version("sahmr-pipeline")},
            "libraries": {name: str(value) for name, value in library_versions(LIBRARIES).items()},
            "device": self.device.type,
            "threads": self.threads,
        }

    def key(self, paths: Paths, decisive: Mapping[str, Any] | None = None) -> str:
        """Digest of all that decides the weights: of files (data, tables, checkpoints) their content, not their place.

        Args:
            paths: where they are.
            decisive: see :func:`sahmr.training.setup.decisive_data`; None: it is read now.

        Raises:
            ShardError, StoreError: as :func:`sahmr.training.source.decisive_data`.
        """
        inputs: dict[str, Any] = {
            "data": decisive_data(self.source) if decisive is None else decisive,
            "device": self.device.type,
            "ignored_parts": {name: find_card(name).ignored_parts for name in self.section.datasets},
            "threads": self.threads,
            "topology": _content(paths.bodies / TOPOLOGY_FILE),
        }
        section = asdict(self.section)
        section["shares"] = section.pop("processes") * section.pop("accumulation")  # who computes them decides nothing
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


def parse_others(argv: Sequence[str] | None = None, *, what: str | None = "") -> Others:
    """Read what becomes of a resume file of other settings or data."""
    parser = argparse.ArgumentParser(
        description=what,
        epilog="Example: torchrun --nproc-per-node 2 -m pipelines.train_rcnet; docs/train.md has more.",
    )
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--restart", action="store_true", help="set aside a resume file of other settings or data")
    one.add_argument("--adopt", type=Path, metavar="FILE", help="go on from a checkpoint, whatever it was made with")
    given = parser.parse_args(argv)
    return Others(restart=given.restart, adopt=given.adopt)


def plan_training(
    stage: str,
    version: int,
    output: str,
    section: TrainingSettings,
    network: Network,
    paths: Paths,
    parallel: Parallel,
    share: Share = LOCAL,
    others: Others = REFUSED,
) -> Training:
    """A training with its data and device; torch is set up for it. Arguments as the attributes of :class:`Training`.

    Raises:
        SettingsError: if one of the section's data sets has no card.
        RemoteError: if a share cannot be reached, or has no such data set.
    """
    for name in section.datasets:
        find_card(name)
    return Training(
        stage=stage,
        version=version,
        output=output,
        section=section,
        network=network,
        source=source_of(section, paths, parallel.loaders, share, parallel.decode_in),
        threads=parallel.threads,
        device=prepare_torch(parallel.threads, section.seed),
        checkpoint_steps=parallel.checkpoint_steps,
        others=others,
    )


def _plain(value: Any) -> Any:
    """Settings as checkpoints hold them."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    return str(value) if isinstance(value, Path) else value


def _content(path: Path) -> str:
    """Digest of a file; empty if there is none, which the training reports."""
    return file_sha256(path) if path.is_file() else ""


def _manifest(part: Part) -> str:
    """Digest of the manifest of a data set's shards; of a share, its version."""
    if isinstance(part.shards, RemotePath):
        return part.shards.published.version
    return _content(part.shards / MANIFEST_NAME)


TrainingWork = Callable[[Training, Keeping, Team], tuple[Checkpoint, list[Row]]]


def finish(training: Training, paths: Paths, train: TrainingWork) -> None:
    """Put a training's checkpoint and history into ``paths.models``, trained now or taken from the work store.

    Its last and its best epoch's whole state stay beside them, if it was trained here.

    Args:
        training: what it is.
        paths: where inputs, work store and outputs are.
        train: (training, what is kept on the way, team) -> checkpoint and history; picklable, for the team's other
            processes.

    Raises:
        StoreError: if the work store is full or cannot be written (the resume file is kept), or if another process
            writes the same output.
        CheckpointError: if there is a resume file of other settings or data, and ``others`` does not say what to do.
    """
    launch = find_launch()
    with connected(launch):
        if launch is not None and launch.rank > 0:
            _prepare(training.threads, training.section.seed)
            if key := hear_first():  # else the first process found the result
                _work(training, paths, train, key, {})
            return
        with hold(paths.work, training.stage, paths.models / f"{training.output}.pt"):
            _finish(training, paths, train)


def _finish(training: Training, paths: Paths, train: TrainingWork) -> None:
    store, stage, decisive = WorkStore(root=paths.work.resolve()), training.stage, decisive_data(training.source)
    key, about = training.key(paths, decisive), training.about(paths, decisive)
    names = (f"{training.output}.pt", f"{training.output}_history.csv")
    resume = _resume_file(training, paths)
    store.sweep()
    drop_others(paths.models / f"{stage}_data", training.section.datasets)
    if store.find(stage, key) is None or training.others.adopt is not None:
        key = settle(resume, key, about, training.others)
    receipt = store.find(stage, key)
    if receipt is not None:
        hear_first("")
        log.info("%s: reused, trained before from the same settings and data: %s", stage, store.folder(stage, key))
        show_finished(stage, paths, store.folder(stage, key) / names[1])
    else:
        hear_first(key)
        checkpoint, history = _work(training, paths, train, key, about)
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
    for file, kind in ((resume, "last"), (best_file(resume), "best")):
        if file.is_file():
            file.replace(paths.models / f"{training.output}_{kind}.pt")


def _resume_file(training: Training, paths: Paths) -> Path:
    return paths.models / f".{training.stage}.resume.pt"


def _work(
    training: Training, paths: Paths, train: TrainingWork, key: str, about: Mapping[str, Any]
) -> tuple[Checkpoint, list[Row]]:
    section = training.section
    team = plan_team(section.processes, section.accumulation)
    prepare = partial(_prepare, training.threads, section.seed)
    keeping = Keeping(
        resume_file=_resume_file(training, paths),
        digest=key,
        about=about,
        checkpoint_steps=training.checkpoint_steps,
        watch=watcher(training.stage, paths),
    )
    return work_together(team, partial(train, training, keeping), prepare)


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
