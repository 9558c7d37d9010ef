"""All of ``params.yaml`` at once: every section against its class, and what no section can say alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from sahmr.errors import SettingsError
from sahmr.params_file import SECTIONS, read_params
from sahmr.raw import load_raw_roots
from sahmr.readers.registry import rules_class
from sahmr.settings import Paths, load_section

CLASSES = {  # module:class; named and not imported, so that only who asks for a section loads its code
    "paths": "sahmr.settings:Paths",
    "parallel": "pipelines.conversion.parallel:Parallel",
    "share": "sahmr.share:Share",
    "demo": "sahmr.demo.generate:Demo",
    "bodies": "pipelines.bodies:Bodies",
    "scenes": "sahmr.scenes.section:Scenes",
    "shards": "sahmr.shards.encode:Shards",
    "verify": "sahmr.verify:Verify",
    "network": "sahmr.training.build:Network",
    "train_rcnet": "pipelines.train_rcnet:TrainRcnet",
    "train_sahmr": "pipelines.train_sahmr:TrainSahmr",
    "predict": "pipelines.predict:Predict",
    "baseline": "pipelines.baseline:Baseline",
    "evaluate": "pipelines.evaluate:Evaluate",
    "report": "pipelines.report:ReportPage",
}
TRAINED = ("rcnet.pt", "sahmr.pt")  # outputs of dvc.yaml, below paths.models; any other checkpoint is a user's


def check_params(path: Path | None = None) -> None:
    """Look at every section, before any work.

    Raises:
        SettingsError: a line for everything that is wrong, and nothing else.
    """
    path = path or Path("params.yaml")
    found, lines, sections = read_params(path), list[str](), dict[str, Any]()
    for name in SECTIONS:
        try:
            if name == "raw":
                sections[name] = load_raw_roots(path)
            elif name == "frames":
                _load_rules(found, path)
            else:
                sections[name] = load_section(name, resolve_name(CLASSES[name]), path)
        except SettingsError as error:
            lines += [line for line in str(error).splitlines() if line not in lines]
    if lines:
        raise SettingsError("\n".join(lines))
    lines += [f"{path}: {line}" for line in _contradictions(sections)]
    if lines:
        raise SettingsError("\n".join(lines))


def _load_rules(found: dict[str, Any], path: Path) -> None:
    """Every dataset in use has its rules, and all that are there are sound."""
    groups: Any = found.get("frames")
    names = dict.fromkeys([*(groups if isinstance(groups, dict) else ()), *_names(found.get("raw"))])
    lines = []
    for name in names:
        try:
            load_section(f"frames.{name}", rules_class(name), path)
        except SettingsError as error:
            lines += [line for line in str(error).splitlines() if line not in lines]
    if lines:
        raise SettingsError("\n".join(lines))


def _names(section: Any) -> list[str]:
    return list(section) if isinstance(section, dict) else []


def _contradictions(sections: dict[str, Any]) -> Iterator[str]:
    """What two sections say against each other."""
    paths: Paths = sections["paths"]
    split = sections["evaluate"].split
    for name in ("predict", "baseline"):
        if sections[name].split != split:
            yield (
                f"{name}.split: found {sections[name].split!r}, allowed {split!r}, as evaluate.split: one split is "
                "predicted and scored; edit one of them"
            )
    for key, file in _checkpoints(sections):
        try:
            path = paths.model(file, key)
        except SettingsError as error:
            yield str(error).removeprefix("params.yaml: ")
            continue
        if str(file) not in TRAINED and not path.is_file():
            yield (
                f"{key}: found {str(file)!r}, allowed a file that is in paths.models ({paths.models}), or "
                f"{' or '.join(map(repr, TRAINED))}, which the trainings write; put it there"
            )
    initial = sections["network"].initial_checkpoint
    if initial is not None and not initial.is_file():
        yield (
            f"network.initial_checkpoint: found {str(initial)!r}, allowed a file that is there, or null: "
            "trainings then start at random; correct the path"
        )
    try:
        paths.keep_apart("bodies.raw", sections["bodies"].raw)
    except SettingsError as error:
        yield str(error).removeprefix("params.yaml: ")


def _checkpoints(sections: dict[str, Any]) -> Iterator[tuple[str, Path]]:
    for name in ("train_rcnet", "train_sahmr", "predict"):
        for key in ("rcnet_checkpoint", "checkpoint"):
            if file := getattr(sections[name], key, None):
                yield f"{name}.{key}", file
