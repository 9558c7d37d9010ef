"""No work for a worker that lacks the files, has other code, or would compute other bytes; the error says which."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.conversion import preflight
from pipelines.conversion.preflight import Expected, expect, forget, inspect
from pipelines.conversion.work_store import WorkStore
from pipelines.environment import PINNED
from sahmr.errors import StoreError
from tests.soak.processes import ROOT, Start, cluster, environment, until

HINT = re.escape("dask worker ADDRESS --preload-nanny pipelines.environment")


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A raw root with files, and a work store that does not exist yet; this process counts as started right."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("images", "bodies"):
        (raw / name).mkdir()
    monkeypatch.setattr(preflight, "is_pinned", lambda: True)
    return raw, tmp_path / "work"


@pytest.fixture
def expected(places: tuple[Path, Path]) -> Expected:
    return expect((places[0],), places[1])


def test_the_stages_own_process_would_do(expected: Expected, places: tuple[Path, Path]) -> None:
    assert inspect(expected) == []
    assert inspect(expected) == []  # also while another thread of the same worker looks
    forget(expected)
    assert list((places[1] / "tmp").iterdir()) == []


def test_what_a_killed_stage_leaves_is_swept(
    expected: Expected, places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = WorkStore(root=places[1])
    assert store.sweep() == 0  # its process lives
    monkeypatch.setattr("pipelines.conversion.work_store.is_alive", lambda _: False)
    assert store.sweep() == 1
    assert list((places[1] / "tmp").iterdir()) == []


CHANGES: dict[str, tuple[Callable[[Expected], Expected], str]] = {
    "code": (lambda e: replace(e, code="0"), "other code in .*; install the same commit there and restart it"),
    "library": (
        lambda e: replace(e, versions=e.versions | {"zarr": "2.0"}),
        r"zarr is 3.*, the stage has 2\.0; install requirements\.lock",
    ),
    "python": (lambda e: replace(e, versions=e.versions | {"python": "2.7"}), r"python is 3.*, the stage has 2\.7"),
    "numbers": (lambda e: replace(e, numbers="0"), f"computes other last digits than the stage's; .*{HINT}"),
    "no raw root": (
        lambda e: replace(e, readable={"/not/there": ()}),
        "cannot read /not/there .No such file or directory.; mount it there under the same path",
    ),
    "other raw root": (
        lambda e: replace(e, readable=dict.fromkeys(e.readable, ("images",))),
        r"raw holds other files .2 names. than the stage sees .1.; mount the same",
    ),
    "other work store": (lambda e: replace(e, probe="probe-else"), "work is not the folder the stage writes to; mount"),
    "other token": (lambda e: replace(e, token="1"), "work is not the folder the stage writes to; mount the same"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_worker_that_differs_is_told_what(expected: Expected, what: str) -> None:
    change, message = CHANGES[what]
    (line,) = inspect(change(expected))
    assert re.search(message, line), line


def test_all_reasons_are_told_at_once(expected: Expected) -> None:
    assert len(inspect(replace(expected, code="0", numbers="0", readable={"/not/there": ()}))) == 3


def test_a_worker_that_cannot_write_is_told(expected: Expected, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, text: str) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_text", refuse)
    (line,) = inspect(expected)
    assert re.search(r"cannot write .*work .Permission denied.; it must be shared with the stage", line)


def test_a_stage_that_cannot_write_names_the_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/work: Not a directory; the work store .paths\.work. must be writable"):
        expect((), tmp_path / "file/work")


def test_numpy_loaded_too_early_is_told(expected: Expected, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "is_pinned", lambda: False)
    (line,) = inspect(expected)
    assert re.search(f"loaded before its kernels were chosen.*{HINT}, or with these variables set: OPENBLAS", line)
    assert expect().numbers == ""  # nothing to compare with


def test_the_numbers_tell_kernels_apart() -> None:
    """Where the processor has other kernels than the pinned ones, they show; the pinned ones give the same anywhere."""

    def digest(late: bool, **variables: str) -> str:
        code = "from pipelines.conversion.preflight import number_digest; print(number_digest())"
        command = [sys.executable, "-c", f"import numpy; {code}" if late else code]
        done = subprocess.run(
            command, env=environment(**variables), cwd=ROOT, capture_output=True, text=True, check=True
        )
        return done.stdout

    pinned = digest(late=False)
    assert digest(late=False, OPENBLAS_CORETYPE="Prescott", OPENBLAS_NUM_THREADS="2") == pinned
    assert digest(late=True, **PINNED) == pinned
    if "OPENBLAS_CORETYPE" in PINNED:
        assert digest(late=True, **PINNED | {"OPENBLAS_CORETYPE": "Prescott"}) != pinned


def other_code(folder: Path) -> Start:
    """A worker of another commit."""
    for package in ("pipelines", "sahmr", "schemas"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (folder / "sahmr/errors.py").open("a") as stream:
        stream.write("# changed\n")
    return Start(cwd=folder, env=environment(folder))


def other_version(folder: Path) -> Start:
    """A worker whose zarr says it is another version."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import importlib.metadata as m\n"
        "true = m.version\n"
        "m.version = lambda name: '3.0.9' if name == 'zarr' else true(name)\n"
    )
    return Start(cwd=folder, env=environment(folder))


def no_code(folder: Path) -> Start:
    """A worker where nothing of ours is installed, whatever is installed here."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(name, *_):\n"
        "        if name.partition('.')[0] in ('pipelines', 'sahmr', 'schemas'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Hidden)\n"
    )
    return Start(cwd=Path("/"), env={**environment(), "PYTHONPATH": str(folder)})


STAGE = "from pipelines.conversion.parallel import map_ordered; list(map_ordered(len, [()], workers=0, label='x'))"
REASONS = ("other code in", "zarr is 3.0.9, the stage has", "kernels were chosen", "No module named 'pipelines'")


def test_every_unfit_worker_is_named_with_its_reason(tmp_path: Path) -> None:
    """Real workers: one fit, one of another commit, one of another library, one started wrong, one without our code."""
    start = Start(cwd=Path("/"), env=environment())
    with cluster(tmp_path / "cluster", start, workers=1) as made:
        made.add_worker(start=other_code(tmp_path / "code"))
        made.add_worker(start=other_version(tmp_path / "version"))
        made.add_worker(preload=())
        made.add_worker(start=no_code(tmp_path / "bare"), preload=())
        log = tmp_path / "cluster/scheduler.log"
        until(lambda: log.read_text().count("Register worker") == 5, "the workers' start", seconds=120)
        variables = environment(DASK_SCHEDULER_ADDRESS=made.address)
        done = subprocess.run([sys.executable, "-c", STAGE], env=variables, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("worker tcp://")]
    assert "ClusterError: 4 problems on 5 workers:" in done.stderr
    for reason in REASONS:
        assert len([line for line in lines if reason in line]) == 1, (reason, done.stderr)
