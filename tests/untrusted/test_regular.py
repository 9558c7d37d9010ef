"""Tables name files; none of them leads out of the tree."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sahmr.errors import RawDataError
from sahmr.readers.images import read_record_image
from sahmr.readers.prox import ProxReader
from sahmr.readers.rich import RichReader
from sahmr.scenes.build import write_scene
from sahmr.untrusted.regular import inside
from tests.worlds import small

OUTSIDE = ("../other/a.png", "/etc/passwd", "a/../../b", "a//b", "", "a/./b", "..", "a\\..\\b", "a\0b")


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_stays_in_its_tree(tmp_path: Path, name: str) -> None:
    with pytest.raises(RawDataError, match=r"a table names the file .*, which is not inside; run: dvc repro frames"):
        inside(tmp_path, name)


def test_plain_names_and_links(tmp_path: Path) -> None:
    """Whoever owns the tree may link to another disk."""
    assert inside(tmp_path, "a/b c/ä.png") == tmp_path / "a/b c/ä.png"
    (tmp_path / "link").symlink_to("/etc")
    assert inside(tmp_path, "link/passwd") == tmp_path / "link/passwd"


def test_readers_and_scenes_open_nothing_outside(tmp_path: Path) -> None:
    row = small.record(1)
    told = "which is not inside"
    with pytest.raises(RawDataError, match=told):
        read_record_image(tmp_path, replace(row, image_file="../1.png"), (0, 0, 8, 8), 1)
    for reader in (RichReader(root=tmp_path, bodies=tmp_path), ProxReader(root=tmp_path, bodies=tmp_path)):
        with pytest.raises(RawDataError, match=told):
            reader.load_body_world(replace(row, body_file="../1.ply"))
    with pytest.raises(RawDataError, match=told):
        RichReader(root=tmp_path, bodies=tmp_path).load_contact(replace(row, contact_file="/1.pkl"))
    with pytest.raises(RawDataError, match=told):
        write_scene(small.scene_record("../room.ply"), store=tmp_path, raw_root=tmp_path, settings=small.SCENES)
