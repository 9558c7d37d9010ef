"""A name is taken only if it is a published one, whole; whatever else lies there changes nothing and is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from sahmr.errors import RawDataError
from sahmr.readers import names
from sahmr.readers.base import Listing, Reader
from sahmr.readers.prox import ProxReader, ProxRules
from sahmr.readers.rich import RichReader
from sahmr.readers.rich_tables import read_split_table
from tests.readers.names_cases import ACCEPTED, FILES, FOLDER_PLACES, FOLDERS, REFUSED, STRANGERS, Place
from tests.worlds.raw_trees import FRAME, RULES, SEQUENCE, image, put, write_prox, write_rich

CAMERA = f"images/train/{SEQUENCE}/cam_00"
COLOR = "quantitative/recordings/vicon_03301_01/Color"


@pytest.fixture
def readers(tmp_path: Path, bodies: Path) -> dict[str, Reader]:
    return {
        "rich": RichReader(root=write_rich(tmp_path / "RICH"), bodies=bodies, rules=RULES),
        "prox": ProxReader(root=write_prox(tmp_path / "PROX"), bodies=bodies, rules=ProxRules(parts=("quantitative",))),
    }


def counted(listing: Listing) -> dict[str, int]:
    return {ignored.what: ignored.count for ignored in listing.ignored}


@pytest.mark.parametrize("place", FILES, ids=lambda place: place.what)
def test_strangers_beside_a_file_are_ignored_and_counted(readers: dict[str, Reader], place: Place) -> None:
    reader = readers[place.tree]
    sound, scenes = reader.list_bodies(), reader.scenes()
    assert sound.ignored == ()
    path = reader.root / place.file
    for stranger in STRANGERS:
        put(path.with_name(stranger.format(stem=path.stem, ext=path.suffix)), path.read_bytes())
    found = reader.list_bodies()
    assert reader.check() == [] and reader.scenes() == scenes
    assert (found.tasks, found.dropped) == (sound.tasks, sound.dropped)
    assert counted(found) == {place.what: len(STRANGERS)}
    assert found.ignored[0].first.startswith(str(Path(place.file).parent))


@pytest.mark.parametrize("place", FOLDER_PLACES, ids=lambda place: place.what)
def test_strangers_beside_a_folder_are_ignored_and_counted(readers: dict[str, Reader], place: Place) -> None:
    reader = readers[place.tree]
    sound, scenes = reader.list_bodies(), reader.scenes()
    path = reader.root / place.file
    first = min(child for child in path.rglob("*") if child.is_file())
    for stranger in FOLDERS:
        put(path.with_name(stranger.format(name=path.name)) / first.relative_to(path), first.read_bytes())
    put(path.with_name("Thumbs.db"), "")
    found = reader.list_bodies()
    assert reader.check() == [] and reader.scenes() == scenes
    assert (found.tasks, found.dropped) == (sound.tasks, sound.dropped)
    assert counted(found) == {place.what: len(FOLDERS) + 1}


@pytest.mark.parametrize(("tree", "file"), [("rich", f"{CAMERA}/00060_00.jpeg"), ("prox", f"{COLOR}/{FRAME}.jpg")])
def test_of_several_formats_the_stated_one_is_taken(readers: dict[str, Reader], tree: str, file: str) -> None:
    """jpeg, jpg, png, bmp; of two spellings the lower case."""
    reader = readers[tree]
    path = reader.root / file
    content = path.read_bytes()
    path.unlink()
    made: list[str] = []
    for suffix in (".BMP", ".bmp", ".PNG", ".png", ".JPG", ".jpg", ".JPEG", ".jpeg"):
        put(path.with_suffix("").with_name(path.stem + suffix), content)
        made.append(suffix)
        listing = reader.list_bodies()
        views = [view for task in listing.tasks for view in task.views]
        (used,) = [view.image_file for view in views if path.stem in view.image_file]
        assert used.endswith(suffix)
        assert counted(listing) == ({"second image of a frame": len(made) - 1} if len(made) > 1 else {})


def test_numbers_of_other_widths_are_no_numbers(readers: dict[str, Reader]) -> None:
    """0060_00 beside 00060_00, cam_0 beside cam_00, 060 beside 00060, 5.ply beside 005.ply."""
    reader = readers["rich"]
    sound = reader.list_bodies()
    for name in ("0060_00.jpeg", "000060_00.jpeg", "00060_0.jpeg", "60_0.jpeg"):
        image(reader.root / CAMERA / name)
    image(reader.root / f"images/train/{SEQUENCE}/cam_0/00060_00.jpeg")
    for name in ("060/005.ply", "000060/005.ply", "00060/5.ply", "00060/0005.ply"):
        put(reader.root / f"bodies/train/{SEQUENCE}" / name, b"")
    found = reader.list_bodies()
    assert (found.tasks, found.dropped) == (sound.tasks, sound.dropped)
    assert counted(found) == {
        "bodies/SPLIT/SEQ": 2, "bodies/SPLIT/SEQ/FFFFF": 2, "images/SPLIT/SEQ": 1, "images/SPLIT/SEQ/cam_CC": 4,
    }  # fmt: skip


def test_a_second_folder_of_a_sequence_is_counted(readers: dict[str, Reader]) -> None:
    reader = readers["rich"]
    sound = reader.list_bodies()
    image(reader.root / f"JPG_images/train/{SEQUENCE}/cam_00/00062_00.jpeg")
    found = reader.list_bodies()
    assert found.tasks == sound.tasks and counted(found) == {"second folder of a sequence": 1}


def test_images_of_another_camera_are_named(readers: dict[str, Reader]) -> None:
    reader = readers["rich"]
    image(reader.root / CAMERA / "00060_01.jpeg")
    with pytest.raises(RawDataError, match=r"cam_00: holds 1 images of another camera than 0: 00060_01\.jpeg; move"):
        reader.list_bodies()


def test_links_and_pipes(readers: dict[str, Reader]) -> None:
    """A link to nowhere and one to itself count as files, whose reading tells; a pipe is no image."""
    import os

    reader = readers["rich"]
    place = reader.root / CAMERA
    (place / "00090_00.jpeg").symlink_to("gone")
    (place / "00105_00.jpeg").symlink_to("00105_00.jpeg")
    os.mkfifo(place / "00120_00.jpeg")
    assert names.has(place, names.RICH_IMAGE)
    found = {match.string for match in names.Sieve(reader.root).sift("x", place, names.RICH_IMAGE)}
    assert {"00090_00.jpeg", "00105_00.jpeg"} < found and "00120_00.jpeg" not in found


def test_a_folder_that_may_not_be_listed(readers: dict[str, Reader], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(place: object) -> None:
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr(names.os, "scandir", refuse)
    with pytest.raises(RawDataError, match=r"cannot be listed \(Permission denied\); allow it"):
        readers["rich"].list_bodies()
    assert any("cannot be listed" in line for line in readers["prox"].check())


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted_tables(tmp_path: Path, name: str) -> None:
    tracks = read_split_table(put(tmp_path / "train.txt", ACCEPTED[name]), "train")
    found = [(t.sequence, t.capture, t.scan, t.subject, t.gender, t.cameras) for t in tracks]
    rest = ("CapA", "scan_camcoord", 5, "male", (0, 1))
    assert found == [(SEQUENCE, *rest), ("CapA_005_run", *rest)]


@pytest.mark.parametrize("name", REFUSED)
def test_refused_tables(tmp_path: Path, name: str) -> None:
    content, says = REFUSED[name]
    path = put(tmp_path / "train.txt", content)
    with pytest.raises(RawDataError, match=says) as told:
        read_split_table(path, "train")
    assert all(line.startswith(str(path)) for line in str(told.value).splitlines())
