"""A process beside ours that makes what is kept of a scan while we still load: it starts first, and without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

import sahmr
from sahmr.scenes.section import Scenes

_LARGE = 2_000_000  # bytes of a scan: a hundred thousand triangles, about; below, a process costs more than it saves


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """Such a process, ended with the block; what it does not tell of is made by whoever waits. None: there is none."""

    process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Ahead:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def wait(self, folder: str, file: str) -> bool | None:
        """Wait for a file of a scan's folder in the cache.

        Returns:
            Whether it was there before; None: it does not come, as the process ended or had another scan.
        """
        if self.process is None:
            return None
        assert self.process.stdout is not None  # a pipe, see start
        for line in self.process.stdout:  # ends with the process: whatever is wrong shows when its work is done again
            where, what, was_there = json.loads(line)
            if where != folder:
                return None
            if what == file:
                return bool(was_there)
        return None


def start(scan: Path, unit: str, settings: Scenes, cache: Path, *, is_field_asked: bool) -> Ahead:
    """Begin with voxels and, if asked for, distance field of a scan, where it is large and there are two processors.

    Args:
        scan: its file; how large it is decides by the bytes, as nothing of it is known yet.
        unit: of ``SCAN_UNITS``, or "auto".
        settings: section ``scenes``.
        cache: folder of all scans.
        is_field_asked: False: voxels alone.
    """
    if not scan.is_file() or scan.stat().st_size < _LARGE or _processors() < 2:
        return Ahead()
    package = str(Path(sahmr.__file__).parents[1])
    places = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
    asked = json.dumps([str(scan), unit, str(cache), is_field_asked, asdict(settings)])
    # Not multiprocessing: it would import the module that we were started as, and all that brings.
    process = subprocess.Popen(
        [sys.executable, "-m", "sahmr.scenes.kept_making", asked], env={**os.environ, "PYTHONPATH": places},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    return Ahead(process=process)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
