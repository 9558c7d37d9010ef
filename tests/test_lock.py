"""The lock files: every package that is installed, each with the hashes of its files; torch has its own file."""

from __future__ import annotations

import re

from tests.imports import ROOT
from tests.pins import BUILD, RUN, TEST, entries, needed

RUN_PINS, TEST_PINS = entries(RUN.read_text()), entries(TEST.read_text())
PINS = RUN_PINS | TEST_PINS
TORCH = [line for line in (ROOT / "requirements.torch").read_text().splitlines() if not line.startswith("#")]
OF_CUDA = ("torch", "nvidia", "cuda", "triton")  # what a CUDA build of torch brings along


def hashes(entry: str) -> list[str]:
    return entry.replace("\\\n", " ").split()[1:]


def test_every_pin_has_hashes() -> None:
    for name, entry in PINS.items():
        found = hashes(entry)
        assert found and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one) for one in found), name
        assert len(set(found)) == len(found), name
        assert "://" not in entry, f"{name}: an address: hashes make it needless"


def test_files_for_other_machines_are_allowed_too() -> None:
    """A compiled package has wheels for more than this platform."""
    for name in ("numpy", "pyarrow", "scipy", "pydantic-core", "opencv-python-headless"):
        assert len(hashes(PINS[name])) >= 4, name


def test_torch_stands_alone() -> None:
    assert len(TORCH) == 1 and re.fullmatch(r"torch==[0-9.]+", TORCH[0])
    assert "torch" not in PINS


def test_all_that_is_needed_is_locked() -> None:
    assert {name for name in needed() - RUN_PINS.keys() if not name.startswith(OF_CUDA)} == set()
    assert {name for name in needed("test") - PINS.keys() if not name.startswith(OF_CUDA)} == set()
    assert {"torch", "dvc", "aiohttp"} <= needed() and "hypothesis" in needed("test")


def test_nothing_is_locked_twice_or_in_vain() -> None:
    assert RUN_PINS.keys() & TEST_PINS.keys() == set()
    assert RUN_PINS.keys() - needed() - BUILD == set()
    assert TEST_PINS.keys() - needed("test") == set()


def test_the_makefile_lets_nothing_in_without_a_hash() -> None:
    recipes = (ROOT / "Makefile").read_text().split("\n.venv.stamp:")[1].split("\n\n")[:2]
    installs = [line for recipe in recipes for line in recipe.splitlines() if " install " in line]
    assert len(installs) == 5
    for line in installs:
        assert "--require-hashes --no-deps" in line or "requirements.torch" in line or "--editable ." in line
