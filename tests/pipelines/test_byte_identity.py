"""The same raw input gives the same bytes, whoever computes them, where, and on whatever processor."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.soak.processes import ROOT, Start, cluster, environment
from tests.soak.road import STAGES, write_params
from tests.soak.sandbox import Sandbox
from tests.soak.ssh import ssh_cluster
from tests.soak.watch import outputs

# Minutes in all; and Dask leaves files and sockets of its SSH cluster unclosed.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
PROX = tuple(name for name in STAGES if name.endswith("prox"))
NOBODY = 65534
# What a user's environment may switch off or on; our own settings must win, or make no difference.
SWITCHES: dict[str, dict[str, str]] = {
    "blas": {"OPENBLAS_CORETYPE": "Prescott", "NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"},
    "threads": {"OPENBLAS_NUM_THREADS": "4", "OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"},
    "jpeg": {"JSIMD_FORCENONE": "1"},
    "opencv": {"OPENCV_CPU_DISABLE": "AVX512_SKX,AVX2,FMA3,AVX,SSE4_2,SSE4_1,SSSE3", "OPENCV_IPP": "disabled"},
    "arrow": {"ARROW_USER_SIMD_LEVEL": "NONE"},
    "libm": {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-AVX512F"},
    "torch": {"ATEN_CPU_CAPABILITY": "default"},
    "place": {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONUTF8": "0"},
    "seed": {"PYTHONHASHSEED": "12345"},
}
ODD = {name: value for switch in SWITCHES.values() for name, value in switch.items()}


class Road:
    """Runs of the conversion on the same demo data, each in a folder of its own with a fresh work store."""

    def __init__(self, folder: Path, demo: Path) -> None:
        self.folder, self.demo = folder, demo
        self._made: dict[str, subprocess.Popen[str]] = {}
        write_params(folder / "bodies", str(demo))
        self.bodies = folder / "bodies/data/bodies"

    def start(
        self, name: str, stages: Sequence[str] = STAGES, *, workers: int = 0, umask: int = -1,
        user: int | None = None, **variables: str,
    ) -> None:  # fmt: skip
        """Start a run; see :class:`tests.soak.processes.Start`."""
        bodies = "data/bodies" if stages[0] == "bodies" else str(self.bodies)
        write_params(self.folder / name, str(self.demo), workers=workers, bodies=bodies)
        if user is not None:
            os.chown(self.folder / name, user, user)
        start = Start(cwd=self.folder / name, env=environment(**variables), umask=umask, user=user)
        self._made[name] = start.run("tests.soak.road", *stages, log=self.folder / f"{name}.log")

    def outputs(self, name: str) -> dict[str, str]:
        """Hashes of what a run made, once it is done."""
        code = self._made[name].wait(600)
        assert code == 0, f"{name}: {(self.folder / f'{name}.log').read_text()[-3000:]}"
        return outputs(self.folder / name)


@pytest.fixture(scope="module")
def road(demo_root: Path) -> Iterator[Road]:
    """Below a folder that another user may enter, with links to the demo data, and bodies made once."""
    with tempfile.TemporaryDirectory(prefix="road-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.copytree(demo_root, folder / "demo", copy_function=os.link)
        (folder / "demo").chmod(0o755)
        made = Road(folder, folder / "demo")
        made.start("bodies", ["bodies"])
        made.outputs("bodies")
        made.start("plain")
        yield made


def of_prox(tree: dict[str, str]) -> dict[str, str]:
    return {name: sha for name, sha in tree.items() if "/prox" in name}


def test_environment_and_workers_over_ssh_change_nothing(road: Road) -> None:
    """All at once: a processor without its better half, other users' habits; and other machines, other folders."""
    road.start("odd", umask=0o077, **ODD)
    with ssh_cluster(road.folder / "ssh", TZ="America/Lima", PYTHONHASHSEED="7", OMP_NUM_THREADS="3") as address:
        road.start("ssh", PROX, DASK_SCHEDULER_ADDRESS=address)
        from_ssh = road.outputs("ssh")
    plain = road.outputs("plain")
    assert {Path(name).suffix for name in plain} >= {".tar", ".parquet", ".json"} and len(plain) > 80
    assert from_ssh == of_prox(plain)
    assert road.outputs("odd") == plain


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_changes_nothing(road: Road, switch: str) -> None:
    road.start(switch, ["bodies", *STAGES], **SWITCHES[switch])
    assert road.outputs(switch) == road.outputs("plain")
    found, expected = (sorted((road.folder / name / "data/bodies").iterdir()) for name in (switch, "bodies"))
    assert [path.read_bytes() for path in found] == [path.read_bytes() for path in expected]
    shutil.rmtree(road.folder / switch)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_number_of_local_workers_changes_nothing(road: Road, workers: int) -> None:
    """With random pauses, so that pieces are finished in random order."""
    road.start(f"local-{workers}", workers=workers, SOAK_DELAY_S="0.2")
    assert road.outputs(f"local-{workers}") == road.outputs("plain")


def test_a_cluster_from_the_command_line_changes_nothing(road: Road) -> None:
    """Two workers of two threads, elsewhere, with another umask and time zone; pieces finished in random order."""
    variables = environment(TZ="Asia/Tokyo", PYTHONHASHSEED="3", SOAK_DELAY_S="0.2")
    with ExitStack() as stack:
        start = Start(cwd=Path("/"), env=variables, umask=0o077)
        made = stack.enter_context(cluster(road.folder / "cluster", start, workers=0))
        for _ in range(2):
            made.add_worker("--nthreads", "2")
        road.start("cluster", DASK_SCHEDULER_FILE=str(made.file), SOAK_DELAY_S="0.2")
        assert road.outputs("cluster") == road.outputs("plain")


def test_another_user_changes_nothing(road: Road) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can run a stage as somebody else")
    command = [sys.executable, "-c", "import numpy, sahmr.errors"]
    try:
        subprocess.run(command, cwd="/", env=environment(), user=NOBODY, group=NOBODY, extra_groups=[], check=True)
    except (PermissionError, subprocess.CalledProcessError) as problem:
        pytest.skip(f"user nobody cannot run this interpreter or read this checkout: {problem}")
    road.start("nobody", user=NOBODY, umask=0o027, HOME="/nonexistent")
    assert road.outputs("nobody") == road.outputs("plain")
    assert (road.folder / "nobody/data/shards").stat().st_uid == NOBODY


def test_dvc_lock_knows_nothing_of_the_cluster(road: Road, tmp_path: Path) -> None:
    """``dvc repro`` alone in one place, and with a cluster and more workers in another: the same lock file."""
    locks = []
    for name, workers in (("alone", 0), ("together", 2)):
        box = Sandbox(tmp_path / name, road.demo)
        write_params(box.folder, "data/raw", workers=workers)
        with ExitStack() as stack:
            variables = {}
            if workers:
                made = stack.enter_context(cluster(tmp_path / "cluster", box.start()))
                variables = {"DASK_SCHEDULER_ADDRESS": made.address, "TZ": "Asia/Tokyo"}
            assert box.repro(log=tmp_path / f"{name}.log", **variables).wait(600) == 0
        locks.append((box.folder / "dvc.lock").read_text())
        assert outputs(box.folder) == road.outputs("plain")
    assert locks[0] == locks[1]
    assert not any(word in locks[0] for word in ("127.0.0.1", "workers", str(ROOT), "tcp:"))
