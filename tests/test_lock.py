"""requirements.lock: every package that is installed, each with the hashes of its files; torch has its own file."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.imports import ROOT

LOCK = (ROOT / "requirements.lock").read_text()
TORCH = [line for line in (ROOT / "requirements.torch").read_text().splitlines() if not line.startswith("#")]


def pins() -> dict[str, tuple[str, list[str]]]:
    """Name -> version and hashes; every line of the file belongs to one pin."""
    text = "\n".join(line for line in LOCK.splitlines() if not line.startswith("#"))
    found = {}
    for entry in text.replace("\\\n", " ").splitlines():
        pin, *hashes = entry.split()
        name, version = pin.split("==")
        assert canonicalize_name(name) not in found, name
        found[canonicalize_name(name)] = (version, hashes)
    return found


def test_every_pin_has_hashes() -> None:
    for name, (_, hashes) in pins().items():
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in hashes), name
        assert len(set(hashes)) == len(hashes), name
    assert "://" not in LOCK, "an address: hashes make it needless"


def test_files_for_other_machines_are_allowed_too() -> None:
    """A compiled package has wheels for more than this platform."""
    for name in ("numpy", "pyarrow", "scipy", "pydantic-core", "opencv-python-headless"):
        assert len(pins()[name][1]) >= 4, name


def test_torch_stands_alone() -> None:
    assert len(TORCH) == 1 and re.fullmatch(r"torch==[0-9.]+", TORCH[0])
    assert "torch" not in pins()


def wanted() -> set[str]:
    """What pyproject.toml names, with the extra that the tests need, and what that needs in turn, on this machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    installed = {canonicalize_name(d.metadata["Name"]): d for d in distributions()}
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


def test_all_that_is_needed_is_locked() -> None:
    of_cuda = ("torch", "nvidia", "cuda", "triton")  # what a CUDA build of torch brings along
    assert {name for name in wanted() - set(pins()) if not name.startswith(of_cuda)} == set()
    assert {"torch", "dvc", "aiohttp", "hypothesis"} <= wanted()


def test_the_makefile_lets_nothing_in_without_a_hash() -> None:
    recipe = (ROOT / "Makefile").read_text().split(".venv.stamp:")[1].split("\n\n")[0]
    installs = [line for line in recipe.splitlines() if " install " in line]
    assert len(installs) == 4
    for line in installs:
        assert "--require-hashes --no-deps" in line or "requirements.torch" in line or "--editable ." in line
