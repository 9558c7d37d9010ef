"""Entries, dvc.yaml, params.yaml and schemas agree; whoever changes one of them alone is stopped here."""

from __future__ import annotations

import html
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from catalog.card import entry_of, make_card, raw_keys
from catalog.entry import read_entries
from catalog.graph import Output, read_graph
from catalog.lock import Lock
from catalog.page import render_page
from catalog.query import Database
from catalog.source import Source
from catalog.tables import known_schemas, open_table
from sahmr.datasets import CARDS
from sahmr.settings import load_section
from schemas.tables_write import write_table
from tests.imports import ROOT

ENTRIES = read_entries()
GRAPH = read_graph(Source(root=ROOT))
STAGES = {stage.name for stage in GRAPH.stages}


def test_every_dataset_of_the_pipeline_has_one_entry() -> None:
    assert set(raw_keys(GRAPH, ENTRIES)) == {*CARDS, "bodies"}
    for dataset in raw_keys(GRAPH, ENTRIES):
        assert entry_of(GRAPH, ENTRIES, dataset).made_by == "demo"  # as params.yaml comes


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_of_a_tree_that_params_yaml_names(name: str) -> None:
    entry = ENTRIES[name]
    path = GRAPH.param(entry.raw)
    maker = GRAPH.maker(path)
    assert maker is not None
    assert entry.made_by in (None, maker.name)
    assert any(path in stage.data for stage in GRAPH.stages), f"no stage reads {entry.raw}"


def test_quirks_are_counted_by_queries_over_columns_that_exist(tmp_path: Path) -> None:
    tables = []
    for name, schema in known_schemas().items():
        write_table(tmp_path / f"{name}.parquet", schema.empty_table())
        output = Output(path=f"{name}.parquet", stage="frames", dataset="rich", is_cached=True)
        tables.append(open_table(tmp_path / f"{name}.parquet", output, tmp_path))
    database = Database(tables)
    queries = [quirk.count for entry in ENTRIES.values() for quirk in entry.quirks if quirk.count]
    assert [database.number(sql) for sql in queries] == [0] * len(queries)


@pytest.mark.parametrize("name", ENTRIES)
def test_the_page_says_what_entries_schemas_and_the_pipeline_say(name: str, tmp_path: Path) -> None:
    """Of any entry, over empty tables of all schemas."""
    tables = []
    for schema in known_schemas().values():
        file = f"{schema.metadata[b'sahmr.schema'].decode()}.parquet"
        write_table(tmp_path / file, schema.empty_table())
        output = Output(path=file, stage="frames", dataset="rich", is_cached=True)
        tables.append(open_table(tmp_path / file, output, tmp_path))
    entry = ENTRIES[name]
    card = replace(make_card(GRAPH, Lock({}), tmp_path, ENTRIES, tables, "rich"), entry=entry)
    page = render_page(GRAPH, Lock({}), tmp_path, [card], tables, has_pictures=True)
    text = " ".join(html.unescape(page).split())
    said = [entry.title, entry.description, entry.citation.text, entry.owner, entry.status, entry.licence.url]
    said += [*entry.licence.forbids, *entry.licence.permits, entry.contact.name, entry.publisher]
    said += [quirk.text for quirk in entry.quirks]
    said += [words for words in asdict(entry.responsible).values() if isinstance(words, str)]
    assert [words for words in said if " ".join(words.split()) not in text] == []
    for schema in known_schemas().values():
        for field in schema:
            about = {key: word.decode() for key, word in (field.metadata or {}).items()}
            assert f'<th scope="row">{field.name}</th>' in page
            assert all(about.get(key, "") in text for key in (b"unit", b"frame", b"note")), field.name
    road = json.loads(page.partition('id="about">')[2].partition("</script>")[0])["datasets"]["rich"]["steps"]
    of_rich = [stage.full_name for stage in GRAPH.stages if stage.dataset == "rich"]
    assert [step["stage"] for step in road if step["stage"] in of_rich] == of_rich[: of_rich.index("evaluate@rich") + 1]


def test_schemas_name_stages_and_stages_have_schemas() -> None:
    writers = {
        stage for schema in known_schemas().values() for stage in schema.metadata[b"sahmr.stage"].decode().split()
    }
    assert writers <= STAGES
    assert {output.stage for output in GRAPH.outputs if output.kind == "table"} <= writers


def test_every_column_is_of_a_known_unit_or_none() -> None:
    units = {b"", b"px", b"m", b"mm", b"deg", b"rad", b"byte"}
    for schema in known_schemas().values():
        assert {(field.metadata or {}).get(b"unit", b"") for field in schema} <= units


def test_the_graph_is_what_the_stages_read() -> None:
    """Folders of section ``paths`` hold the outputs of exactly the stages that are to write there."""
    from sahmr.settings import Paths

    paths = load_section("paths", Paths, ROOT / "params.yaml")
    for output in GRAPH.outputs:
        if output.stage != "demo":
            places = (getattr(paths, name) for name in Paths.__dataclass_fields__)
            assert any(Path(output.path).is_relative_to(place) for place in places), output.path
