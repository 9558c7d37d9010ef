"""Nothing in the golden folder is left out."""

from __future__ import annotations

import pytest

from tests.parity.golden_file import GoldenSet, Ledger


def test_every_array_was_read_or_compared(golden: GoldenSet, ledger: Ledger) -> None:
    """Runs last. An array that should be an input but is only a result has to be compared, not just read."""
    if ledger.is_partial:
        pytest.skip("only a part of the parity tests runs")
    opened = ledger.files
    left = [f"{name}: not opened" for name in golden.names if name not in opened]
    left += [f"{file.name} {name}: not used" for file in opened.values() for name in file.unused()]
    assert not left, "\n".join(left)
