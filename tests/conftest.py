"""Fixtures that several test folders share."""

from pathlib import Path

import pytest

from sahmr.demo.generate import Demo, generate
from sahmr.demo.rich_plan import TINY
from sahmr.settings import Raw


@pytest.fixture(scope="session")
def demo_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small but complete demo: ``RICH``, ``PROX`` and ``body_models`` below one folder, every trap included."""
    root = tmp_path_factory.mktemp("demo")
    raw = Raw(rich=root / "RICH", prox=root / "PROX", bodies=root / "body_models")
    generate(raw, Demo(seed=7, image_divisor=16), size=TINY)
    return root
