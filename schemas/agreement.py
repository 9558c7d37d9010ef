"""Whether tables that speak of the same samples agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Set

from schemas.frame import FrameRecord
from schemas.shard import ShardEntry


def verify_index(
    entries: Iterable[ShardEntry], records: Iterable[FrameRecord], left_out: Set[str] = frozenset()
) -> list[str]:
    """Compare index and frame table: same keys, each once, same splits; no sequence in two splits.

    Args:
        entries: rows of the index.
        records: rows of the frame table.
        left_out: keys that the shards say they lack, and the user agreed to.
    """
    entries, by_key = list(entries), {record.key: record for record in records}
    counts = Counter(entry.key for entry in entries)
    problems = [f"index: key {key} occurs {count} times" for key, count in sorted(counts.items()) if count > 1]
    problems += [
        f"index: sample {key} of the frame table is missing" for key in sorted(set(by_key) - set(counts) - left_out)
    ]
    problems += [f"index: sample {key} is not in the frame table" for key in sorted(set(counts) - set(by_key))]
    splits: dict[str, set[str]] = {}
    for entry in entries:
        splits.setdefault(entry.sequence, set()).add(entry.split)
        record = by_key.get(entry.key)
        if record and (record.split, record.sequence, record.scene_key) != (
            entry.split, entry.sequence, entry.scene_key
        ):  # fmt: skip
            problems.append(f"index: split, sequence or scene of {entry.key} differ from the frame table")
    return problems + [
        f"index: sequence {name} lies in the splits {sorted(found)}; training would see test people"
        for name, found in sorted(splits.items())
        if len(found) > 1
    ]
