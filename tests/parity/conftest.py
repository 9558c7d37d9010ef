"""Golden data of the reference: where they lie, and the table of errors printed at the end."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from sahmr.sparse.kernel_map import Rounding
from tests.parity import steps, synthetic_body
from tests.parity.golden_file import GoldenSet, Ledger, markdown
from tests.parity.published import Bodies, Load, Weights
from tests.parity.thin import FILE

_FOLDER = Path(__file__).parent
_DEFAULT = _FOLDER.parents[1].parent / "shared" / "reference" / "golden"
_LEDGER = Ledger()


@pytest.fixture(scope="session")
def golden(pytestconfig: pytest.Config) -> GoldenSet:
    """The golden files: the named folder, the default one, or else the thinned set beside this file."""
    named = pytestconfig.getoption("golden")
    place = pytestconfig.invocation_params.dir / named if named else _DEFAULT if _DEFAULT.is_dir() else FILE
    if not place.exists():
        raise pytest.UsageError(f"--golden {named}: no such folder")
    return GoldenSet(place)


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    """One ledger for the whole run."""
    return _LEDGER


@pytest.fixture(scope="session")
def load(golden: GoldenSet, ledger: Ledger) -> Load:
    """Open a golden file."""
    return lambda name: ledger.open(name, lambda: golden.arrays(name))


@pytest.fixture(scope="session")
def published() -> Weights:
    """The full network's deterministic weights."""
    return Weights()


@pytest.fixture(scope="session")
def bodies(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Bodies:
    """The synthetic body models of the golden files."""
    folder = tmp_path_factory.mktemp("synthetic_body")
    synthetic_body.write(folder, pytestconfig.getoption("body_seed"))
    return Bodies(folder)


@pytest.fixture(scope="session")
def root_step(load: Load, published: Weights) -> Callable[[Rounding], None]:
    """Compare one training step of the root and contact network, once per rounding."""
    return functools.cache(functools.partial(steps.compare_root_step, load, published))


@pytest.fixture(scope="session")
def mesh_step(load: Load, published: Weights, bodies: Bodies) -> Callable[[], None]:
    """Compare one training step of the mesh network, once."""
    return functools.cache(functools.partial(steps.compare_mesh_step, load, published, bodies))


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
    if thinned := [row for row in rows if row.entries != "all"]:
        terminalreporter.write_line(
            f"thinned golden set: of {len(thinned)} of {len(rows)} arrays some entries were compared, as marked; "
            f"the full set: pytest tests/parity --golden DIR"
        )
    for row in rows:
        terminalreporter.write_line(str(row), red=not row.holds)
    if report := config.getoption("parity_report"):
        (config.invocation_params.dir / report).write_text(markdown(rows))
