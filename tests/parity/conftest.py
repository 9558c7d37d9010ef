"""Golden data of the reference: where it lies, and a ledger of how far off we are, printed at the end."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

_DEFAULT = Path(__file__).parents[2].parent / "shared" / "reference" / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Seen by ``pytest tests/parity --golden DIR``; a plain ``pytest`` uses the default folder."""
    parser.addoption("--golden", type=Path, default=None, help=f"folder of golden .npz files (default {_DEFAULT})")


@dataclass
class Ledger:
    """Compares arrays and remembers the errors.

    The relative error is the largest difference over the largest value of the expected array.
    """

    rows: list[tuple[str, float, float]] = field(default_factory=list)

    def check(self, name: str, got: Any, want: Any, tolerance: float = 1e-4) -> None:
        """Fail if the shapes differ or the relative error exceeds the tolerance."""
        got, want = (torch.as_tensor(np.asarray(x.detach() if torch.is_tensor(x) else x)).double() for x in (got, want))
        assert got.shape == want.shape, f"{name}: shape {tuple(got.shape)}, expected {tuple(want.shape)}"
        error = float((got - want).abs().max()) if want.numel() else 0.0
        scale = float(want.abs().max()) if want.numel() else 0.0
        relative = error / scale if scale else error
        self.rows.append((name, error, relative))
        assert relative <= tolerance, f"{name}: largest error {error:.3g}, {relative:.3g} of the array's scale"

    def check_l2(self, name: str, got: torch.Tensor, want: Any, tolerance: float) -> None:
        """The same with the relative L2 error, for gradients behind many ReLUs."""
        want = torch.as_tensor(np.asarray(want)).double()
        gap = got.detach().double() - want
        relative = float(gap.norm() / want.norm())
        self.rows.append((f"{name} (L2)", float(gap.abs().max()), relative))
        assert relative <= tolerance, f"{name}: relative L2 error {relative:.3g}"


_LEDGER = Ledger()


@pytest.fixture(scope="session")
def golden(pytestconfig: pytest.Config) -> Path:
    """Folder of the golden files; the test is skipped where it is absent."""
    folder = Path(pytestconfig.getoption("golden", default=None) or _DEFAULT)
    if not folder.is_dir():
        pytest.skip(f"no golden data at {folder}; name its folder with: pytest tests/parity --golden DIR")
    return folder


@pytest.fixture(scope="session")
def ledger() -> Ledger:
    """One ledger for the whole run."""
    return _LEDGER


@pytest.fixture(scope="session")
def load(golden: Path) -> Callable[[str], dict[str, torch.Tensor]]:
    """Read a golden file as tensors."""

    def read(name: str) -> dict[str, torch.Tensor]:
        with np.load(golden / f"{name}.npz", allow_pickle=False) as data:
            return {key: torch.from_numpy(np.array(data[key])) for key in data.files}

    return read


@pytest.fixture(scope="session")
def weights(golden: Path) -> ModuleType:
    """The deterministic weights that lie beside the golden folder."""
    path = golden.parent / "deterministic_weights.py"
    spec = importlib.util.spec_from_file_location("deterministic_weights", path)
    if not path.is_file() or spec is None or spec.loader is None:
        pytest.skip(f"no {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the largest absolute and relative error of every compared array."""
    if _LEDGER.rows:
        terminalreporter.section("parity: largest error per array (absolute, relative to the array's scale)")
        for name, error, relative in _LEDGER.rows:
            terminalreporter.write_line(f"{name:<64} {error:10.3e} {relative:10.3e}")
