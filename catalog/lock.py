"""What ran: ``dvc.lock``, read stage by stage, since all of it is slow to parse."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from catalog.source import Source
from sahmr.errors import SettingsError
from sahmr.params_file import parse_text

_STAGE = re.compile(r"^  (?=[^\s#])", re.MULTILINE)
_BLOCK = re.compile(r"^    (?=[a-z]+:)", re.MULTILINE)
_ITEM = re.compile(r"^    - ", re.MULTILINE)
_WORDS = {"true": True, "false": False, "null": None, "": None}
_SHOWN = 12  # digits of a digest that people compare


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A file or folder as a stage left or found it.

    Attributes:
        path: as in dvc.lock.
        md5: of the file; of a folder: of its listing, and ends in ``.dir``.
        size: bytes.
        files: how many; of a file: 1.
    """

    path: str
    md5: str
    size: int
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedStage:
    """One stage's last run.

    Attributes:
        deps, outs: by path.
        params: sections of params.yaml as they were, every scalar as text.
    """

    deps: dict[str, Locked]
    outs: dict[str, Locked]
    params: dict[str, Any]

    @property
    def code(self) -> str:
        """Version of the code that ran: a digest of all its files' digests."""
        lines = [f"{one.md5}  {path}\n" for path, one in sorted(self.deps.items()) if path.endswith(".py")]
        return hashlib.sha256("".join(lines).encode()).hexdigest()[:_SHOWN]


@dataclass(frozen=True, slots=True)
class Lock:
    """All stages of a ``dvc.lock``, parsed when asked for."""

    texts: dict[str, str]
    _parsed: dict[str, LockedStage] = field(default_factory=dict)

    def stage(self, full_name: str) -> LockedStage | None:
        """A stage's last run; None: it never ran here."""
        if full_name not in self.texts:
            return None
        if full_name not in self._parsed:
            self._parsed[full_name] = _parse(self.texts[full_name], f"dvc.lock: {full_name}")
        return self._parsed[full_name]

    def has_run(self, full_name: str) -> bool:
        """Whether a stage ran here."""
        return full_name in self.texts

    def output(self, full_name: str, path: str) -> Locked | None:
        """An output as its stage left it; None: not known."""
        stage = self.stage(full_name)
        return None if stage is None else stage.outs.get(path)


def read_lock(source: Source) -> Lock:
    """What ran in a source: the locks beside all its dvc.yaml. Where there is none, nothing ran yet."""
    named: dict[str, str] = {}
    for pipeline in source.pipelines():
        file = pipeline.removesuffix("dvc.yaml") + "dvc.lock"
        if source.has(file):
            _, _, text = source.text(file).partition("\nstages:\n")
            parts = [part for part in _STAGE.split(text) if part.strip()]
            named |= {part.partition(":")[0].strip("'\""): part for part in parts}
    return Lock(named)


def _parse(text: str, place: str) -> LockedStage:
    try:
        blocks = {block.partition(":")[0]: block for block in _BLOCK.split(text)[1:]}
        found = parse_text(blocks["params"], place)["params"] if "params" in blocks else {}
        return LockedStage(
            deps=_files(blocks.get("deps", "")),
            outs=_files(blocks.get("outs", "")),
            params={name: _typed(value) for name, value in (found.get("params.yaml") or {}).items()},
        )
    except (KeyError, ValueError, TypeError, AttributeError) as problem:
        raise SettingsError(
            f"{place}: not what DVC writes ({problem!r}); restore dvc.lock from git, or run dvc repro"
        ) from None


def _files(block: str) -> dict[str, Locked]:
    """Entries of ``deps`` or ``outs``, as DVC writes them: one key a line. A YAML parser takes 20 times as long."""
    found = {}
    for item in _ITEM.split(block)[1:]:
        values = dict(line.strip().split(": ", 1) for line in item.splitlines())
        path = values["path"].strip("'\"")
        md5 = values["md5"].strip("'\"")
        size, files = int(values.get("size", 0)), int(values.get("nfiles", 1))
        found[path] = Locked(path=path, md5=md5, size=size, files=files)
    return found


def _typed(value: Any) -> Any:
    """A value of params.yaml that was kept as text, as JSON has it."""
    if isinstance(value, dict):
        return {name: _typed(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner) for inner in value]
    if value in _WORDS:
        return _WORDS[value]
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            pass
    return value
