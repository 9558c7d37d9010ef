"""Which kernels a conversion computes with, on whatever processor, and whether the choice came in time."""

from __future__ import annotations

import os
import platform
import runpy
import subprocess
import sys
from typing import Any

import pytest

from pipelines import environment


def loaded(monkeypatch: pytest.MonkeyPatch, machine: str, **variables: str) -> dict[str, Any]:
    """The module's names after it was loaded on another machine with these variables set; numpy is loaded before."""
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(os, "environ", dict(variables))
    assert "numpy" in sys.modules
    return runpy.run_path(environment.__file__) | {"variables": os.environ}


@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "aarch64", "arm64", "riscv64"])
def test_only_an_x86_processor_gets_x86_kernels(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = loaded(monkeypatch, machine)
    expected = {"OPENBLAS_NUM_THREADS"}
    if machine in ("x86_64", "AMD64"):
        expected |= {"OPENBLAS_CORETYPE", "NPY_DISABLE_CPU_FEATURES"}
    assert set(made["PINNED"]) == expected
    assert made["variables"] == {**made["PINNED"], "OMP_WAIT_POLICY": "PASSIVE"}


def test_variables_set_too_late_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned = loaded(monkeypatch, "aarch64")["PINNED"]
    assert not loaded(monkeypatch, "aarch64")["is_pinned"]()
    assert not loaded(monkeypatch, "aarch64", OPENBLAS_NUM_THREADS="2")["is_pinned"]()
    assert loaded(monkeypatch, "aarch64", **pinned)["is_pinned"]()
    assert not loaded(monkeypatch, "x86_64", **pinned)["is_pinned"]()


@pytest.mark.parametrize("stage", ["bodies", "frames", "scenes", "shards"])
def test_every_conversion_chooses_before_numpy_loads(stage: str) -> None:
    """As ``python -m`` loads it, in a shell that says nothing of kernels."""
    shell = {name: value for name, value in os.environ.items() if name not in environment.PINNED}
    code = f"import pipelines.{stage}; from pipelines import environment; assert environment.is_pinned()"
    subprocess.run([sys.executable, "-c", code], env=shell, check=True)


def test_a_users_waiting_policy_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaded(monkeypatch, "x86_64", OMP_WAIT_POLICY="ACTIVE")["variables"]["OMP_WAIT_POLICY"] == "ACTIVE"
