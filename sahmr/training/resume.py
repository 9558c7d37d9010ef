"""A resume file is taken up only if it is sound in every part; a damaged one is set aside, never gone on from."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from sahmr.errors import CheckpointError
from sahmr.training.checkpoint import load_plain

log = logging.getLogger("sahmr")

_MOMENTS = ("exp_avg", "exp_avg_sq")  # of Adam, beside ``step``


def read_resume(
    path: Path, start: Mapping[str, Any], schedule: LambdaLR, *, epochs: int, steps: int
) -> dict[str, Any] | None:
    """Content of a resume file.

    Args:
        path: where it lies, if there is one.
        start: what it would hold before the first step: the form that its content must have.
        schedule: gives the rate after any number of steps.
        epochs, steps: of the training, and of each of its epochs.

    Returns:
        None: training has to start from the beginning. There is no file, it belongs to other settings or data, or it
        was damaged: then it is renamed, for whoever wants to know what happened, and one warning says so.

    Raises:
        CheckpointError: if a damaged file cannot be renamed, or a file may not be read.
    """
    if not os.path.lexists(path):
        return None
    try:
        content = load_plain(path, remedy="")
        if isinstance(content.get("digest"), str) and content["digest"] != start["digest"]:
            log.info("%s belongs to other settings or data; training starts from the beginning", path)
            return None
        _require_fit(content, start, schedule, epochs, steps)
    except CheckpointError as error:
        if isinstance(error.__cause__, PermissionError):
            raise
        _set_aside(path, str(error).removeprefix(f"{path}: "))
        return None
    return content


def _set_aside(path: Path, finding: str) -> None:
    names = (path.with_name(f"{path.name}.damaged-{number}") for number in itertools.count(1))
    place = next(name for name in names if not os.path.lexists(name))
    try:
        path.rename(place)
    except OSError as problem:
        raise CheckpointError(
            f"{path}: damaged resume file ({finding}), and it cannot be set aside ({problem.strerror}); delete it, and "
            "run the same command again"
        ) from problem
    log.warning(
        "%s: damaged resume file (%s); set aside as %s, training starts from the beginning", path, finding, place.name
    )


def _require_fit(
    content: Mapping[str, Any], start: Mapping[str, Any], schedule: LambdaLR, epochs: int, steps: int
) -> None:
    """Insist on a state that this training can have reached.

    Raises:
        CheckpointError: naming the first part that it cannot have.
    """
    _require_keys(content, start, "the file")
    _require_form(content["digest"], start["digest"], "digest")
    done = _epochs_done(content["history"], epochs) * steps
    rate = schedule.base_lrs[0] * schedule.lr_lambdas[0](done)
    reached = {**start["schedule"], "last_epoch": done, "_step_count": done + 1, "_last_lr": [rate]}
    _require_form(content["schedule"], reached, "schedule")
    _require_form(content["module"], start["module"], "module")
    _require_form(content["average"], start["average"], "average")
    groups = [{**group, "lr": rate} for group in start["optimizer"]["param_groups"]]
    _require_keys(content["optimizer"], start["optimizer"], "optimizer")
    _require_form(content["optimizer"]["param_groups"], groups, "optimizer.param_groups")
    _require_moments(content["optimizer"]["state"], schedule, done)


def _epochs_done(history: object, epochs: int) -> int:
    rows = history if isinstance(history, list) else []
    numbers = [row.get("epoch") for row in rows if isinstance(row, dict)]
    is_plain = all(isinstance(value, int | float) for row in rows if isinstance(row, dict) for value in row.values())
    if not (is_plain and 1 <= len(rows) <= epochs and numbers == list(range(1, len(rows) + 1))):
        raise CheckpointError(f"history is no list of 1 to {epochs} epochs in their order")
    return len(rows)


def _require_moments(state: object, schedule: LambdaLR, done: int) -> None:
    """What Adam remembers of each parameter that ever had a gradient, by its number."""
    parameters = schedule.optimizer.param_groups[0]["params"]
    if not isinstance(state, dict) or not set(state) <= set(range(len(parameters))):
        raise CheckpointError(f"optimizer.state is not of {len(parameters)} parameters")
    for number, entry in state.items():
        place = f"optimizer.state.{number}"
        form = {"step": torch.zeros(()), **dict.fromkeys(_MOMENTS, parameters[number].detach())}
        _require_form(entry, form, place)
        if not 1 <= float(entry["step"]) <= done or bool((entry["exp_avg_sq"] < 0).any()):
            raise CheckpointError(f"{place} has {float(entry['step']):g} steps of {done}, or a negative square")


def _require_keys(found: object, form: Mapping[Any, Any], place: str) -> None:
    if not isinstance(found, dict):
        raise CheckpointError(f"{place} is a {type(found).__name__}, expected a dict")
    if found.keys() != form.keys():
        missing, unknown = ([str(key)[:80] for key in keys][:3] for keys in (form.keys() - found, found.keys() - form))
        raise CheckpointError(f"{place} lacks {missing}, unknown is {unknown}")


def _require_form(found: Any, form: Any, place: str) -> None:
    """Insist on the same names, and on tensors of the same shape and type with finite numbers; else on equality."""
    if isinstance(form, Tensor):
        is_tensor = isinstance(found, Tensor) and found.layout == torch.strided
        kinds = [(tuple(value.shape), value.dtype) if isinstance(value, Tensor) else None for value in (found, form)]
        if not is_tensor or kinds[0] != kinds[1] or found.untyped_storage().nbytes() < found.nbytes:
            raise CheckpointError(f"{place} is {kinds[0] or type(found).__name__}, expected {kinds[1]}")
        if not bool(found.isfinite().all()):
            raise CheckpointError(f"{place} has NaN or infinity")
    elif isinstance(form, Mapping):
        _require_keys(found, form, place)
        for key, value in form.items():
            _require_form(found[key], value, f"{place}.{key}")
    elif isinstance(form, list | tuple):
        if type(found) is not type(form) or len(found) != len(form):
            raise CheckpointError(f"{place} is a {type(found).__name__}, expected {len(form)} values")
        for number, (value, wanted) in enumerate(zip(found, form, strict=True)):
            _require_form(value, wanted, f"{place}.{number}")
    elif type(found) is not type(form) or found != form:
        raise CheckpointError(f"{place} is of type {type(found).__name__} or not {str(form)[:40]}, as it must be")
