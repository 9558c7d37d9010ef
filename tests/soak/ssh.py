"""Dask's SSHCluster over a loopback SSH server; ``python -m tests.soak.ssh PORT KEY`` runs the cluster alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.soak.processes import Start, environment, kill_family
from tests.soak.road import ROOT


@contextmanager
def ssh_cluster(folder: Path, **variables: str) -> Iterator[str]:
    """Address of the scheduler of an SSHCluster with two workers.

    Args:
        folder: for keys and logs.
        variables: of the machine the cluster runs on; its processes get a umask of 077 besides.
    """
    folder.mkdir(parents=True, exist_ok=True)
    there = Start(cwd=Path("/"), env=environment(**variables), umask=0o077)
    here = Start(cwd=ROOT, env=environment())
    processes = []
    try:
        processes.append(there.run("tests.soak.ssh_server", str(folder), log=folder / "server.log", pipes=True))
        port = _line(processes[-1], folder / "server.log")
        processes.append(here.run("tests.soak.ssh", port, str(folder / "user"), log=folder / "cluster.log", pipes=True))
        yield _line(processes[-1], folder / "cluster.log")
    finally:
        kill_family(processes)


def _line(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, log.read_text()[-2000:]
    return line


def main(port: str, key: str) -> None:
    """What a user's script does, but for the port and the key."""
    from distributed import SSHCluster

    cluster = SSHCluster(
        ["127.0.0.1"] * 3,
        connect_options={"port": int(port), "username": "user", "client_keys": [key], "known_hosts": None},
        scheduler_options={"host": "127.0.0.1", "port": 0, "dashboard": False},
        worker_options={"nthreads": 1, "preload_nanny": ["pipelines.environment"]},
    )
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
