from pathlib import Path

import pytest

from tests.data import small


@pytest.fixture(scope="session")
def small_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything the stages before training make, of nine samples in one room. Read-only."""
    folder = tmp_path_factory.mktemp("small")
    small.write_world(folder / "world")
    return folder / "world"
