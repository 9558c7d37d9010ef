"""Recorded figures: what was measured, on which machine, by which command."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "figures"


def machine() -> dict[str, object]:
    """Processor, cores, memory and the versions that matter."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "python": platform.python_version(),
        "torch": version("torch"),
    }


def record(path: Path | None, command: str, figures: Any) -> None:
    """Write what was measured, unless there is no path."""
    if path is not None:
        report = {"command": command, "machine": machine(), "figures": figures}
        path.write_text(json.dumps(report, indent=1) + "\n")
