"""README and docs/ name only files, functions, commands, stages, keys and links that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import imports
from tests.pipelines import code_deps

ROOT = imports.ROOT
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
MODULES = imports.modules()
_PATH = re.compile(r"(?:pipelines|sahmr|catalog|schemas|tests|docs)/[\w./]*|\w+\.yaml|Makefile|LICENSE|\.ci/run")
_THEIRS = ("entry.yaml",)  # users write it beside their scenes
_LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def code_blocks(text: str) -> list[str]:
    """Lines indented by four spaces, joined where a backslash continues them."""
    lines = [line[4:] for line in text.splitlines() if line.startswith("    ")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def code_spans(text: str) -> list[str]:
    """What stands between backticks outside of code blocks; a span may go over the end of a line."""
    prose = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def unknown_paths(text: str) -> Iterator[str]:
    for span in code_spans(text):
        path, _, function = span.partition("::")
        if _PATH.fullmatch(path) and not (ROOT / path).exists() and path not in _THEIRS:
            yield path
        elif _PATH.fullmatch(path) and function and function not in functions_of(ROOT / path):
            yield span


def functions_of(path: Path) -> set[str]:
    """Names of a file's functions, and of its classes' as ``Class.method``."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
    return found


def unknown_commands(text: str) -> Iterator[str]:
    code = [*code_blocks(text), *code_spans(text)]
    for name in re.findall(r"python -m ([\w.]+)", "\n".join(code)):
        path = module_file(name)
        if not path.is_file() or "__main__" not in path.name + path.read_text():
            yield f"python -m {name}"
    for name in re.findall(r"python ([\w/]+\.py)", "\n".join(code)):
        if not (ROOT / name).is_file():
            yield f"python {name}"
    makefile = (ROOT / "Makefile").read_text()
    for line in code:
        for target in re.findall(r"^make ([\w-]+)", line):
            if not re.search(rf"^{target}:", makefile, re.MULTILINE):
                yield f"make {target}"
        for stage in re.findall(r"dvc repro(?: -\w+)* (\w+(?:@[\w<>]+)?)", line):
            if not is_stage(stage):
                yield f"dvc repro {stage}"


def module_file(name: str) -> Path:
    """What ``python -m`` runs under a name, whether it exists or not."""
    path = ROOT.joinpath(*name.split("."))
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def is_stage(name: str) -> bool:
    """Whether ``dvc repro`` knows a name, here or in ``pipelines/own``: a stage, or ``stage@dataset`` of a loop."""
    stage, at, dataset = name.partition("@")
    files = code_deps.OWN if dataset == "own" else code_deps.FILES
    return stage in code_deps.stages(files) and (not at or dataset in (*PARAMS["raw"], "own"))


def unknown_keys(text: str) -> Iterator[str]:
    for span in code_spans(text):
        key = re.fullmatch(r"(\w+(?:\.\w+)+)(?::.*)?", span)
        if key and key[1].split(".")[0] in PARAMS and not span.endswith((".py", ".parquet", ".pt", ".json")):
            value: Any = PARAMS
            for part in key[1].split("."):
                value = value.get(part, ...) if isinstance(value, dict) else ...
            if value is ...:
                yield key[1]


def broken_links(page: Path) -> Iterator[str]:
    for link in _LINK.findall(page.read_text()):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


def anchors(page: Path) -> set[str]:
    """Headings as links write them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_names_only_what_exists(page: Path) -> None:
    text = page.read_text()
    assert not set(unknown_paths(text)), "paths that do not exist"
    assert not set(unknown_commands(text)), "commands, targets or stages that do not exist"
    assert not set(unknown_keys(text)), "keys that params.yaml does not have"
    assert not set(broken_links(page)), "links that lead nowhere"


def test_readme_is_short_and_leads_to_every_page() -> None:
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    links = set(_LINK.findall(text))
    for page in PAGES[1:]:
        assert f"docs/{page.name}" in links, f"README does not lead to {page.name}"
    pictures = sorted((ROOT / "docs/pictures").glob("*.png"))
    assert {f"docs/pictures/{path.name}" for path in pictures} <= links
    assert all(path.stat().st_size < 300_000 for path in pictures)


def test_readme_table_has_every_stage() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", README.read_text(), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert set(code_deps.stages()) <= named


def test_walk_names_functions_and_types_that_exist() -> None:
    """Of develop.md's walk: functions are in the modules named beside them, types are classes of ours."""
    text = (ROOT / "docs/develop.md").read_text()
    table = text.split("## One frame")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("| ")]
    classes = {name for path in MODULES.values() for name in re.findall(r"^class (\w+)", path.read_text(), re.M)}
    missing = set()
    for _, functions, module, taken, given in rows[1:]:
        path = module.strip("`")
        known = functions_of(ROOT / path)
        missing |= {f"{path}: {name}" for name in re.findall(r"`([\w.]+)`", functions) if name not in known}
        missing |= {name for name in re.findall(r"`([A-Z][a-z]\w+)`", taken + given) if name not in classes}
    assert len(rows) > 15
    assert not missing


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (unknown_paths, "see `sahmr/nowhere.py`"),
        (unknown_paths, "see `tests/test_docs.py::test_gone`"),
        (unknown_commands, "    python -m pipelines.nothing --dataset rich"),
        (unknown_commands, "run `python -m tests.parity`"),
        (unknown_commands, "run `dvc repro -f -s shards@kinect`"),
        (unknown_commands, "    make coffee"),
        (unknown_keys, "set `network.tpyo: paper`"),
    ],
)
def test_what_does_not_exist_is_found(check: Any, text: str) -> None:
    assert list(check(text))
