"""The catalog as a Markdown page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Arrow comes with it
    from catalog.artifacts import CatalogEntry

_NOTICE = (
    "Everything made from RICH, PROX or the SMPL models stays under their publishers' licences "
    "(non-commercial research, no redistribution): do not put it in git or on a public remote."
)


def render(entries: Sequence[CatalogEntry]) -> str:
    """One table row per artifact, the totals, and the licence notice."""
    lines = [
        "# Catalog",
        "",
        _NOTICE,
        "",
        "| artifact | stage | dataset | kind | rows | files | size | sha256 |",
        "|---|---|---|---|--:|--:|--:|---|",
    ]
    lines += [
        f"| `{entry.path}` | {entry.stage} | {entry.dataset or 'both'} | {entry.kind} "
        f"| {'' if entry.rows is None else entry.rows} | {entry.files} | {readable_size(entry.bytes)} "
        f"| `{entry.sha256[:12]}` |"
        for entry in entries
    ]
    total = sum(entry.bytes for entry in entries)
    lines += ["", f"{len(entries)} artifacts, {sum(entry.files for entry in entries)} files, {readable_size(total)}."]
    return "\n".join(lines) + "\n"


def readable_size(count: int) -> str:
    """Bytes with a decimal unit: ``1.2 MB`` is 1 200 000 bytes and a bit."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
