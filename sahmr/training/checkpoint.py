"""Checkpoints of our own trainings, and the state a killed training is resumed from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sahmr.errors import CheckpointError
from sahmr.network.checkpoint_keys import is_dead, strip_prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A trained network as stored: plain tensors, strings and numbers.

    Attributes:
        network: state by the full network's names, e.g. ``rcnet.root_net...``.
        stage: which stage trained it.
        epoch: how many epochs it was trained.
        size: name of the network size.
        behaviour: name of the behaviour it was trained with.
        extra: further tensors by name, e.g. the baseline's.
    """

    network: dict[str, Tensor]
    stage: str
    epoch: int
    size: str
    behaviour: str
    extra: dict[str, Tensor] = field(default_factory=dict)


_KEYS = ("network", "stage", "epoch", "size", "behaviour")


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write with ``torch.save``; appears under its name only when complete."""
    content = {name: getattr(checkpoint, name) for name in _KEYS}
    save_atomically(path, content | dict(sorted(checkpoint.extra.items())))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, ours or a released one of the reference, without running code from it.

    A released file holds ``network`` (names behind ``net.``, unused entries among them) and perhaps ``epoch``; it is of
    the published size and expects the reference's behaviour.

    Raises:
        CheckpointError: if the file is missing, not a checkpoint, or lacks an entry.
    """
    content = load_plain(path)
    if isinstance(content.get("network"), dict) and "stage" not in content:
        state = {name: value for name, value in strip_prefix(content["network"]).items() if not is_dead(name)}
        epoch = int(content.get("epoch", 0))
        return Checkpoint(network=state, stage="released", epoch=epoch, size="paper", behaviour="reference")
    missing = [name for name in _KEYS if name not in content]
    if missing:
        raise CheckpointError(
            f"{path}: lacks {missing}; expected a file of the stages train_rcnet or train_sahmr with {list(_KEYS)}"
        )
    extra = {name: value for name, value in content.items() if name not in _KEYS and isinstance(value, Tensor)}
    return Checkpoint(**{name: content[name] for name in _KEYS}, extra=extra)


def load_state(network: nn.Module, state: Mapping[str, Tensor], *, source: str, under: str = "") -> None:
    """Load every entry of ``state`` that starts with ``under``; together they must fill that part exactly.

    Args:
        network: whose names the entries bear.
        state: by full names.
        source: for the error message.
        under: e.g. ``rcnet.``.

    Raises:
        CheckpointError: naming the first missing, unknown or misshapen entry.
    """
    own = {name: value for name, value in network.state_dict().items() if name.startswith(under)}
    given = {name: value for name, value in state.items() if name.startswith(under)}
    for word, names in (("lacks", own.keys() - given.keys()), ("has the unknown", given.keys() - own.keys())):
        if names:
            raise CheckpointError(
                f"{source}: {word} entry {min(names)!r} and {len(names) - 1} more; "
                "it was made for another network size (params.yaml: network.size) or another stage"
            )
    for name, value in given.items():
        if value.shape != own[name].shape:
            raise CheckpointError(
                f"{source}: {name!r} is {list(value.shape)}, this network has {list(own[name].shape)}; "
                "set network.size in params.yaml to the size it was trained with"
            )
    network.load_state_dict(given, strict=False)


def save_atomically(path: Path, content: Mapping[str, Any]) -> None:
    """``torch.save`` to a temporary name, flush to disk, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            torch.save(dict(content), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_plain(path: Path) -> dict[str, Any]:
    """Read a ``torch.save`` file of plain content on the CPU.

    Raises:
        CheckpointError: if the file is missing, damaged, or holds anything but tensors and plain values.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; train it with dvc repro, or correct the path in params.yaml")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for damaged or foreign files
        raise CheckpointError(f"{path}: not a readable checkpoint ({type(error).__name__}: {error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, expected a dict of tensors and plain values")
    return content


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, or of nothing if there is none."""
    digest = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
