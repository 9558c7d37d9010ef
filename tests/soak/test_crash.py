"""Killed at random moments, a conversion loses nothing; ``make soak`` is the long form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.crash import Crash
from tests.soak.road import STAGES
from tests.soak.watch import Watch, Whole, whole

PROX = tuple(name for name in STAGES if name.endswith("prox"))


@pytest.mark.parametrize("kind", ["cluster", pytest.param("local", marks=pytest.mark.slow)])
def test_kills_leave_nothing_half_done(demo_root: Path, tmp_path: Path, kind: str) -> None:
    """Rounds until something was killed: a run may end before its killer's moment comes."""
    crash = Crash(tmp_path, demo_root, seed=3, stages=PROX, with_dvc=False)
    for number in range(5):
        crash.round(number, kind)
        if crash.tally.kills:
            break
    assert crash.tally.problems == []
    assert crash.tally.seen > 0 < sum(crash.tally.kills.values()), crash.tally.lines()


def test_the_watch_sees_what_is_not_whole(tmp_path: Path) -> None:
    """The watch itself must be able to fail."""
    for name in ("data/frames/a.parquet", "data/scenes/a.zarr/zarr.json", "data/shards/a/1.tar", "data/shards/a/2.tar"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    expected = whole(tmp_path)

    def violations(expected: Whole = expected) -> list[str]:
        watch = Watch(tmp_path, expected)
        watch._look()
        return watch.violations

    assert violations() == []
    (tmp_path / "data/shards/.b.1.partial").mkdir()
    assert violations() == []
    (tmp_path / "data/shards/a/2.tar").unlink()
    (tmp_path / "data/frames/a.parquet").write_text("da")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/frames_a.json").write_text("{")
    assert [line.split(":")[0] for line in violations()] == [
        "data/frames/a.parquet",
        "data/shards/a",
        "frames_a.json",
    ]
    piece = tmp_path / "data/work/shards/ab/abc"
    piece.mkdir(parents=True)
    assert any(line.startswith("data/work/shards/ab/abc: 0 of 0") for line in violations())
