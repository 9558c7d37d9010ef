"""Checkpoints: our own, and those of the authors of SA-HMR and METRO, read without running code from them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from sahmr.errors import CheckpointError
from sahmr.files import publish_file
from sahmr.network.checkpoint_keys import compare_keys, is_dead, strip_prefix
from sahmr.network.size import REFERENCE, Behaviour, ContactSampling, RootRegion, Vote
from sahmr.sparse.kernel_map import Rounding
from sahmr.training.container import ForbiddenError, require_sound
from sahmr.training.unpack import SPARSE, expand, split_sparse

RELEASED, METRO = "released", "metro"
"""What stands for the stage in checkpoints that the authors trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A trained network as stored: plain tensors, strings and numbers.

    Attributes:
        network: state by the full network's names, e.g. ``rcnet.root_net...``; of METRO: by METRO's own names.
        stage: which stage trained it, or ``released`` or ``metro``.
        epoch: how many epochs it was trained; 0: not known.
        size: name of the network size.
        behaviour: what it was trained with. Of its region only what inference reads is stored.
        dropped: names of the authors' entries that nothing reads and that were therefore left out.
        source_sha256: of the authors' file that it was converted from; empty: not converted.
    """

    network: dict[str, Tensor]
    stage: str
    epoch: int
    size: str
    behaviour: Behaviour
    dropped: tuple[str, ...] = ()
    source_sha256: str = ""


_KEYS = ("network", "stage", "epoch", "size", "behaviour")
_ORIGIN = ("dropped", "source_sha256")  # only in converted files
_TYPES = {"stage": str, "epoch": int, "size": str, "dropped": tuple, "source_sha256": str}
_CHOICES: dict[str, tuple[object, ...]] = {
    "rounding": get_args(Rounding),
    "vote": get_args(Vote),
    "part_position_shift": (False, True),
    "contact_sampling": get_args(ContactSampling),
}
_LATER = ("size_head",)  # switches that older files lack; stored where they are on
_REGION = ("anchor_spacing", "roi_radius")  # metres
_OURS = {f"{name}.pt": f"; rebuild with: dvc repro train_{name}" for name in ("rcnet", "sahmr")} | {
    "start.pt": "; restore it with: git checkout -- sahmr/demo/pretraining/start.pt"
}
_MOST_EPOCHS = 10**9
# How the keys of each kind of file begin, the prefix ``net.`` aside.
_AUTHORS = {RELEASED: ("rcnet.", "metro_enhanced."), METRO: ("backbone.", "trans_encoder.")}


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write with ``torch.save``; appears under its name only when complete. Same content, same bytes."""
    save_atomically(path, checkpoint_content(checkpoint))


def checkpoint_content(checkpoint: Checkpoint) -> dict[str, Any]:
    """What is written: plain values and tensors, large sparse matrices without their zeros."""
    content: dict[str, Any] = {name: getattr(checkpoint, name) for name in _KEYS}
    content["network"], sparse = split_sparse(checkpoint.network)
    if sparse:
        content[SPARSE] = sparse
    content["behaviour"] = behaviour_values(checkpoint.behaviour)
    if checkpoint.source_sha256:
        content |= {name: getattr(checkpoint, name) for name in _ORIGIN}
    return content


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, ours or one of the authors', without running code from it.

    ``sahmr_rich_e30.pth`` and ``sahmr_prox_e30.pth`` hold ``network`` (names behind ``net.``) and ``epoch``;
    ``metro_3dpw_state_dict.bin`` is a bare state dict. They are recognised by names, are of the published size and
    expect the reference's behaviour. Entries that nothing reads are left out and listed in ``dropped``; whether all
    others fit a network is for :func:`load_state`. Files in half precision, or without
    the zeros of sparse matrices, come back in full. Of our own files, entries that nothing reads any more (once the
    baseline's means) are ignored.

    Raises:
        CheckpointError: if the file is missing, not a checkpoint, or lacks an entry.
    """
    content = expand(load_plain(path), path, remedy=_remedy(path))
    if "stage" not in content:
        return _read_authors(content, path)
    missing = [name for name in _KEYS if name not in content]
    if missing:
        raise CheckpointError(f"{path}: lacks {missing}; train it again, or convert the authors' file again")
    _require_types(content, path)
    network, behaviour = _tensors(content["network"], path), _read_behaviour(content["behaviour"], path)
    _require_own_rounding(behaviour, content["stage"], path)
    return Checkpoint(
        network=network,
        stage=content["stage"],
        epoch=content["epoch"],
        size=content["size"],
        behaviour=behaviour,
        dropped=content.get("dropped", ()),
        source_sha256=content.get("source_sha256", ""),
    )


def _read_authors(content: dict[str, Any], path: Path) -> Checkpoint:
    """A file of the authors, whole or as bare state dict."""
    wrapped = isinstance(content.get("network"), dict)
    given = content["network"] if wrapped else content
    names = [str(name).removeprefix("net.") for name in given]
    stage = next((kind for kind, begins in _AUTHORS.items() if any(n.startswith(begins) for n in names)), None)
    if stage is None:
        found = ", ".join(sorted(names)[:8])
        raise CheckpointError(
            f"{path}: lacks what every checkpoint has; expected {list(_KEYS)}, or a released file of SA-HMR "
            f"('net.rcnet...'), or METRO's state dict ('backbone...'); found {len(names)} entries: {found}"
        )
    state = strip_prefix(_tensors(given, path), str(path))
    beside = [str(name) for name in content if name not in ("network", "epoch")] if wrapped else []
    epoch = content.get("epoch", 0) if wrapped else 0
    _require_types({"epoch": epoch}, path)
    return Checkpoint(
        network={name: value for name, value in state.items() if not is_dead(name)},
        stage=stage,
        epoch=epoch,
        size="paper",
        behaviour=REFERENCE,
        dropped=(*filter(is_dead, state), *beside),
    )


def _require_types(content: Mapping[str, object], path: Path) -> None:
    for name, kind in _TYPES.items():
        if name in content and type(content[name]) is not kind:
            raise CheckpointError(
                f"{path}: '{name}' is {_brief(content[name])}, expected a value of type {kind.__name__}"
            )
    if not 0 <= content.get("epoch", 0) <= _MOST_EPOCHS:  # type: ignore[operator]  # an int by the loop above
        raise CheckpointError(f"{path}: 'epoch' is {_brief(content['epoch'])}, allowed are 0 to {_MOST_EPOCHS}")
    if not all(type(name) is str for name in content.get("dropped", ())):  # type: ignore[attr-defined]  # a tuple
        raise CheckpointError(f"{path}: 'dropped' holds something else than names")


def _brief(value: object) -> str:
    """A value from a file in few words: what is nested or long is not shown."""
    is_short = isinstance(value, str | float | bool | None) or (isinstance(value, int) and abs(value) < 10**20)
    return repr(value)[:60] if is_short else f"a {type(value).__name__}"


def _tensors(state: object, path: Path) -> dict[str, Tensor]:
    """Check that a state dict is one: names and ordinary tensors, nothing else."""
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: 'network' is a {type(state).__name__}, expected a dict of tensors")
    for name, value in state.items():
        plain = isinstance(value, Tensor) and value.layout == torch.strided and value.device.type == "cpu"
        if not isinstance(name, str) or not plain or value.is_quantized:
            raise CheckpointError(f"{path}: entry {name!r} is no ordinary tensor but {type(value).__name__}")
    return dict(state)


def behaviour_values(behaviour: Behaviour) -> dict[str, Any]:
    """A behaviour as it is stored: every switch by its name, and the region of interest in metres."""
    choices = {name: getattr(behaviour, name) for name in _CHOICES}
    choices |= {name: True for name in _LATER if getattr(behaviour, name)}
    return choices | {name: getattr(behaviour.region, name) for name in _REGION}


def _read_behaviour(values: object, path: Path) -> Behaviour:
    wanted = (*_CHOICES, *_REGION)
    if not isinstance(values, dict) or set(values) - set(_LATER) != set(wanted):
        found = sorted(map(str, values))[:8] if isinstance(values, dict) else _brief(values)
        raise CheckpointError(
            f"{path}: behaviour has {found}, expected {list(wanted)}; an older or newer version wrote it: "
            "train it again, or convert the authors' file again"
        )
    for name, allowed in _CHOICES.items():
        if not isinstance(values[name], str | bool) or values[name] not in allowed:
            raise CheckpointError(f"{path}: behaviour has {name} {_brief(values[name])}, allowed are {list(allowed)}")
    for name in _LATER:
        if values.get(name, True) is not True:
            raise CheckpointError(f"{path}: behaviour has {name} {_brief(values[name])}, expected True, or nothing")
    for name in _REGION:
        if not isinstance(values[name], float) or not 0 < values[name] < float("inf"):
            raise CheckpointError(f"{path}: behaviour has {name} {_brief(values[name])}, expected metres above 0")
    region = RootRegion(**{name: values[name] for name in _REGION})
    switches = {name: values[name] for name in _CHOICES} | {name: name in values for name in _LATER}
    return Behaviour(**switches, region=region)


def _require_own_rounding(behaviour: Behaviour, stage: str, path: Path) -> None:
    """Insist that the authors' weights keep all of their switches, and the authors' other switches their rounding."""
    names = [name for name in _CHOICES if name != "rounding"]
    has_others = all(getattr(behaviour, name) == getattr(REFERENCE, name) for name in names)
    is_reference = has_others and behaviour.rounding == REFERENCE.rounding
    if is_reference or not (has_others or stage in (RELEASED, METRO)):
        return
    found, wanted = (", ".join(f"{name} {getattr(one, name)}" for name in _CHOICES) for one in (behaviour, REFERENCE))
    raise CheckpointError(
        f"{path}: stage {stage!r} with the switches {found}; they contradict each other: weights trained with the "
        f"authors' code need {wanted}, any other rounding gives another network; convert the authors' file again"
    )


def load_state(network: nn.Module, state: Mapping[str, Tensor], *, source: str, under: str = "") -> None:
    """Load every entry of ``state`` that starts with ``under``; together they must fill that part exactly.

    Args:
        network: whose names the entries bear.
        state: by full names.
        source: for the error message.
        under: e.g. ``rcnet.``.

    Raises:
        CheckpointError: listing all missing, unknown, misshapen and non-finite entries.
    """
    own = {name: value for name, value in network.state_dict().items() if name.startswith(under)}
    given = {name: value for name, value in state.items() if name.startswith(under)}
    network.load_state_dict(compare_keys(given, own).require_complete(source), strict=False)


def save_atomically(path: Path, content: Mapping[str, Any]) -> None:
    """``torch.save``; the file appears under its name only when complete.

    Raises:
        CheckpointError: if the file cannot be written; nothing is left of it.
    """
    try:
        with publish_file(path) as partial, partial.open("wb") as file:
            torch.save(dict(content), file)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as either
        reason = str(error).split("\n")[0]
        raise CheckpointError(
            f"{path}: cannot be written ({reason}); is the disk full, or the folder not yours?"
        ) from error


def _remedy(path: Path) -> str:
    """What to do about a damaged file."""
    return _OURS.get(path.name, "; fetch it again")


def load_plain(path: Path, *, remedy: str | None = None) -> dict[str, Any]:
    """Read a ``torch.save`` file of plain content on the CPU, once check sums and claims are compared with the file.

    Old (before torch 1.6) and new containers; the old one has no check sums.

    Args:
        path: of the file.
        remedy: what to do about a damaged file; default: train our own again, fetch any other again.

    Raises:
        CheckpointError: if the file is missing, damaged, or holds anything but tensors and plain values.
    """
    if not path.is_file():
        found = "no such file" if not path.exists() else f"is {'a folder' if path.is_dir() else 'no regular file'}"
        raise CheckpointError(f"{path}: {found}, expected a file; train it with dvc repro, or correct the path")
    remedy = _remedy(path) if remedy is None else remedy
    try:
        require_sound(path)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol")  # reported below, if it is a problem
            content = torch.load(path, map_location="cpu", weights_only=True)
    except ForbiddenError as error:
        raise CheckpointError(
            f"{path}: not a readable checkpoint: {error}; only tensors and plain values are read, nothing was run. "
            "Fetch it again from its authors, or save its bare state dict"
        ) from error
    except PermissionError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); allow it") from error
    except Exception as error:  # torch raises many types for damaged or foreign files
        reason = str(error).split("\n")[0][:200]
        raise CheckpointError(
            f"{path}: not a readable checkpoint: {reason} ({path.stat().st_size} bytes){remedy}"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds a {type(content).__name__}, expected a dict of tensors and plain values")
    return content
