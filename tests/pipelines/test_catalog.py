"""The stage ``catalog``: what it lists, and that another machine would write the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from catalog.graph import read_graph
from catalog.lock import read_lock
from catalog.page import write_page
from catalog.source import Source
from pipelines import catalog
from sahmr.errors import SettingsError
from sahmr.settings import Paths, load_section
from schemas.fields import SchemaError
from tests.worlds.catalogs import write_repository
from tests.worlds.small import hashes


@pytest.fixture
def root(tmp_path: Path, small_world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_repository(tmp_path / "repository", small_world)
    monkeypatch.chdir(tmp_path / "repository")
    return tmp_path / "repository"


def _run() -> None:
    catalog.run(read_graph(Source(root=Path())), load_section("paths", Paths))


def test_cards_and_list_do_not_depend_on_the_machine(root: Path) -> None:
    shutil.copy(root / "data/predictions/rich/sahmr.parquet", root / "data/predictions/rich/other.parquet")
    _run()
    before = hashes(root / "data/catalog")
    source = Source(root=Path())
    write_page(read_graph(source), read_lock(source), Path(), root / "page.html", has_pictures=True)
    assert (root / "page.html").read_bytes() == (root / "data/catalog/index.html").read_bytes()
    text = (root / "data/catalog/datasets.json").read_text()
    assert str(root) not in text and set(before) == {
        *("catalog.parquet", "datasets.json", "index.html", "rich.manifest.json"),
        *("rich/croissant.json", "rich/croissant-1.0.json"),
    }
    cards = json.loads(text)
    assert set(cards) == {"rich", "bodies"} and cards["rich"]["scenes"] == 1
    assert set(cards["rich"]["places"][0]) == {"path", "stage", "kind", "files", "bytes"}
    page = (root / "reports/catalog.md").read_text()
    assert "| `data/predictions/rich/other.parquet` | other | rich | table | 3 |" in page  # another method's
    assert "data/catalog" not in page and "manifest" not in page
    (root / "dvc.lock").unlink()
    _run()
    after = hashes(root / "data/catalog")  # lineage, in Croissant and on the page, has the settings that dvc.lock has
    assert {
        name: after[name] for name in after if "croissant" not in name and name != "index.html"
    }.items() <= before.items()


def test_a_damaged_table_stops_it_and_leaves_the_old_catalog(root: Path) -> None:
    _run()
    before = hashes(root / "data/catalog")
    path = root / "data/scores/rich.parquet"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(SchemaError, match=r"data/scores/rich\.parquet: damaged.*dvc repro evaluate"):
        _run()
    assert hashes(root / "data/catalog") == before


def test_a_dataset_without_an_entry_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "find_entries", lambda *_: {})
    with pytest.raises(SettingsError, match=r"found 0 entries for raw\.rich.*write catalog/entries/<name>\.yaml"):
        _run()
