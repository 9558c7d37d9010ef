"""Entries, dvc.yaml, params.yaml and schemas agree; whoever changes one of them alone is stopped here."""

from __future__ import annotations

import html
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from catalog.card import entry_of, make_card, raw_keys
from catalog.entry import read_entries
from catalog.graph import Output, meets, read_graph
from catalog.lock import Lock
from catalog.page import render_page
from catalog.query import Database
from catalog.source import Source
from catalog.tables import Table, known_schemas, open_table
from sahmr.datasets import CARDS
from sahmr.settings import load_section
from schemas.tables_write import write_table
from tests.imports import ROOT

ENTRIES = read_entries()
GRAPH = read_graph(Source(root=ROOT))
OWN = read_graph(Source(root=ROOT / "pipelines/own"))
STAGES = {stage.name for stage in GRAPH.stages}


def test_every_dataset_of_the_pipeline_has_one_entry() -> None:
    assert set(raw_keys(GRAPH, ENTRIES)) == {*CARDS, "bodies"} - {"own"}
    for dataset in raw_keys(GRAPH, ENTRIES):
        assert entry_of(GRAPH, ENTRIES, dataset).made_by == "demo"  # as params.yaml comes
    assert set(raw_keys(OWN, ENTRIES)) == {"own"}
    assert entry_of(OWN, ENTRIES, "own").made_by == "capture"


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_of_a_tree_that_params_yaml_names(name: str) -> None:
    entry = ENTRIES[name]
    graph = OWN if entry.raw == "raw.own" else GRAPH
    path = graph.param(entry.raw)
    maker = graph.maker(path)
    assert maker is not None
    assert entry.made_by in (None, maker.name)
    assert any(path in stage.data for stage in graph.stages), f"no stage reads {entry.raw}"


def test_the_stage_of_own_folders_depends_on_all_that_it_lists() -> None:
    """Tables of stages that most do not run, as scores, are not among it: the page of this stage has none of theirs."""
    graph = OWN.in_use(lambda _: False)
    (stage,) = (stage for stage in graph.stages if stage.name == "catalog")
    tables = [output for output in graph.outputs if output.kind in ("table", "zarr", "folder") and output.dataset]
    assert {output.stage for output in tables} == {"frames", "scenes", "shards", "predict"}
    assert all(any(meets(output.path, path) for path in stage.data) for output in tables)
    assert {"../../catalog/entries", OWN.param("raw.own")} <= set(stage.data)  # entry.yaml lies in the latter


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Table]]:
    """A folder with an empty table of every schema, all of them of dataset rich."""
    root, tables = tmp_path_factory.mktemp("empty"), []
    for name, schema in known_schemas().items():
        write_table(root / f"{name}.parquet", schema.empty_table())
        output = Output(path=f"{name}.parquet", stage="frames", dataset="rich", is_cached=True)
        tables.append(open_table(root / f"{name}.parquet", output, root))
    return root, tables


def test_quirks_are_counted_by_queries_over_columns_that_exist(empty: tuple[Path, list[Table]]) -> None:
    database = Database(empty[1])
    queries = [quirk.count for entry in ENTRIES.values() for quirk in entry.quirks if quirk.count]
    assert [database.number(sql) for sql in queries] == [0] * len(queries)


@pytest.fixture(scope="module")
def page(empty: tuple[Path, list[Table]]) -> str:
    """Says of each entry that it is one of dataset rich."""
    root, tables = empty
    card = make_card(GRAPH, Lock({}), root, ENTRIES, tables, "rich")
    cards = [
        replace(card, entry=entry, quirks=tuple((quirk.text, None) for quirk in entry.quirks))
        for entry in ENTRIES.values()
    ]
    return render_page(GRAPH, Lock({}), root, cards, tables, has_pictures=True)


def test_the_page_says_what_entries_say(page: str) -> None:
    text = " ".join(html.unescape(page).split())
    for entry in ENTRIES.values():
        said = [entry.title, entry.description, entry.citation.text, entry.owner, entry.status, entry.licence.url]
        said += [*entry.licence.forbids, *entry.licence.permits, entry.contact.name, entry.publisher]
        said += [quirk.text for quirk in entry.quirks]
        said += [words for words in asdict(entry.responsible).values() if isinstance(words, str)]
        assert [words for words in said if " ".join(words.split()) not in text] == []


def test_the_page_says_what_schemas_and_the_pipeline_say(page: str) -> None:
    text = " ".join(html.unescape(page).split())
    for field in (field for schema in known_schemas().values() for field in schema):
        assert f'<th scope="row">{field.name}</th>' in page
        about = [(field.metadata or {}).get(key, b"").decode() for key in (b"unit", b"frame", b"note")]
        assert [words for words in about if " ".join(words.split()) not in text] == []
    road = json.loads(page.partition('id="about">')[2].partition("</script>")[0])["datasets"]["rich"]["steps"]
    of_rich = [stage.full_name for stage in GRAPH.stages if stage.dataset == "rich"]
    assert [step["stage"] for step in road if step["stage"] in of_rich] == [
        name for name in of_rich[: of_rich.index("evaluate@rich") + 1] if name != "verify@rich"
    ]


def test_schemas_name_stages_and_stages_have_schemas() -> None:
    writers = {
        stage for schema in known_schemas().values() for stage in schema.metadata[b"sahmr.stage"].decode().split()
    }
    assert writers <= STAGES
    for graph in (GRAPH, OWN):
        assert {output.stage for output in graph.outputs if output.kind == "table"} <= writers


def test_every_column_is_of_a_known_unit_or_none() -> None:
    units = {b"", b"px", b"m", b"mm", b"deg", b"rad", b"byte"}
    for schema in known_schemas().values():
        assert {(field.metadata or {}).get(b"unit", b"") for field in schema} <= units


def test_the_graph_is_what_the_stages_read() -> None:
    """Folders of section ``paths`` hold the outputs of exactly the stages that are to write there."""
    from sahmr.settings import Paths

    paths = load_section("paths", Paths, ROOT / "params.yaml")
    own = load_section("paths", Paths, ROOT / "pipelines/own/params.yaml")
    for graph, paths_of in ((GRAPH, paths), (OWN, own)):
        for output in graph.outputs:
            if output.stage not in ("demo", "capture"):
                places = (getattr(paths_of, name) for name in Paths.__dataclass_fields__)
                assert any(Path(output.path).is_relative_to(place) for place in places), output.path
