"""Boxes by hand, of tables and of COCO JSON; which of them is meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sahmr.cameras.box_files import read_boxes
from sahmr.cameras.boxes import boxes_of, check_box, check_image_size, choose_person, parse_box
from sahmr.errors import RawDataError
from tests.worlds.raw_trees import put

COCO: dict[str, Any] = {
    "images": [{"id": 5, "file_name": "a\\1.jpg", "width": 640, "height": 480}, {"id": 6, "file_name": "2.jpg"}],
    "categories": [{"id": 3, "name": "Person"}, {"id": 1, "name": "chair"}],
    "annotations": [
        {"image_id": 5, "category_id": 3, "bbox": [10, 20, 30, 40], "score": 0.9},
        {"image_id": 5, "category_id": 1, "bbox": [1, 2, 3, 4]},
        {"image_id": 6, "category_id": 3, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        {"image_id": 6, "category_id": 3, "bbox": [0.5, 0.5, 9, 19], "track_id": 7},
    ],
}


@pytest.mark.parametrize(
    "text",
    [
        "image,left,top,right,bottom,person,score\na/1.jpg,1,2,11,22,Ann,0.5\n2.jpg,3,4,13,24,,\n",
        "\ufeffscore, image, x0, y0, x1, y1, person\r\n0.5,a/1.jpg,1,2,11,22,Ann\r\n\r\n,2.jpg,3,4,13,24,\r\n",
        'image,left,top,width,height,person,score\n"./a\\1.jpg",1,2,10,20,Ann,0.5\n2.jpg,3,4,10,20,,\n',
    ],
)
def test_tables(text: str, tmp_path: Path) -> None:
    first, second = read_boxes(put(tmp_path / "boxes.csv", text)).people
    assert (first.image, first.box, first.person, first.score) == ("a/1.jpg", (1, 2, 11, 22), "Ann", 0.5)
    assert (second.image, second.box, second.person, second.score) == ("2.jpg", (3, 4, 13, 24), "", None)
    assert second.image_size is None


def test_coco(tmp_path: Path) -> None:
    found = read_boxes(put(tmp_path / "boxes.json", json.dumps(COCO)))
    first, second = found.people
    assert (first.image, first.box, first.score, first.image_size) == (
        "a/1.jpg", (9.5, 19.5, 39.5, 59.5), 0.9, (640, 480)
    )  # fmt: skip
    assert (second.image, second.box, second.person, second.image_size) == ("2.jpg", (0, 0, 9, 19), "7", None)
    assert found.told == "2 boxes; left out: 1 of a crowd, 1 of another category than person"
    check_image_size(first, (640, 480))
    with pytest.raises(RawDataError, match=r"annotation 1: says a/1.jpg has 640x480 pixels, the photograph has 480x6"):
        check_image_size(first, (480, 640))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "has no lines; allowed: image,left"),
        ("image,left,top,right\na,1,2,3\n", "first line is 'image,left,top,right'; allowed"),
        ("image,left,top,right,bottom,class\na,1,2,3,4,0\n", "leave other columns out"),
        ("image,left,top,right,bottom,left\na,1,2,3,4,0\n", "each once"),
        ("image,left,top,right,bottom\na,1,2,3\n", "line 2: 4 values; allowed: 5"),
        ("image,left,top,right,bottom\na,1,2,3,nan\n", "line 2: bottom is 'nan'; allowed: a number"),
        ("image,left,top,right,bottom\n,1,2,3,4\n", "line 2: a photograph has the name ''"),
        ("image,left,top,right,bottom\n", "holds no box of a person"),
        ('image,left,top,right,bottom\n"a,1,2,3,4\n', "not a table"),
    ],
)
def test_bad_tables(content: str, says: str, tmp_path: Path) -> None:
    _refused(put(tmp_path / "boxes.csv", content), says)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": None}, "allowed: an object with the lists 'images' and 'annotations'"),
        ({"annotations": [{"image_id": 9, "category_id": 3, "bbox": [1, 2, 3, 4]}]}, "'image_id' is 9, which no image"),
        ({"annotations": [{"image_id": 5, "category_id": 3, "bbox": [1, 2, 3]}]}, "'bbox': found .*; allowed: 4 num"),
        ({"annotations": [{"image_id": True, "category_id": 3}]}, "'image_id' is True; allowed: a whole number"),
        ({"annotations": [7]}, "annotation 1: found 7; allowed: a JSON object"),
        ({"annotations": []}, r"holds no box of a person \(0 boxes\)"),
        ({"images": [{"id": 5}]}, "image 1: a photograph has the name 'None'"),
        ({"images": COCO["images"] * 2}, "image 3: 'id' is 5, as of another image"),
        ({"categories": [{"id": 3, "name": "cat"}]}, "no category 'person' among cat"),
        ({"categories": {}}, "'categories' is no list"),
    ],
)
def test_bad_coco(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    _refused(put(tmp_path / "boxes.json", json.dumps({**COCO, **changes})), says)


def test_other_files(tmp_path: Path) -> None:
    _refused(put(tmp_path / "boxes.txt", "1 2 3 4"), "not read from .txt; allowed: a table")
    _refused(tmp_path / "boxes.csv", "no such file")
    _refused(put(tmp_path / "boxes.json", '[{"image_id": NaN}]'), "NaN is no number of JSON")


def _refused(path: Path, says: str) -> None:
    with pytest.raises(RawDataError, match=says) as caught:
        read_boxes(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_names_mean_ends_of_paths(tmp_path: Path) -> None:
    people = read_boxes(put(tmp_path / "boxes.json", json.dumps(COCO))).people
    assert boxes_of(people, Path("/photos/a/1.jpg")) == people[:1]
    assert boxes_of(people, "2.jpg") == people[1:]
    assert boxes_of(people, "/photos/b/1.jpg") == boxes_of(people, "1.jpg") == boxes_of(people, "22.jpg") == ()


def test_by_hand() -> None:
    assert parse_box("410,120.5, 690,-3") == (410, 120.5, 690, -3)
    for text in ("1,2,3", "1,2,3,x", "1,2,3,inf", "1 2 3 4"):
        with pytest.raises(RawDataError, match=r"--box: found .*; allowed: four numbers x0,y0,x1,y1"):
            parse_box(text)


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ((300, 200, 100, 150), "has no area; .* it looks like left, top, width, height"),
        ((300, 200, -5, 150), "has no area; .* exchange its corners"),
        ((0.2, 0.1, 0.5, 0.9), "looks like shares of the image: multiply by 640 and 480"),
        ((10, 10, 15, 17), "smaller than 8 pixels"),
        ((700, 10, 800, 90), "lies outside the image of 640x480"),
        ((600, 10, 800, 90), "has its centre outside the image of 640x480; .* another size"),
    ],
)
def test_bad_boxes(box: tuple[float, float, float, float], says: str) -> None:
    with pytest.raises(RawDataError, match=f"here: the box .*{says}"):
        check_box("here", box, (640, 480))


def test_boxes_may_reach_over_the_border() -> None:
    check_box("here", (-40, -90, 100, 300), (640, 480))


def test_which_person(tmp_path: Path) -> None:
    table = "image,left,top,right,bottom,person,score\n1.jpg,1,2,11,22.25,Ann,0.5\n1.jpg,3,4,13,24,,0.25\n"
    people = read_boxes(put(tmp_path / "boxes.csv", table)).people
    assert choose_person("boxes", people[:1], None, image="1.jpg") == people[0]
    assert choose_person("boxes", people, 2, image="1.jpg") == people[1]
    several = r"boxes: 2 people in 1.jpg \(1: 'Ann' 1,2,11,22.2 score 0.50; 2: 3,4,13,24 score 0.25\); choose one with"
    for number, says in ((None, several), (3, "--person 3; 2 people"), (0, "--person 0; 2 people")):
        with pytest.raises(RawDataError, match=says):
            choose_person("boxes", people, number, image="1.jpg")
    with pytest.raises(RawDataError, match=r"boxes: no person in 1.jpg; give --box"):
        choose_person("boxes", (), None, image="1.jpg")
