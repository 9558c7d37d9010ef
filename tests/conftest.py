"""Fixtures that several test folders share."""

from pathlib import Path

import pytest

from sahmr.demo.generate import Demo, generate
from sahmr.demo.rich_plan import TINY
from sahmr.settings import Raw


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of ``tests/parity``; pytest wants them here to know them wherever it is started."""
    group = parser.getgroup("parity")
    group.addoption("--golden", metavar="DIR", help="folder of golden .npz files (default: ../shared/reference/golden)")
    group.addoption("--parity-report", metavar="FILE", help="write the table of errors to this Markdown file")
    group.addoption("--body-seed", type=int, default=7, help="seed of the golden files' synthetic body models")


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small but complete demo: ``RICH``, ``PROX`` and ``body_models`` below one folder, every trap included."""
    root = tmp_path_factory.mktemp("demo")
    raw = Raw(rich=root / "RICH", prox=root / "PROX", bodies=root / "body_models")
    generate(raw, Demo(seed=7, image_divisor=16), size=TINY)
    return root
