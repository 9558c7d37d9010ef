"""The text of ``params.yaml`` as nested dicts: the part of YAML 1.2 that DVC reads alike, and no more."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import yaml

from sahmr.datasets import CARDS
from sahmr.errors import SettingsError

SECTIONS = (
    "raw", "paths", "parallel", "share", "demo", "bodies", "frames", "scenes", "shards", "verify", "network",
    "train_rcnet", "train_sahmr", "predict", "baseline", "evaluate", "report",
)  # fmt: skip
OWN_SECTIONS = ("capture", "show")  # of pipelines/own/params.yaml alone
_BY_DATASET = ("raw", "frames")  # sections whose keys are names of datasets

_MAX_BYTES = 1 << 18  # the repository's own has 5 kB
_MAX_DEPTH = 16  # it has 3
_SCALARS = (  # YAML 1.2's core schema; YAML 1.1, PyYAML's own, makes text of 5e-4, true of "on" and 2700 of 45:00
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
)


class _Loader(yaml.SafeLoader):
    """No key twice, no key that is not text, no tags, no aliases, no depth without end."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  # not PyYAML's: filled below
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose one value."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            self._refuse("found an anchor or an alias, allowed are plain values; write the value out", event)
        if getattr(event, "tag", None) is not None:
            self._refuse(f"found the tag {event.tag!r}, allowed are values without one", event)
        if self.depth > _MAX_DEPTH:
            self._refuse(f"found more than {_MAX_DEPTH} levels", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A dict of the pairs as they stand."""
        found: dict[str, yaml.Node] = {}
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                found_key = (
                    f"the key {key.value[:40]!r}" if isinstance(key, yaml.ScalarNode) else "a list or mapping as key"
                )
                self._refuse(f"found {found_key}, allowed are keys that are text", key)
            if key.value in found:
                first = found[key.value].start_mark.line + 1
                self._refuse(f"found the key {key.value!r} a second time (the first: line {first}); remove one", key)
            found[key.value] = key
        return {key: self.construct_object(value, deep=deep) for key, (_, value) in zip(found, node.value, strict=True)}

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """A key ``<<`` is a key like any other."""

    @staticmethod
    def _refuse(problem: str, place: yaml.Node | yaml.Event) -> None:
        raise yaml.constructor.ConstructorError(None, None, problem, cast("yaml.Mark", place.start_mark))


for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), list(_first))
_Loader.yaml_implicit_resolvers[""] = _Loader.yaml_implicit_resolvers.pop("\0")  # an empty value is null


def read_params(path: Path | None = None) -> dict[str, Any]:
    """The whole ``params.yaml`` as nested dicts.

    Raises:
        SettingsError: if there is no such file, it is not what DVC and we read alike, or it has a section or a dataset
            that nobody knows.
    """
    path = path or Path("params.yaml")
    found = read_yaml(path)
    lines = [unknown(path, name, SECTIONS, "section") for name in found if name not in (*SECTIONS, *OWN_SECTIONS)]
    for section in _BY_DATASET:
        group = found.get(section)
        for name in group if isinstance(group, dict) else ():
            if name not in CARDS:
                lines.append(unknown(path, f"{section}.{name}", CARDS, "dataset"))
    if lines:
        raise SettingsError("\n".join(lines))
    return found


def unknown(path: Path, name: str, known: Iterable[str], what: str) -> str:
    """The line that reports an unknown name: what is known, and which of it may have been meant."""
    near = difflib.get_close_matches(name.split(".")[-1], list(known), n=1)
    remedy = f"write {near[0]}, or remove it" if near else "remove it"
    return f"{path}: {name[:80]}: found an unknown {what}, allowed {', '.join(known)}; {remedy}"


def read_yaml(path: Path, example: str = "the repository's own") -> dict[str, Any]:
    """A YAML file of ours, which people write, as nested dicts; ``example`` is what an error recommends to take.

    Raises:
        SettingsError: if there is no such file, it is damaged, too large, or uses more than plain values.
    """
    if not path.is_file():
        raise SettingsError(f"{path}: no such file in {Path.cwd()}; run the stage from the repository root")
    try:
        content = path.read_bytes()
        if len(content) > _MAX_BYTES:
            raise ValueError(f"found {len(content)} bytes, allowed at most {_MAX_BYTES}")
        loaded = deepcopy(_parse(content.decode("utf-8")))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as problem:
        raise SettingsError(
            f"{path}: not a readable YAML file: {_in_one_line(problem)}; correct it there, or take {example}"
        ) from None
    if not isinstance(loaded, dict):
        found = "an empty file" if loaded is None else describe(loaded)
        raise SettingsError(f"{path}: found {found}, allowed are sections; take {example}")
    return loaded


@lru_cache(maxsize=2)
def _parse(text: str) -> Any:
    return yaml.load(text, _Loader)  # a SafeLoader


def parse_text(text: str, place: str) -> dict[str, Any]:
    """YAML of DVC's, ``dvc.yaml`` or ``dvc.lock``, where every scalar stays text: many times as fast as the above.

    Raises:
        SettingsError: naming ``place``, if it is no YAML, or no mapping.
    """
    try:
        found = yaml.load(text, getattr(yaml, "CBaseLoader", yaml.BaseLoader))  # makes no objects
        if not isinstance(found, dict):
            raise ValueError(f"found {describe(found)}, expected a mapping")
    except (ValueError, yaml.YAMLError, RecursionError) as problem:
        raise SettingsError(
            f"{place}: not a readable YAML file: {_in_one_line(problem)}; restore it from git"
        ) from None
    return found


def _in_one_line(problem: Exception) -> str:
    if isinstance(problem, yaml.MarkedYAMLError) and problem.problem_mark is not None:
        mark = problem.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {problem.problem}"
    return " ".join(str(problem).split())[:200]


def describe(value: Any) -> str:
    """A value as an error shows it: short, and a container by its kind alone."""
    if isinstance(value, dict):
        return "a mapping"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    text = repr(value)
    if isinstance(value, list | tuple) and len(text) > 60:
        return f"a list of {len(value)}"
    return text if len(text) <= 60 else f"{text[:50]}... ({len(text)} characters)"
