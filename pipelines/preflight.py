"""Before work is handed out: can a worker do it, and would it do it with the same code as the stage?"""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pipelines.environment import is_pinned
from sahmr.data.work_store import library_versions

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("pipelines", "sahmr", "schemas")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a worker must find to be given work.

    Attributes:
        code: see :func:`code_digest`.
        versions: of Python and of the libraries that decide bytes.
        readable: folders it reads, with the names found there (the first 100).
        writable: folder it writes to; holds the file ``probe`` with the text ``token``.
        probe, token: how a worker tells this folder from another one of the same name.
    """

    code: str
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


def _versions() -> dict[str, str]:
    return {"python": ".".join(platform.python_version_tuple()[:2]), **library_versions()}


def _names(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.name for path in folder.iterdir())[:100])


def expect(readable: tuple[Path, ...] = (), writable: Path | None = None) -> Expected:
    """Describe this process as the measure for all workers; leaves a small probe file in ``writable``.

    Args:
        readable: absolute folders.
        writable: absolute folder; made if it does not exist.
    """
    token = uuid.uuid4().hex
    probe = ""
    if writable is not None:
        writable.mkdir(parents=True, exist_ok=True)
        probe = f".probe-{token[:12]}"
        (writable / probe).write_text(token)
    return Expected(
        code=code_digest(),
        versions=_versions(),
        readable={str(folder): _names(folder) for folder in readable},
        writable=None if writable is None else str(writable),
        probe=probe,
        token=token,
    )


def forget(expected: Expected) -> None:
    """Remove the probe file."""
    if expected.writable is not None:
        (Path(expected.writable) / expected.probe).unlink(missing_ok=True)


def inspect(expected: Expected) -> list[str]:
    """Everything that keeps this process from being a worker, one line each; runs there."""
    problems = []
    if code_digest() != expected.code:
        problems.append(f"other code in {_ROOT}; install the same commit there")
    own = _versions()
    problems += [
        f"{name} is {own[name]}, the stage has {wanted}; install requirements.lock there"
        for name, wanted in expected.versions.items()
        if own[name] != wanted
    ]
    if not is_pinned():
        problems.append(
            "its numpy uses other kernels than the stage's, so bytes could differ; start it with: "
            "dask worker ... --preload-nanny pipelines.environment"
        )
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
    own = folder / f"{expected.probe}-{socket.gethostname()}-{os.getpid()}"
    try:
        shared = (folder / expected.probe).read_text() == expected.token
        own.write_text(expected.token)
        own.unlink()
    except OSError as problem:
        return [f"cannot write {folder} ({problem.strerror}); it must be shared with the stage, under the same path"]
    return [] if shared else [f"{folder} is not the folder the stage writes to; mount the same under the same path"]
