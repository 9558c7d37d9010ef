"""Flips and cuts of every kind of file: each is found or means nothing, and nothing escapes as it came."""

from __future__ import annotations

from pathlib import Path

from tests.soak import damages


def test_damages_of_every_kind_are_found(demo_root: Path, tmp_path: Path) -> None:
    tallies = damages.run(tmp_path, demo_root, number=250, seed=3)
    total = sum((tally.counts for tally in tallies.values()), start=damages.Counter())
    assert total.total() >= 250
    assert total["found"] > total["harmless"]
    assert [line for tally in tallies.values() for line in tally.problems] == []


def test_a_problem_is_seen(tmp_path: Path) -> None:
    """A reader that believes everything, and one that lets exceptions through, do not pass."""
    file = tmp_path / "ours.txt"
    file.write_text("all that it says")
    careless = damages.damage(damages.Kind(name="text", file=file, read=file.read_bytes), 20, seed=1)
    assert careless.counts == {"problem": 20}
    divide = damages.Kind(name="text", file=file, read=lambda: 1 / (file.read_bytes() == b"all that it says"))
    escaping = damages.damage(divide, 5, seed=1)
    assert escaping.counts["problem"] == 5
    assert file.read_text() == "all that it says"
