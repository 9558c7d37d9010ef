"""A resume file is taken up only if it is this training's and sound in every part; a damaged one is set aside."""

from __future__ import annotations

import itertools
import logging
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from sahmr.errors import CheckpointError
from sahmr.training.checkpoint import load_plain
from sahmr.training.progress import PHASES

log = logging.getLogger("sahmr")

_MOMENTS = ("exp_avg", "exp_avg_sq")  # of Adam, beside ``step``


def read_resume(
    path: Path,
    start: Mapping[str, Any],
    schedule: LambdaLR,
    *,
    epochs: int,
    steps: int,
    shares: int = 1,
    check_loader: Callable[[str, int], None] | None = None,
) -> dict[str, Any] | None:
    """Content of a resume file.

    Args:
        path: where it lies, if there is one.
        start: what it would hold before the first step: the form that its content must have.
        schedule: gives the rate after any number of steps.
        epochs, steps: of the training, and of each of its epochs.
        shares: of each step.
        check_loader: raises CheckpointError if a loader's state is none, or not after so many steps.

    Returns:
        None: training has to start from the beginning. There is no file, or it was damaged: then it is renamed, for
        whoever wants to know what happened, and one warning says so.

    Raises:
        CheckpointError: if it belongs to other settings or data (:mod:`sahmr.training.foreign` may take it up or set it
            aside); if a damaged file cannot be renamed, or a file may not be read.
    """
    if not os.path.lexists(path):
        return None
    content: dict[str, Any] = {}
    try:
        content = load_plain(path, remedy="")
        is_other = isinstance(content.get("digest"), str) and content["digest"] != start["digest"]
        if not is_other:
            if content.get("origin"):
                content = _as_ours(content, start, schedule, steps)
            _require_fit(content, start, schedule, epochs, steps, shares)
            if check_loader is not None and content["loader"]:
                check_loader(content["loader"], schedule_steps(content))
    except CheckpointError as error:
        if isinstance(error.__cause__, PermissionError):
            raise
        if content.get("origin"):
            raise CheckpointError(f"{path}: cannot be adopted: {error}; delete it, or adopt another") from error
        set_aside(path, f"damaged resume file ({str(error).removeprefix(f'{path}: ')})", "damaged")
        return None
    if is_other:
        raise CheckpointError(foreign_message(path, content.get("about"), start["about"]))
    return content


def _as_ours(content: dict[str, Any], start: Mapping[str, Any], schedule: LambdaLR, steps: int) -> dict[str, Any]:
    """An adopted checkpoint with the present settings' rate and scaler, at the step where its epoch lies now."""
    _require_keys(content, start, "the file")
    _require_keys(content["optimizer"], start["optimizer"], "optimizer")
    _require_keys(content["within"], {"step": 0, "shares": 0, "seconds": 0}, "within")
    done = _count(content["history"]) * steps + int(content["within"]["step"])
    rate = schedule.base_lrs[0] * schedule.lr_lambdas[0](done)
    groups = [{**group, "lr": rate} for group in start["optimizer"]["param_groups"]]
    reached = {**start["schedule"], "last_epoch": done, "_step_count": done + 1, "_last_lr": [rate]}
    has_scaler = (content["scaler"] is None) == (start["scaler"] is None)
    return {
        **content,
        "optimizer": {**content["optimizer"], "param_groups": groups},
        "schedule": reached,
        "scaler": content["scaler"] if has_scaler else start["scaler"],
    }


def _count(history: object) -> int:
    return len(history) if isinstance(history, list) else 0


def schedule_steps(content: Mapping[str, Any]) -> int:
    """Steps that a sound content says were made."""
    return int(content["schedule"]["last_epoch"])


def foreign_message(path: Path, theirs: object, ours: Mapping[str, Any]) -> str:
    """What to say of a resume file of other settings or data: which, and what to do."""
    found, wanted = flat(theirs if isinstance(theirs, dict) else {}), flat(ours)
    names = [name for name in dict.fromkeys((*wanted, *found)) if found.get(name) != wanted.get(name)]
    said = [f"{name} {str(found.get(name))[:40]}, now {str(wanted.get(name))[:40]}" for name in names][:4]
    return (
        f"{path}: belongs to other settings or data ({'; '.join(said) or 'of another version'}); finish it with those, "
        f"or train with --restart (sets it aside) or --adopt {path} (goes on with its weights)"
    )


def flat(values: Mapping[str, Any], begin: str = "") -> dict[str, Any]:
    """Nested values by dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{begin}{name}.") if isinstance(value, dict) else {f"{begin}{name}": value}
    return found


def set_aside(path: Path, finding: str, kind: str) -> None:
    """Rename a resume file to the next free ``<name>.<kind>-<number>``, and say so.

    Raises:
        CheckpointError: if it cannot be renamed.
    """
    names = (path.with_name(f"{path.name}.{kind}-{number}") for number in itertools.count(1))
    place = next(name for name in names if not os.path.lexists(name))
    try:
        path.rename(place)
    except OSError as problem:
        raise CheckpointError(
            f"{path}: {finding}, and it cannot be set aside ({problem.strerror}); delete it, and run the same command "
            "again"
        ) from problem
    log.warning("%s: %s; set aside as %s, training starts from the beginning", path, finding, place.name)


def _require_fit(
    content: Mapping[str, Any], start: Mapping[str, Any], schedule: LambdaLR, epochs: int, steps: int, shares: int
) -> None:
    """Insist on a state that this training can have reached.

    Raises:
        CheckpointError: naming the first part that it cannot have.
    """
    _require_keys(content, start, "the file")
    _require_form(content["digest"], start["digest"], "digest")
    within = _steps_within(content["within"], steps, shares)
    for name in ("loader", "origin"):
        _require_kind(content[name], str, name)
    whole = _epochs_done(content["history"], epochs - (within > 0), least=within == 0)
    _epochs_done(content["times"], epochs, least=whole > 0)
    done = whole * steps + within
    rate = schedule.base_lrs[0] * schedule.lr_lambdas[0](done)
    reached = {**start["schedule"], "last_epoch": done, "_step_count": done + 1, "_last_lr": [rate]}
    _require_form(content["schedule"], reached, "schedule")
    _require_form(content["module"], start["module"], "module")
    _require_form(content["average"], start["average"], "average")
    groups = [{**group, "lr": rate} for group in start["optimizer"]["param_groups"]]
    _require_keys(content["optimizer"], start["optimizer"], "optimizer")
    _require_form(content["optimizer"]["param_groups"], groups, "optimizer.param_groups")
    _require_moments(content["optimizer"]["state"], schedule, math.inf if content["origin"] else done)
    if start["scaler"] is not None or content["scaler"] is not None:
        _require_numbers(content["scaler"], start["scaler"], "scaler")


def _steps_within(within: object, steps: int, shares: int) -> int:
    """Steps of the epoch that was under way, each share of which must say how far it was."""
    _require_keys(within, {"step": 0, "shares": 0, "seconds": 0}, "within")
    assert isinstance(within, dict)
    step, found = within["step"], within["shares"]
    if type(step) is not int or not 0 <= step <= steps:
        raise CheckpointError(f"within.step is {str(step)[:40]} of {steps}")
    if not isinstance(found, list) or len(found) != (shares if step else 0):
        raise CheckpointError(f"within.shares are not those of a step with {shares}")
    _require_numbers(within["seconds"], dict.fromkeys(PHASES if step else (), 0.0), "within.seconds")
    own, world = torch.Generator().get_state(), torch.get_rng_state()
    for number, share in enumerate(found):
        place = f"within.shares.{number}"
        _require_keys(share, {"stream": 0, "totals": 0, "count": 0}, place)
        _require_keys(share["stream"], {"global": 0, "cuda": 0, "own": 0}, place)
        _require_form(share["stream"]["own"], own, f"{place}.own")
        _require_form(share["stream"]["global"], world, f"{place}.global")
        if not isinstance(share["stream"]["cuda"], Tensor) or share["stream"]["cuda"].dtype != torch.uint8:
            raise CheckpointError(f"{place}.cuda is no state of a generator")
        _require_kind(share["count"], int, f"{place}.count")
        _require_numbers(share["totals"], share["totals"], f"{place}.totals")
    return step


def _require_kind(value: object, kind: type, place: str) -> None:
    if type(value) is not kind:
        raise CheckpointError(f"{place} is of type {type(value).__name__}, expected {kind.__name__}")


def _require_numbers(found: object, form: Any, place: str) -> None:
    _require_keys(found, form if isinstance(form, dict) else {}, place)
    if not isinstance(found, dict) or not all(isinstance(value, int | float) for value in found.values()):
        raise CheckpointError(f"{place} holds something else than numbers")


def _epochs_done(history: object, epochs: int, *, least: int) -> int:
    rows = history if isinstance(history, list) else []
    numbers = [row.get("epoch") for row in rows if isinstance(row, dict)]
    is_plain = all(isinstance(value, int | float) for row in rows if isinstance(row, dict) for value in row.values())
    if not (
        is_plain
        and isinstance(history, list)
        and least <= len(rows) <= epochs
        and numbers == list(range(1, len(rows) + 1))
    ):
        raise CheckpointError(f"history is no list of {int(least)} to {epochs} epochs in their order")
    return len(rows)


def _require_moments(state: object, schedule: LambdaLR, done: float) -> None:
    """What Adam remembers of each parameter that ever had a gradient, by its number."""
    parameters = schedule.optimizer.param_groups[0]["params"]
    if not isinstance(state, dict) or not set(state) <= set(range(len(parameters))):
        raise CheckpointError(f"optimizer.state is not of {len(parameters)} parameters")
    for number, entry in state.items():
        place = f"optimizer.state.{number}"
        form = {"step": torch.zeros(()), **dict.fromkeys(_MOMENTS, parameters[number].detach())}
        _require_form(entry, form, place)
        if not 1 <= float(entry["step"]) <= done or bool((entry["exp_avg_sq"] < 0).any()):
            raise CheckpointError(f"{place} has {float(entry['step']):g} steps of {done:g}, or a negative square")


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
