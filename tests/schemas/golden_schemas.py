"""What each schema was when it was recorded; ``python -m tests.schemas.golden_schemas`` records what they are now.

A change in ``golden/`` is a change of format: raise the schema's version with it.
"""

from __future__ import annotations

from pathlib import Path

from catalog.schema_page import ALL
from schemas.registry import Stored

FOLDER = Path(__file__).parent / "golden"


def path_of(stored: Stored) -> Path:
    return FOLDER / f"{stored.name}.txt"


def text_of(stored: Stored) -> str:
    return str(stored.schema.to_string(truncate_metadata=False)) + "\n"


if __name__ == "__main__":
    for old in FOLDER.glob("*.txt"):
        old.unlink()
    for each in ALL:
        path_of(each).write_text(text_of(each))
