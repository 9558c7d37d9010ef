"""Output bytes change together with a stage's version, or not at all: finished pieces are reused by version."""

import json
import subprocess
import sys

import pytest

from pipelines.environment import PINNED
from tests import imports
from tests.pipelines import golden_bytes

STAGES = ("frames", "scenes", "shards")


@pytest.fixture(scope="module")
def found() -> dict:
    """Measured in a process of its own, whose numpy has the kernels of a conversion."""
    command = [sys.executable, "-m", "tests.pipelines.golden_bytes", "--print"]
    return json.loads(subprocess.run(command, cwd=imports.ROOT, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif("OPENBLAS_CORETYPE" not in PINNED, reason="recorded on x86-64: other processors round otherwise")
@pytest.mark.parametrize("stage", STAGES)
def test_bytes_are_those_of_the_recorded_version(stage: str, found: dict) -> None:
    golden = json.loads(golden_bytes.GOLDEN.read_text())
    libraries = found["libraries"] == golden["libraries"]
    assert found[stage] == golden[stage], (
        f"{stage} writes other bytes than recorded for its version"
        + ("" if libraries else ", and the libraries differ: install requirements.lock")
        + f"; if that is meant, raise VERSION in pipelines/{stage}.py, then: python -m tests.pipelines.golden_bytes"
    )


def test_a_change_of_bytes_without_a_new_version_would_be_noticed() -> None:
    golden = json.loads(golden_bytes.GOLDEN.read_text())
    assert {stage: golden[stage]["version"] for stage in STAGES} == {
        stage: __import__(f"pipelines.{stage}", fromlist=["VERSION"]).VERSION for stage in STAGES
    }
