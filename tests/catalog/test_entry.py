"""Entries say what no program finds out, and agree with what programs do."""

from pathlib import Path

import pytest
import yaml

from catalog.entry import FOLDER, choose_entry, read_entries, read_entry
from sahmr.datasets import CARDS
from sahmr.errors import SettingsError

ENTRIES = read_entries()


def _change(folder: Path, name: str, /, **values: object) -> Path:
    """A copy of an entry with other values of its top keys."""
    found = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(found | values, allow_unicode=True))
    return path


def test_every_card_has_an_entry_with_its_licence_notice() -> None:
    for name, card in CARDS.items():
        entry = choose_entry(ENTRIES, f"raw.{name}", None)
        assert entry.licence.notice == card.licence_notice
        assert entry.title.startswith(card.title)
        assert entry.is_private


def test_twins_are_free_and_originals_are_not() -> None:
    for entry in ENTRIES.values():
        assert entry.is_private == (entry.twin_of is None), entry.name
        assert (entry.made_by in ("demo", "capture")) == (entry.twin_of is not None), entry.name


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"licence": "MIT"}, ["licence: found 'MIT'", "allowed a mapping"]),
        ({"status": "old"}, ["status: found 'old'", "active"]),
        ({"status": "superseded"}, ["superseded_by: found null", "allowed an entry's name"]),
        ({"ownr": "x"}, ["ownr: found an unknown key", "write owner"]),
        ({"name": "prox"}, ["name: found 'prox'", "allowed 'rich'"]),
        ({"description": " "}, ["description: found", "allowed text"]),
        ({"keywords": []}, ["keywords", "a list of 1 to"]),
    ],
)
def test_a_wrong_entry_is_one_line(tmp_path: Path, values: dict[str, object], words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        read_entry(_change(tmp_path, "rich", **values))
    assert "\n" not in str(caught.value)
    for word in [str(tmp_path / "rich.yaml"), *words]:
        assert word in str(caught.value)


def test_a_use_is_not_permitted_and_forbidden(tmp_path: Path) -> None:
    licence = yaml.safe_load((FOLDER / "rich.yaml").read_text())["licence"]
    with pytest.raises(SettingsError, match=r"licence\.forbids: found 'redistribution'"):
        read_entry(_change(tmp_path, "rich", licence=licence | {"permits": ["redistribution"]}))


def test_entries_refer_to_entries(tmp_path: Path) -> None:
    _change(tmp_path, "rich", twin_of="nowhere")
    with pytest.raises(SettingsError, match="twin_of: found 'nowhere'"):
        read_entries(tmp_path)


def test_a_tree_without_an_entry_is_named() -> None:
    with pytest.raises(SettingsError, match=r"found 0 entries for raw\.third"):
        choose_entry(ENTRIES, "raw.third", None)
