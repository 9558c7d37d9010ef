"""Pins of the lock files, and which belongs into which; ``python -m tests.pins FILE`` deals a new list out."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.imports import ROOT

RUN, TEST = ROOT / "requirements.lock", ROOT / "requirements.test"
BUILD = {"setuptools"}  # builds what has no wheel


def entries(text: str) -> dict[str, str]:
    """Name -> its lines, the pin and a hash each."""
    found: dict[str, str] = {}
    for entry in re.split(r"(?m)^(?=[A-Za-z0-9])", re.sub(r"(?m)^(#.*)?\n", "", text)):
        if entry:
            name = canonicalize_name(entry.partition("==")[0])
            assert name not in found, name
            found[name] = entry
    return found


def needed(*extras: str) -> set[str]:
    """What pyproject.toml names, with those extras, and what that needs in turn, on this machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    installed = {canonicalize_name(one.metadata["Name"]): one for one in distributions()}
    todo, seen = [Requirement(line) for line in named], set[tuple[str, str]]()
    while todo:
        requirement = todo.pop()
        for extra in (*requirement.extras, ""):
            name = canonicalize_name(requirement.name)
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            lines = (installed[name].requires or []) if name in installed else []
            needs = map(Requirement, lines)
            todo += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


def deal_out(path: Path) -> None:
    """Write both lock files from one list of all pins; the comments on top of them stay."""
    made, run = entries(path.read_text()), needed() | BUILD
    for file, names in ((RUN, made.keys() & run), (TEST, made.keys() - run)):
        comments = "".join(line for line in file.read_text().splitlines(keepends=True) if line.startswith("#"))
        file.write_text(comments + "".join(made[name] for name in sorted(names)))


if __name__ == "__main__":
    deal_out(Path(sys.argv[1]))
