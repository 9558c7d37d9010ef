"""Sections of ``params.yaml`` as checked, frozen classes."""

from __future__ import annotations

from pathlib import Path
from types import GenericAlias
from typing import Any, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked_dataclass

from sahmr.errors import SettingsError
from sahmr.yaml_text import load_yaml

_T = TypeVar("_T")


@dataclass_transform(kw_only_default=True, frozen_default=True)
def settings(cls: type[_T]) -> type[_T]:
    """Turn a class into a frozen, keyword-only, checked section: unknown keys and wrong types are errors."""
    made = checked_dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))(cls)
    return cast("type[_T]", made)


@settings
class Paths:
    """Section ``paths``: where the stages' outputs lie. No stage tracks it, it cannot change a result."""

    bodies: Path
    frames: Path
    scenes: Path
    shards: Path
    models: Path
    predictions: Path
    scores: Path
    reports: Path
    catalog: Path
    work: Path


def read_params(path: Path | None = None) -> dict[str, Any]:
    """The whole ``params.yaml`` as nested dicts."""
    path = path or Path("params.yaml")
    if not path.is_file():
        raise SettingsError(f"{path}: no such file in {Path.cwd()}; run the stage from the repository root")
    try:
        loaded = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise SettingsError(f"{path}: not a readable YAML file: {problem}") from None
    if not isinstance(loaded, dict):
        raise SettingsError(f"{path}: expected sections, found {type(loaded).__name__}")
    return loaded


def load_section(name: str, kind: type[_T] | GenericAlias, path: Path | None = None) -> _T:
    """Read and check one section of ``params.yaml``, or one group of it: ``frames.rich``.

    Raises:
        SettingsError: naming ``section.key`` for every unknown, missing or impossible value.
    """
    path = path or Path("params.yaml")
    found: Any = read_params(path)
    for key in name.split("."):
        if not isinstance(found, dict) or key not in found:
            raise SettingsError(f"{path}: section '{name}' is missing; the repository's own params.yaml shows it")
        found = found[key]
    try:
        return TypeAdapter(cast("type[_T]", kind)).validate_python(found or {})
    except ValidationError as error:
        lines = [
            f"{path}: {'.'.join([name, *map(str, item['loc'])])}: {item['msg']} (found {item['input']!r})"
            for item in error.errors()
        ]
        raise SettingsError("\n".join(lines) + "\nedit the value, or remove the key if it is unknown") from None
