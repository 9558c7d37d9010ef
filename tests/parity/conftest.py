"""Golden data of the reference: where they lie, and the table of errors printed at the end."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.parity.golden_file import GoldenFile, Ledger, markdown
from tests.parity.published import Bodies, Weights

_FOLDER = Path(__file__).parent
_DEFAULT = _FOLDER.parents[1].parent / "shared" / "reference" / "golden"
_LEDGER = Ledger()


@pytest.fixture(scope="session")
def golden(pytestconfig: pytest.Config) -> Path:
    """Folder of the golden files; the test is skipped where it is absent."""
    named = pytestconfig.getoption("golden")
    folder = pytestconfig.invocation_params.dir / named if named else _DEFAULT
    if not folder.is_dir():
        pytest.skip(f"no golden data at {folder}; name its folder with: pytest tests/parity --golden DIR")
    return folder


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    """One ledger for the whole run."""
    return _LEDGER


@pytest.fixture(scope="session")
def load(golden: Path, ledger: Ledger) -> Callable[[str], GoldenFile]:
    """Open a golden file."""

    def read(name: str) -> GoldenFile:
        path = golden / f"{name}.npz"
        if not path.is_file():
            pytest.skip(f"{path} is not there")
        return ledger.open(path)

    return read


@pytest.fixture(scope="session")
def beside(golden: Path) -> Callable[[str], Path]:
    """Find a file that belongs to the golden data: beside their folder, in it, or beside the default folder."""

    def find(name: str) -> Path:
        for folder in (golden.parent, golden, _DEFAULT.parent):
            if (folder / name).is_file():
                return folder / name
        pytest.skip(f"no {name} beside {golden}")

    return find


@pytest.fixture(scope="session")
def weights(beside: Callable[[str], Path]) -> ModuleType:
    """The deterministic weights."""
    spec = importlib.util.spec_from_file_location("deterministic_weights", beside("deterministic_weights.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def published(weights: ModuleType) -> Weights:
    """The full network's deterministic weights."""
    return Weights(weights)


@pytest.fixture(scope="session")
def bodies(
    beside: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Bodies:
    """The synthetic body models of the golden files."""
    folder = tmp_path_factory.mktemp("synthetic_body")
    script, seed = beside("make_synthetic_body.py"), str(pytestconfig.getoption("body_seed"))
    subprocess.run([sys.executable, script, "--out", folder, "--seed", seed], check=True, capture_output=True)
    return Bodies(folder)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
    """Fail a test one of whose comparisons failed."""
    _LEDGER.take_faults()
    result = yield
    if faults := _LEDGER.take_faults():
        pytest.fail("\n".join(faults), pytrace=False)
    return result


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Notice that only a part of this folder runs."""
    _LEDGER.is_partial |= any(_FOLDER in item.path.parents for item in items)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the test for completeness behind those that it looks back on."""
    modules = {item.path for item in items}
    _LEDGER.is_partial |= not modules.issuperset(_FOLDER.glob("test_*.py"))
    last = [item for item in items if item.path == _FOLDER / "test_every_array.py"]
    items[:] = [item for item in items if item not in last] + last


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the errors of every compared array, and write them as Markdown if asked to."""
    rows = list(_LEDGER.rows.values())
    if not rows:
        return
    terminalreporter.section("parity: largest error of every array, absolute and relative")
    for row in rows:
        terminalreporter.write_line(str(row), red=not row.holds)
    if report := config.getoption("parity_report"):
        (config.invocation_params.dir / report).write_text(markdown(rows))
