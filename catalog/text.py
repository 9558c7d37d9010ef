"""Answers as people read them on a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from catalog.report import readable_size

if TYPE_CHECKING:  # each command loads its own alone
    from catalog.card import Card
    from catalog.diff import Diff, RowsDiff
    from catalog.lineage import Lineage, RawFile
    from catalog.pull import Pulled
    from catalog.verify import Verified

_WIDEST = 48  # characters of a cell
_SHOWN = 10  # keys of a list


def table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Columns under their names; numbers stand right, long values are cut."""
    cells = [[_cell(value) for value in row] for row in rows]
    is_number = [
        bool(cells) and all(_is_number(row[place]) for row in cells if row[place]) for place in range(len(names))
    ]
    widths = [max(len(name), *(len(row[place]) for row in cells), 0) for place, name in enumerate(names)]
    for row in [list(names), *cells]:
        parts = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, is_number, strict=True)
        )
        yield "  ".join(parts).rstrip()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = json.dumps(value) if isinstance(value, list | dict) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."


def _is_number(text: str) -> bool:
    try:
        float(text.partition(" ")[0])
    except ValueError:
        return False
    return True


def listing(cards: Sequence[Card]) -> Iterator[str]:
    """What ``ls`` prints: a row for each dataset and split."""
    names = ("dataset", "entry", "status", "version", "split", "frames", "scenes", "shards", "size", "here")
    rows: list[tuple[Any, ...]] = []
    for card in cards:
        about = (card.dataset, card.entry.name, card.entry.status, card.version or "not made")
        totals = (card.frames or "", card.scenes or "", card.shards or "", readable_size(card.bytes))
        rows.append((*about, "all" if card.splits else "", *totals, where(card)))
        for split in card.splits:
            size = readable_size(split["bytes"])
            rows.append(("", "", "", "", split["split"], split["frames"], split["scenes"], split["shards"], size, ""))
    yield from table(names, rows)


def where(card: Card) -> str:
    """Local, cache and remote, each: all of it, some or none."""
    parts = [
        ("local", [place.is_local for place in card.places]),
        ("cache", [place.is_cached for place in card.places]),
    ]
    asked = [place.is_remote for place in card.places if place.is_remote is not None]
    parts += [("remote", asked)] if asked else []
    return ", ".join(f"{name} {sum(found)}/{len(found)}" for name, found in parts)


def data_card(card: Card) -> Iterator[str]:
    """What ``show`` prints."""
    yield f"{card.entry.title}  [{card.entry.name}]"
    yield card.entry.description
    yield ""
    yield from (f"{name:>14}  {text}" for name, text in facts(card).items())
    yield from _block("Splits", card.splits)
    yield from _block("Scores (means; mm, penetration in m)", card.scores)
    yield from ["", "Outputs", *table(("path", "stage", "files", "size", "local", "cache"), _places(card))]
    if card.quirks:
        yield from ["", "Known quirks"]
        yield from (f"{'-' if count is None else count:>8}  {text}" for text, count in card.quirks)
    if card.columns:
        names = ("table", "column", "type", "unit", "frame", "null", "meaning")
        rows = [
            (one.table, one.name, one.kind, one.unit, one.frame, "yes" if one.may_be_null else "", one.note)
            for one in card.columns
        ]
        yield from ["", "Columns", *table(names, rows)]


def facts(card: Card) -> dict[str, str]:
    """What the entry says, by what a reader looks for."""
    entry, licence = card.entry, card.entry.licence
    return {
        "status": entry.status if entry.superseded_by is None else f"{entry.status} by {entry.superseded_by}",
        "version": card.version or "not made yet",
        "source": f"{entry.source} ({entry.publisher}, {entry.published}); lies in {card.raw}",
        "cite": entry.citation.text,
        "licence": f"{licence.name}; {licence.url}",
        "permits": ", ".join(licence.permits),
        "forbids": ", ".join(licence.forbids) or "nothing",
        "may be shared": "yes" if licence.may_be_shared else "no: not in git, not on a public remote",
        "owner": entry.owner,
        "contact": ", ".join(text for text in (entry.contact.name, entry.contact.email, entry.contact.url) if text),
    }


def _places(card: Card) -> Iterator[tuple[Any, ...]]:
    for one in card.places:
        found = ("yes" if is_there else "no" for is_there in (one.is_local, one.is_cached))
        yield one.path, one.stage, one.files, readable_size(one.bytes), *found


def _block(title: str, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    if rows:
        yield from ["", title, *table(list(rows[0]), [list(row.values()) for row in rows])]


def verified(found: Verified, folder: str) -> Iterator[str]:
    """What ``verify`` prints; commands are for a folder of the repository, empty: its own."""
    for finding in found.findings:
        yield f"{finding.path}: {finding.problem}; rebuild with: {finding.rebuild}"
    for path in found.absent:
        yield f"{path}: not made here"
    yield (
        f"{len(found.findings)} findings; {found.files} files of {readable_size(found.bytes)} compared with their "
        f"checksums, {found.tables} tables of {found.rows} rows with their schemas"
    )
    if folder and found.findings:
        yield f"commands are for the folder {folder}"


def difference(found: Diff) -> Iterator[str]:
    """What ``diff`` prints."""
    for path, status in found.outputs.items():
        yield f"{status:>8}  {path}"
    for rows in found.rows:
        yield from _rows(rows)
    for key, (before, after) in found.params.items():
        yield f"   param  {key}: {before} -> {after}"
    for stage in found.code:
        yield f"    code  {stage} ran other code"
    yield from (f"  unread  {line}" for line in found.unread)
    if found.is_empty:
        yield "no difference"


def _rows(rows: RowsDiff) -> Iterator[str]:
    counts = f"{len(rows.added)} added, {len(rows.removed)} removed, {len(rows.changed)} changed"
    yield f"{rows.what:>8}  {rows.dataset} {rows.table}: {counts}"
    lines = [f"+ {key}" for key in rows.added] + [f"- {key}" for key in rows.removed]
    lines += [f"~ {key}: {', '.join(columns)}" for key, columns in rows.changed.items()]
    yield from (f"{'':>10}{line}" for line in lines[:_SHOWN])
    if len(lines) > _SHOWN:
        yield f"{'':>10}... and {len(lines) - _SHOWN} more; --json lists all"


def lineage(found: Lineage) -> Iterator[str]:
    """What ``lineage`` prints."""
    yield f"{found.key}: {found.dataset}, split {found.split}"
    yield f"sequence {found.sequence}, camera {found.camera}, frame {found.frame}, subject {found.subject}"
    yield from ["", "Raw files"]
    yield from (f"{one.role:>14}  {one.path}{_about(one)}" for one in found.raw)
    yield from ["", "Rules of selection"]
    yield from (f"{name:>16}  {json.dumps(value)}" for name, value in found.rules.items())
    yield from ["", "Stages"]
    names = ("stage", "version", "code", "parameters", "makes")
    yield from table(
        names,
        [
            (one.stage, one.version, one.code or "not run here", ", ".join(one.params), ", ".join(one.makes))
            for one in found.steps
        ],
    )
    yield ""
    if found.shard is None:
        yield "No shard has it"
    else:
        start, length = found.shard["offset"], found.shard["length"]
        yield f"Shard {found.shard['file']}: bytes {start} to {start + length}, sha256 {found.shard['sha256'][:16]}..."
    for one in found.predictions:
        yield f"Prediction of {one['predictor']}: {one['file']}, {one['contact_count']} contact points"
    for one in found.scores:
        values = {name: round(value, 3) for name, value in one.items() if isinstance(value, float)}
        yield f"Scores of {one['predictor']} ({one['posture']}): {', '.join(f'{k} {v}' for k, v in values.items())}"


def _about(raw: RawFile) -> str:
    frame = "" if raw.video_frame is None else f", frame {raw.video_frame}"
    when = "here: yes" if raw.is_there else "here: no"
    return f"{frame}  sha256 {raw.sha256[:16]}...  {when if raw.is_recorded else 'as it is now'}"


def pulled(found: Pulled, into: str) -> Iterator[str]:
    """What ``pull`` prints."""
    yield f"{into}: {found.dataset}, version {found.version[:12]}: {found.files} files, {found.bytes} bytes"
    yield f"copied {found.copied} files, {found.received} bytes; removed {found.removed}"
