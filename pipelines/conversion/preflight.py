"""Before work is handed out: can a worker do it, and would it do it with the same code and the same numbers?"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import socket
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pipelines.conversion.work_store import library_versions
from pipelines.environment import PINNED, is_pinned
from sahmr.errors import StoreError

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("pipelines", "sahmr", "schemas")
_NAMES = 100  # of a folder's entries are compared
_SIDE = 320  # of a matrix large enough that the number of threads shows in its product's last bits
_START = (
    "start it with: dask worker ADDRESS --preload-nanny pipelines.environment, or with these variables set: "
    + " ".join(f"{name}='{value}'" if " " in value else f"{name}={value}" for name, value in PINNED.items())
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a worker must find to be given work.

    Attributes:
        code: see :func:`code_digest`.
        numbers: see :func:`number_digest`; empty: not compared.
        versions: of Python and of the libraries that decide bytes.
        readable: folders it reads, with the names found there (the first 100).
        writable: folder it writes to; holds ``tmp/<probe>/token`` with the text ``token``.
        probe, token: how a worker recognises this folder among others of the same name.
    """

    code: str
    numbers: str
    versions: dict[str, str]
    readable: dict[str, tuple[str, ...]] = field(default_factory=dict)
    writable: str | None = None
    probe: str = ""
    token: str = ""


@lru_cache(maxsize=1)
def code_digest() -> str:
    """SHA-256 over our source files."""
    digest = hashlib.sha256()
    for path in sorted(path for package in _PACKAGES for path in (_ROOT / package).rglob("*.py")):
        digest.update(path.relative_to(_ROOT).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def number_digest() -> str:
    """SHA-256 over results whose last bits differ between numpy's and OpenBLAS' kernels and thread counts."""
    import numpy as np  # not earlier: our variables must stand when it is loaded

    ramp = np.arange(_SIDE * _SIDE, dtype=np.float64).reshape(_SIDE, _SIDE)
    left, right = (ramp * 7919) % 10007 / 10007, (ramp * 104729) % 10009 / 10009
    single = left.astype(np.float32)
    results = (left @ right, single @ right.astype(np.float32), np.exp(20 * left - 10), np.tan(single))
    digest = hashlib.sha256()
    for values in results:
        digest.update(values.tobytes())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    return {"python": ".".join(platform.python_version_tuple()[:2]), **library_versions()}


def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.iterdir())[:_NAMES])


def expect(readable: tuple[Path, ...] = (), writable: Path | None = None) -> Expected:
    """Describe this process as the measure for all workers; leaves a small probe below ``writable``.

    Args:
        readable: absolute folders.
        writable: absolute folder; made if it does not exist.

    Raises:
        StoreError: if ``writable`` cannot be written.
    """
    token = uuid.uuid4().hex
    probe = ""
    if writable is not None:
        probe = f"probe-{token[:12]}-{socket.gethostname()}-{os.getpid()}-{token}"  # a name the store's sweep knows
        try:
            (writable / "tmp" / probe).mkdir(parents=True)
            (writable / "tmp" / probe / "token").write_text(token)
        except OSError as problem:
            raise StoreError(
                f"{writable}: {problem.strerror}; the work store (paths.work) must be writable and have room. "
                "Finished pieces are kept: correct it and run the same command again"
            ) from None
    return Expected(
        code=code_digest(),
        numbers=number_digest() if is_pinned() else "",
        versions=_versions(),
        readable={str(folder): _names(folder) for folder in readable},
        writable=None if writable is None else str(writable),
        probe=probe,
        token=token,
    )


def forget(expected: Expected) -> None:
    """Remove the probe."""
    if expected.writable is not None:
        shutil.rmtree(Path(expected.writable) / "tmp" / expected.probe, ignore_errors=True)


def inspect(expected: Expected) -> list[str]:
    """Everything that keeps this process from being a worker, one line each; runs there."""
    problems = []
    if code_digest() != expected.code:
        problems.append(f"other code in {_ROOT}; install the same commit there and restart it")
    own = _versions()
    problems += [
        f"{name} is {own[name]}, the stage has {wanted}; install requirements.lock there and restart it"
        for name, wanted in expected.versions.items()
        if own[name] != wanted
    ]
    if not is_pinned():
        problems.append(f"its numpy was loaded before its kernels were chosen, so bytes could differ; {_START}")
    elif expected.numbers not in ("", number_digest()):
        problems.append(f"its numpy computes other last digits than the stage's; {_START}")
    for folder, names in expected.readable.items():
        problems += _read_problems(Path(folder), names)
    if expected.writable is not None:
        problems += _write_problems(Path(expected.writable), expected)
    return problems


def _read_problems(folder: Path, names: tuple[str, ...]) -> list[str]:
    try:
        found = _names(folder)
    except OSError as problem:
        return [f"cannot read {folder} ({problem.strerror}); mount it there under the same path"]
    if found != names:
        return [f"{folder} holds other files ({len(found)} names) than the stage sees ({len(names)}); mount the same"]
    return []


def _write_problems(folder: Path, expected: Expected) -> list[str]:
    probe = folder / "tmp" / expected.probe
    own = probe / uuid.uuid4().hex
    try:
        if (probe / "token").read_text() != expected.token:
            raise FileNotFoundError
        own.write_text(expected.token)
        own.unlink()
    except FileNotFoundError:
        return [f"{folder} is not the folder the stage writes to; mount the same under the same path"]
    except OSError as problem:
        return [f"cannot write {folder} ({problem.strerror}); it must be shared with the stage, under the same path"]
    return []
