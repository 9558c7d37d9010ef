"""Damage every kind of file, thousands of times: ``python -m tests.soak.damages --mutations 5000 --seed 1``.

Each damaged file is opened as the pipeline opens it. That has to end in one clear error that names the file, or give
what the sound file gives (some bytes mean nothing). Any other exception, a hang, other values in silence: a problem. Of
files that are not ours, other values are allowed: one coordinate is as good as another.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pipelines.environment  # noqa: F401  # before torch and numpy load

# isort: split
import numpy as np
import pyarrow as pa
import scipy.sparse as sp
import torch
from tqdm import tqdm

from sahmr.demo.generate import Demo, Trees, generate
from sahmr.demo.publishers.rich_plan import TINY
from sahmr.errors import SahmrError
from sahmr.files import ManifestError
from schemas.fields import SchemaError
from tests.pipelines.damage import make_world
from tests.soak.kinds import AgainError, Kind, all_kinds
from tests.soak.mutations import mutations
from tests.worlds.batches import person_batch

_HANG_S = 60
_LONGEST = 2000  # characters of a message


@dataclass
class Tally:
    """What came of the damages of one kind.

    Attributes:
        counts: found: one clear error; by manifest: the reader cannot know, the stage ``verify`` does; harmless: the
            same content; accepted: other content, not ours; problem: whatever must not happen.
        problems: a line each.
    """

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def damage(kind: Kind, number: int, seed: int) -> Tally:
    """Damage a file in so many ways, one after the other; afterwards it is as it was."""
    content, tally = kind.file.read_bytes(), Tally()
    sound = fingerprint(kind.read())
    try:
        for (what, damaged), _ in zip(mutations(content, f"{seed} {kind.name}"), range(number), strict=False):
            _put(kind.file, damaged)
            outcome, said = _outcome(kind, sound)
            tally.counts[outcome] += 1
            if outcome == "problem":
                tally.problems.append(f"{kind.name}: {what}: {said}")
    finally:
        _put(kind.file, content)
    return tally


def _put(path: Path, content: bytes) -> None:
    """Replace a file; it may be linked to where it must stay as it is."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _outcome(kind: Kind, sound: str) -> tuple[str, str]:
    try:
        with _limited(), warnings.catch_warnings():
            warnings.simplefilter("error")
            value = kind.read()
    except (SahmrError, SchemaError, ManifestError) as error:
        text = str(error)
        stores = (parent.name for parent in kind.file.parents if parent.suffix == ".zarr")
        is_clear = any(name in text for name in (kind.file.name, kind.file.parent.name, *stores))
        lines = text.count("\n") + 1
        if is_clear and lines <= 3 and len(text) <= _LONGEST:
            return "found", text
        return "problem", f"an unclear message: {text[:300]!r}"
    except AgainError:
        return "found", ""
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return "problem", f"{type(error).__name__}: {str(error)[:200]}"
    if fingerprint(value) == sound:
        return "harmless", ""
    if not kind.is_own:
        return "accepted", ""
    return ("by manifest", "") if kind.manifest_says() else ("problem", "other values in silence")


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"still at it after {_HANG_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_HANG_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fingerprint(value: Any) -> str:
    """Digest of anything the readers give, equal for equal content."""
    digest = sha256()
    for part in _parts(value):
        digest.update(part)
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, pa.Table):
        yield value.schema.to_string(show_schema_metadata=True).encode()
        for column in value.columns:
            yield str(column.to_pylist()).encode()
    elif isinstance(value, sp.spmatrix | sp.sparray):
        yield from _parts(value.toarray())
    elif isinstance(value, np.ndarray) and value.dtype != object:
        yield f"{value.dtype}{value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif is_dataclass(value) and not isinstance(value, type):
        for name in fields(value):
            yield name.name.encode()
            yield from _parts(getattr(value, name.name))
    elif isinstance(value, dict):
        yield from _parts([(str(key), value[key]) for key in sorted(value, key=str)])
    elif isinstance(value, set | frozenset):
        yield from _parts(sorted(value, key=str))
    elif isinstance(value, list | tuple | np.ndarray):
        yield f"{len(value)}[".encode()
        for item in value:
            yield from _parts(item)
    else:
        yield repr(value).encode()


def run(folder: Path, demo: Path, number: int, seed: int, only: str = "") -> dict[str, Tally]:
    """Convert a part of the demo in a folder and damage all kinds of its files, about ``number`` times in all.

    Args:
        folder: empty.
        demo: the smallest is enough.
        number: at least so many.
        seed: of all choices.
        only: part of the names of the kinds wanted.
    """
    with chdir(folder):
        kinds = [kind for kind in all_kinds(make_world(folder, demo), person_batch(1)) if only in kind.name]
        share = -(-number // len(kinds))
        bar = tqdm(kinds, desc="damages", unit="kind", disable=None)
        return {kind.name: damage(kind, share, seed) for kind in bar}


def table(tallies: dict[str, Tally]) -> str:
    """One line per kind."""
    columns = ("found", "by manifest", "harmless", "accepted", "problem")
    lines = [f"{'kind':<28}{'tried':>8}" + "".join(f"{name:>13}" for name in columns)]
    for name, tally in [*tallies.items(), ("all", _sum(tallies.values()))]:
        counts = "".join(f"{tally.counts[column]:>13}" for column in columns)
        lines.append(f"{name:<28}{tally.counts.total():>8}{counts}")
    return "\n".join([*lines, *(line for tally in tallies.values() for line in tally.problems)])


def _sum(tallies: Any) -> Tally:
    total = Tally()
    for tally in tallies:
        total.counts += tally.counts
    return total


def main(argv: Sequence[str] | None = None) -> None:
    """Make a small demo, damage it, print the table; exit 1 if there was a problem."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="part of a kind's name")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        demo, world = Path(folder) / "demo", Path(folder) / "world"
        world.mkdir()
        generate(Trees.below(demo), Demo(seed=7, image_divisor=16), size=TINY)
        tallies = run(world, demo, options.mutations, options.seed, options.only)
    print(table(tallies))
    sys.exit(bool(_sum(tallies.values()).counts["problem"]))


if __name__ == "__main__":
    main()
