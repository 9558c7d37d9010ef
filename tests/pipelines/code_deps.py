"""Which code each stage of dvc.yaml runs, by its imports; ``python -m tests.pipelines.code_deps`` writes it there."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests import imports

FILES = (imports.ROOT / "dvc.yaml", imports.ROOT / "pipelines/demo/dvc.yaml")
OWN = tuple(imports.ROOT / "pipelines/own" / name for name in ("dvc.yaml", "capture/dvc.yaml", "truth/dvc.yaml"))
MODULES = imports.modules()
# These cannot change a result, nor can what they alone import: how work is spread and kept, how errors are reported,
# how settings are checked.
EXEMPT = {
    *("pipelines.environment", "pipelines.stage", "sahmr.errors", "sahmr.files", "sahmr.settings"),
    # What these bring is compared with its digest.
    *("sahmr.cache", "sahmr.remote", "sahmr.repository", "sahmr.server", "sahmr.published", "sahmr.share"),
    "sahmr.shards.ahead",
    # These only refuse.
    *("sahmr.network.batch_check", "sahmr.training.container", "sahmr.training.resume"),
    *("sahmr.scenes.limits", "sahmr.shards.limits", "sahmr.shards.index_check", "schemas.table_check"),
}
EXEMPT_PACKAGES = ("pipelines.conversion.",)
FILES_OF = {  # what a module reads beside its imports
    "sahmr.report.page": ("sahmr/report/templates/*",),
    "catalog.page": ("catalog/templates/*", "sahmr/report/templates/page.css"),
}


def is_code(dep: str) -> bool:
    """Whether a dependency is code; data stand below a folder of ``paths``."""
    return dep.endswith((".py", ".html", ".css", ".js")) and not dep.startswith("${")


def stages(files: tuple[Path, ...] = FILES) -> dict[str, dict]:
    """Every stage by its name, its loop taken off."""
    found = {name: stage for path in files for name, stage in yaml.safe_load(path.read_text())["stages"].items()}
    return {name: stage.get("do", stage) for name, stage in found.items()}


def module_of(stage: dict) -> str:
    """Dotted name of the module that a stage runs."""
    name = re.search(r"python -m (\S+)", stage["cmd"]).group(1)
    return f"{name}.__main__" if f"{name}.__main__" in MODULES else name


def needed_code(stage: dict) -> list[str]:
    """Files of ours that a stage's module imports, directly or not, and that can change its result; sorted."""
    names = imports.closure(
        module_of(stage), MODULES, stop=lambda name: name in EXEMPT or name.startswith(EXEMPT_PACKAGES)
    )
    paths = [MODULES[name] for name in names if MODULES[name].name != "__init__.py"]
    paths += [path for name in names & set(FILES_OF) for files in FILES_OF[name] for path in imports.ROOT.glob(files)]
    return sorted(path.relative_to(imports.ROOT).as_posix() for path in paths)


def declared_code(stage: dict) -> list[str]:
    """Dependencies that are code, as dvc.yaml has them, from the root on."""
    return [re.sub(r"^(\.\./)+", "", dep) for dep in stage["deps"] if is_code(dep)]


def count_lines(paths: list[str]) -> int:
    """Lines of all files; folders count with what lies below."""
    files = [file for path in paths for file in (imports.ROOT / path, *(imports.ROOT / path).rglob("*.py"))]
    return sum(len(file.read_text().splitlines()) for file in files if file.is_file())


def rewrite(path: Path) -> None:
    """Put the needed code first in every stage's ``deps``; data dependencies and all else stay as they are."""
    out: list[str] = []
    name, in_deps = "", False
    known, up = stages((path,)), "../../" if path in OWN else ""
    for line in path.read_text().splitlines():
        if found := re.fullmatch(r"  (\w+):", line):
            name = found[1]
        if in_deps and not line.lstrip().startswith("- "):
            in_deps = False
        if in_deps and is_code(line.strip().removeprefix("- ")):
            continue
        out.append(line)
        if line.strip() == "deps:":
            in_deps = True
            indent = " " * (len(line) - len(line.lstrip()) + 2)
            out += [f"{indent}- {up}{code}" for code in needed_code(known[name])]
    path.write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    for file in (*FILES, *OWN):
        rewrite(file)
    for stage_name, stage in stages((*OWN, *FILES)).items():
        print(f"{stage_name:>16} {count_lines(needed_code(stage)):>6} lines of {len(needed_code(stage))} files")
