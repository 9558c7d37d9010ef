"""A folder as the stage ``bodies`` leaves it, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from sahmr.body.model import clean_path, write_clean
from tests.worlds.bodies import model_arrays
from tests.worlds.raw_trees import write_bodies


@pytest.fixture(scope="session")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Transfer matrix only: enough for meshes."""
    return write_bodies(tmp_path_factory.mktemp("bodies"))


@pytest.fixture(scope="session")
def bodies_with_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Transfer matrix and a SMPL-X model for either gender."""
    folder = write_bodies(tmp_path_factory.mktemp("bodies_with_models"))
    write_clean(clean_path(folder, "smplx", "female"), "smplx", model_arrays("smplx"), 10)
    clean_path(folder, "smplx", "male").hardlink_to(clean_path(folder, "smplx", "female"))
    return folder
