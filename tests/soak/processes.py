"""Processes of a small real cluster on this machine, and hashes of what they make."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.soak.road import ROOT

PRELOAD = ("--preload-nanny", "pipelines.environment")


def environment(*code: Path, **changes: str) -> dict[str, str]:
    """This process's environment without anything that steers Dask or numeric kernels.

    Args:
        code: folders to import our packages from, before the checkout.
        changes: variables to set.
    """
    steering = ("DASK_", "OPENBLAS_", "OMP_", "NPY_", "SAHMR_", "SOAK_", "PYTEST_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(steering)}
    search = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    places = os.pathsep.join(map(str, [*code, ROOT]))
    return {**kept, "PATH": search, "PYTHONPATH": places, "DVC_NO_ANALYTICS": "1", **changes}


def until(claim: Callable[[], bool], what: str, *, seconds: float = 60.0) -> None:
    """Wait until a claim holds; AssertionError if it does not in time."""
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.02)


def family(process: subprocess.Popen[str] | psutil.Process) -> list[psutil.Process]:
    """A process and all its descendants, those that still run."""
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(process.pid)
        return [top, *top.children(recursive=True)]
    return []


def kill_family(processes: Sequence[subprocess.Popen[str]]) -> None:
    """SIGKILL processes and their descendants, and wait for their end."""
    members = [member for process in processes for member in family(process)]
    for member in members:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(members, timeout=20)
    for process in processes:
        process.wait(timeout=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a process of the cluster is started."""

    cwd: Path
    env: Mapping[str, str]
    umask: int = -1
    user: int | None = None

    def run(self, *command: str, log: Path, pipes: bool = False) -> subprocess.Popen[str]:
        """Start ``python -m command``; standard error, and output without ``pipes``, go to ``log``."""
        with log.open("a") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=self.cwd, env=dict(self.env), umask=self.umask, user=self.user, group=self.user,
                extra_groups=None if self.user is None else [], stderr=stream, text=True,
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL, stdout=subprocess.PIPE if pipes else stream,
            )  # fmt: skip


class Cluster:
    """A scheduler and workers, each started from the command line as a user would.

    Attributes:
        scheduler, workers: their processes; a worker's is the nanny.
        address: of the scheduler.
    """

    def __init__(self, folder: Path, start: Start, *, scheduler: Start | None = None) -> None:
        self._folder, self._start = folder, start
        self.workers: list[subprocess.Popen[str]] = []
        port_file = folder / "scheduler.json"
        self.scheduler = (scheduler or start).run(
            "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
            "--scheduler-file", str(port_file), log=folder / "scheduler.log",
        )  # fmt: skip
        self.file = port_file
        until(lambda: port_file.is_file() and bool(self.address), "the scheduler's start")

    @property
    def address(self) -> str:
        """Of the scheduler; empty while its file is incomplete."""
        found = [word for word in self.file.read_text().split('"') if word.startswith("tcp://")]
        return found[0] if found else ""

    def add_worker(self, *more: str, start: Start | None = None, preload: Sequence[str] = PRELOAD) -> None:
        """Start one more worker with a nanny; it may take seconds to join."""
        scratch = ("--local-directory", str(self._folder))
        command = ("worker", self.address, "--nthreads", "1", "--no-dashboard", *scratch, *preload, *more)
        log = self._folder / f"worker-{len(self.workers)}.log"
        self.workers.append((start or self._start).run("dask", *command, log=log))

    def close(self) -> None:
        """Kill what is left."""
        kill_family([*self.workers, self.scheduler])


@contextmanager
def cluster(folder: Path, start: Start, *, workers: int = 2, scheduler: Start | None = None) -> Iterator[Cluster]:
    """A running cluster; everything is gone when the block ends.

    Args:
        folder: for its logs and scratch files.
        start: of all processes.
        workers: how many.
        scheduler: how the scheduler is started, if otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = Cluster(folder, start, scheduler=scheduler)
    try:
        for _ in range(workers):
            made.add_worker()
        yield made
    finally:
        made.close()


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
