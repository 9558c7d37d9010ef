"""Read imports from source without running it; shared by the architecture and pipeline-file tests."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("schemas", "sahmr", "catalog", "pipelines")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules() -> dict[str, Path]:
    """Dotted name -> file of every module of ours."""
    return {module_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def imported_names(path: Path) -> set[str]:
    """Every dotted name a file imports; ``from a import b`` counts as ``a`` and ``a.b``."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def internal_imports(path: Path, known: dict[str, Path]) -> set[str]:
    """Which of our own modules a file imports."""
    return {name for name in imported_names(path) if name in known}


def named_imports(name: str) -> set[str]:
    """Modules imported by name: the registry's, by the dataset cards; all schemas, by the catalog."""
    if name == "catalog.tables":
        return {module for module in modules() if module.startswith("schemas.")}
    if name != "sahmr.readers.registry":
        return set()
    from sahmr.datasets import CARDS  # not earlier: tests/worlds/checked.py comes before any module of ours

    places = (place for card in CARDS.values() for place in (card.reader, card.rules, card.prepared) if place)
    return {place.partition(":")[0] for place in places}


def closure(start: str, known: dict[str, Path], stop: Callable[[str], bool] = lambda name: False) -> set[str]:
    """A module and all of ours it needs, directly or not; modules that ``stop`` names are left out with theirs."""
    seen, todo = set(), [start]
    while todo:
        name = todo.pop()
        if name not in seen and not stop(name):
            seen.add(name)
            todo += internal_imports(known[name], known) | named_imports(name)
    return seen
