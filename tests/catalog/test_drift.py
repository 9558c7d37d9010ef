"""Entries, dvc.yaml, params.yaml and schemas agree; whoever changes one of them alone is stopped here."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.card import entry_of, raw_keys
from catalog.entry import read_entries
from catalog.graph import Output, read_graph
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
