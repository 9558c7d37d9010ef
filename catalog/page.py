"""The catalog as one HTML file that loads nothing: data cards, charts, pictures, and a table of all frames."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from catalog.card import Card, Column, make_card, raw_keys
from catalog.graph import Graph, Stage
from catalog.lineage import step_of
from catalog.lock import Lock
from catalog.own_entry import find_entries
from catalog.page_charts import find_figures
from catalog.page_table import SCORES, Frames, packed_frames, read_frames
from catalog.report import readable_size
from catalog.scene_files import scene_files
from catalog.tables import Table, find_tables
from catalog.text import facts
from catalog.thumbnails import Thumbnail, make_thumbnails
from sahmr.files import file_sha256, publish_text
from sahmr.report.figures import Figure
from sahmr.report.html import templates_of
from schemas.fields import read_table
from schemas.metric import METRICS
from schemas.scene import SCENE_SCHEMA

_SCAN_FILES = (("scan", "scan"), ("distance field", "sdf"), ("its extent", "sdf_info"))
_SPLIT_NAMES = {
    "with_body": "with body", "with_contact": "with contact", "person_px_low": "person px, 10 %",
    "person_px_median": "median", "person_px_high": "90 %",
}  # fmt: skip
_SCORE_NAMES = {  # as the paper calls them, or in its way
    metric.name: metric.name.removesuffix("_mm").removesuffix("_ratio").replace("_", " ")
    if metric.paper == "-"
    else metric.paper
    for metric in METRICS
} | {"pa_mpjpe_mm": "PA-MPJPE", "contact_f1_ratio": "contact F1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What the page says of a dataset.

    Attributes:
        card: its data card.
        facts: (name, text), without what is different on another machine.
        splits: heads and rows of the table of splits.
        scores: heads and rows of the means.
        places: (path, stage, files, size) of its outputs.
        figures: charts.
        pictures: crops of some samples.
    """

    card: Card
    facts: tuple[tuple[str, str], ...]
    splits: tuple[tuple[str, ...], ...]
    scores: tuple[tuple[str, ...], ...]
    places: tuple[tuple[str, ...], ...]
    figures: tuple[Figure, ...]
    pictures: tuple[Thumbnail, ...]


def write_page(graph: Graph, lock: Lock, root: Path, path: Path, *, has_pictures: bool) -> None:
    """Write the page of the working folder, as the stage ``catalog`` does.

    Args:
        graph, lock, root: of the working folder.
        path: of the page.
        has_pictures: whether samples are shown, which binds the page to their datasets' licences.

    Raises:
        SchemaError, ShardError: if a table or a shown sample is damaged or of another version.
    """
    tables, wrong = find_tables(graph, root)
    own = [table for table in tables if table.output.stage != "catalog"]
    for problem in (problem for name, problem in wrong.items() if name != "catalog"):
        raise problem
    entries = find_entries(graph, root)
    cards = [make_card(graph, Lock({}), root, entries, own, name) for name in raw_keys(graph, entries)]
    publish_text(path, render_page(graph, lock, root, cards, own, has_pictures=has_pictures))


def render_page(
    graph: Graph, lock: Lock, root: Path, cards: Sequence[Card], tables: Sequence[Table], *, has_pictures: bool
) -> str:
    """The page's text; the same data, entries and settings give the same text on every machine.

    Args:
        cards: of all datasets.
        tables: all but the catalog's own.
        graph, lock, root, has_pictures: as :func:`write_page` has them.

    Raises:
        SchemaError, ShardError: if a table or a shown sample is damaged.
    """
    found = read_frames(tables)
    predictors = list(dict.fromkeys(table.path.stem for table in tables if table.name == "prediction"))
    sections = [
        _section(card, found, predictors, Path(graph.param("paths.shards")) if has_pictures else None, root)
        for card in cards
    ]
    templates = templates_of("catalog", "sahmr.report")
    css = "".join(templates.get_template(name).render() for name in ("page.css", "catalog.css"))
    js = templates.get_template("catalog.js").render()
    return templates.get_template("catalog.html").render(
        sections=sections,
        columns=_columns(cards),
        bound=[card for card in cards if not card.entry.licence.may_be_shared],
        has_pictures=any(section.pictures for section in sections),
        frames=len(found.frames),
        scenes=sum(card.scenes for card in cards),
        size=readable_size(sum(card.bytes for card in cards)),
        css=css,
        js=js,
        css_hash=_hash(css),
        js_hash=_hash(js),
        about=_script_json(_about(graph, lock, root, cards, tables)),
        table=packed_frames(found),
    )


def _section(card: Card, found: Frames, predictors: Sequence[str], shards: Path | None, root: Path) -> Section:
    frames, scores = found.of(card.dataset)
    bytes_of = [{**split, "bytes": readable_size(split["bytes"])} for split in card.splits]
    return Section(
        card=card,
        facts=tuple(facts(card).items()),
        splits=tuple(_rows(bytes_of, _SPLIT_NAMES)),
        scores=tuple(_rows(card.scores, _SCORE_NAMES)),
        places=tuple((one.path, one.stage, f"{one.files:,}", readable_size(one.bytes)) for one in card.places),
        figures=tuple(find_figures(frames, scores, predictors)),
        pictures=make_thumbnails(root / shards / card.dataset) if shards else (),
    )


def _rows(records: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Names of the columns, then each record's values."""
    if records:
        yield tuple(names.get(name, name) for name in records[0])
    for record in records:
        yield tuple(_cell(value) for value in record.values())


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() else f"{value:,}"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _columns(cards: Sequence[Card]) -> dict[str, list[Column]]:
    """Columns of all tables, by table; those of several datasets are the same."""
    found: dict[str, dict[str, Column]] = {}
    for column in (column for card in cards for column in card.columns):
        found.setdefault(column.table, {}).setdefault(column.name, column)
    return {table: list(columns.values()) for table, columns in found.items()}


def _about(
    graph: Graph, lock: Lock, root: Path, cards: Sequence[Card], tables: Sequence[Table]
) -> dict[str, dict[str, Any]]:
    """What the page's script adds to a row of the frame table to tell where a sample comes from."""
    units = {metric.name: metric.unit for metric in METRICS}
    return {
        "scores": {name: [_SCORE_NAMES[name], "" if units[name] == "ratio" else units[name]] for name in SCORES},
        "datasets": {
            card.dataset: _road(graph, lock, root, card, [one for one in tables if one.output.dataset == card.dataset])
            for card in cards
            if card.dataset in graph.datasets
        },
    }


def _road(graph: Graph, lock: Lock, root: Path, card: Card, tables: Sequence[Table]) -> dict[str, Any]:
    """Stages, rules, scans and tables of a dataset. Code versions stay out: they change without a change of data."""
    of_schema: dict[str, list[str]] = {}
    for table in tables:
        path = table.path.relative_to(root) if table.path.is_relative_to(root) else table.path
        of_schema.setdefault(table.name, []).append(path.as_posix())
    scored = [stage for stage in graph.stages if stage.dataset == card.dataset and _makes_table(stage)][-1]
    steps = [step_of(stage, lock, root) for stage in graph.before(scored)]
    ran = lock.stage(f"frames@{card.dataset}")
    rules = ran.params.get(f"frames.{card.dataset}", {}) if ran else {}
    return {
        "title": card.entry.title,
        "notice": card.entry.licence.notice,
        "raw": card.raw,
        "rules": {name: value if isinstance(value, str) else json.dumps(value) for name, value in rules.items()},
        "scans": {key: files for table in tables if table.name == "scene" for key, files in _scans(table, card, root)},
        "steps": [{name: value for name, value in asdict(one).items() if name != "code"} for one in steps],
        "shards": next((Path(path).parent.as_posix() for path in of_schema.get("shard_index", ())), None),
        "predictions": {Path(path).stem: path for path in of_schema.get("prediction", ())},
        "scores": of_schema.get("metric", []),
    }


def _makes_table(stage: Stage) -> bool:
    """Whether the catalog stands on it: what runs later may not have run when the page is written."""
    return any(output.kind == "table" for output in stage.outputs)


def _scans(table: Table, card: Card, root: Path) -> Iterator[tuple[str, list[tuple[str, str, str]]]]:
    """(role, path, SHA-256) of each scene's raw files."""
    raw = root / card.raw
    for row in read_table(table.path, SCENE_SCHEMA).to_pylist():
        found = [
            (role, row[f"{name}_file"], row[f"{name}_sha256"]) for role, name in _SCAN_FILES if row[f"{name}_file"]
        ]
        found += [
            (f"{role}, as of this page", file, file_sha256(raw / file))
            for role, file in scene_files(card.dataset, raw, row["scene_key"])
        ]
        yield row["scene_key"], found


def _script_json(value: Any) -> str:
    """JSON that ends no script."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


def _hash(text: str) -> str:
    """As a content security policy names the only script, or style, that may run."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
