"""The detector's anchors and circles against independent maths; a person of the demo, found."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy import ndarray
from PIL import Image

from pipelines.detect import main, table
from sahmr.cameras.box_files import read_boxes
from sahmr.cameras.boxes import choose_person
from sahmr.detect import network
from sahmr.detect.decode import Circles, anchors, boxes_round, decode, one_each, overlaps
from sahmr.detect.people import find_people, windows
from sahmr.errors import RawDataError

needs_extra = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None, reason="needs the extra detect: pip install '.[detect]'"
)


def circles(*rows: tuple[float, float, float, float, float]) -> Circles:
    """Of (hip x, hip y, rim x, rim y, score)."""
    made = np.array(rows, dtype=np.float64).reshape(-1, 5)
    return Circles(hip=made[:, :2], rim=made[:, 2:4], score=made[:, 4])


def test_anchors_one_by_one() -> None:
    expected = []
    for side, layers in ((28, 1), (14, 1), (7, 3)):  # strides 8, 16 and three times 32 of 224 pixels
        for row in range(side):
            for column in range(side):
                expected += [((column + 0.5) / side, (row + 0.5) / side)] * 2 * layers
    np.testing.assert_allclose(anchors(), expected, atol=1e-15)
    assert len(anchors()) == 2254


def test_decoding_by_hand() -> None:
    rows, logits = np.zeros((2254, 12), dtype=np.float32), np.full(2254, -1e4, dtype=np.float32)
    number = 2 * (3 * 28 + 5)  # column 5, row 3 of the finest grid: its centre is at pixel (44, 28)
    rows[number, 4:8], logits[number] = (11.2, 22.4, 11.2, -33.6), math.log(3)
    logits[7] = math.log(0.4 / 0.6)  # a score of 0.4
    found = decode(rows, logits, 0.5)
    np.testing.assert_allclose(found.hip, [[55.2 / 224, 50.4 / 224]], atol=1e-6)
    np.testing.assert_allclose(found.rim, [[55.2 / 224, -5.6 / 224]], atol=1e-6)
    assert found.radius == pytest.approx([56 / 224])
    assert found.score == pytest.approx([0.75]) and len(decode(rows, logits, 0.3)) == 2


def test_boxes_are_narrow_across_the_body() -> None:
    upright, lying = boxes_round(circles((50, 60, 50, 20, 1), (50, 60, 90, 60, 1)))
    np.testing.assert_allclose(upright, [50 - 11.4, 60 - 38, 50 + 11.4, 60 + 38])
    np.testing.assert_allclose(lying, [50 - 38, 60 - 11.4, 50 + 38, 60 + 11.4])


def test_overlap_against_counted_cells() -> None:
    a, b = np.array([2.0, 3, 12, 9]), np.array([[8.0, 1, 20, 7], [30, 30, 40, 40]])
    y, x = np.mgrid[:50, :50] + 0.5

    def inside(box: ndarray) -> ndarray:
        return (x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])

    for box, found in zip(b, overlaps(a, b), strict=True):
        assert found == pytest.approx((inside(a) & inside(box)).sum() / (inside(a) | inside(box)).sum())


def test_one_circle_for_each_person() -> None:
    standing, twin, other = (50, 60, 50, 20, 0.8), (53, 62, 52, 25, 0.9), (90, 60, 90, 20, 0.7)
    torso = (50, 42, 50, 28, 0.75)  # inside the first one's box
    assert one_each(circles(standing, torso, other)).score.tolist() == [0.8, 0.7]
    assert one_each(circles(standing, twin, other)).score.tolist() == [0.9, 0.7]
    assert len(one_each(circles())) == 0


@pytest.mark.parametrize(("width", "height"), [(685, 501), (360, 640), (40, 1000), (1, 1)])
def test_windows_cover_every_pixel_at_every_size(width: int, height: int) -> None:
    seen: dict[int, ndarray] = {}
    for left, top, side in windows(width, height):
        seen.setdefault(side, np.zeros((height, width), dtype=bool))[
            max(0, top) : top + side, max(0, left) : left + side
        ] = True
    assert all(each.all() for each in seen.values()) and max(seen) == max(width, height)


def test_a_person_is_placed_in_pixels_of_the_photograph() -> None:
    """A look that knows where a white square is stands in for the network."""
    image = np.zeros((1200, 1600, 3), dtype=np.uint8)
    image[600:700, 800:900] = 255

    def look(picture: ndarray, least: float) -> Circles:
        ys, xs = np.nonzero(picture[..., 0] > 127)
        if len(xs) == 0 or len(xs) > 10_000 or ys.max() in (0, 223) or xs.max() in (0, 223):
            return circles()
        x, y = (xs.mean() + 0.5) / 224, (ys.mean() + 0.5) / 224
        return circles((x, y, x, y - (np.ptp(ys) + 1) / 224, 0.9))

    (found,) = find_people(image, "a.png", look)
    x, y = (found.box[0] + found.box[2]) / 2, (found.box[1] + found.box[3]) / 2
    assert (x, y) == pytest.approx((849.5, 649.5), abs=1.0)  # centres of pixels: 800 to 899
    assert found.box[3] - found.box[1] == pytest.approx(190, rel=0.03)


@needs_extra
def test_a_person_of_the_demo_is_found(demo_root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = sorted((demo_root / "RICH/images").rglob("*.jp*g"))[0]
    (tmp_path / "photos").mkdir()
    Image.open(source).save(tmp_path / "photos/a b.png")
    Image.new("RGB", (320, 240), (90, 120, 90)).save(tmp_path / "photos/empty.png")
    main(["--images", str(tmp_path / "photos"), "--output", str(tmp_path / "boxes.csv")])
    people = read_boxes(tmp_path / "boxes.csv").people
    assert {person.image for person in people} == {"a b.png"} and people[0].score is not None
    assert people[0].score > 0.7
    said = capfd.readouterr().err
    assert "1 with nobody (empty.png)" in said and "XNNPACK" not in said
    with pytest.raises(SystemExit):
        main(["--images", str(tmp_path / "photos"), "--output", str(tmp_path / "boxes.csv")])
    assert "is there already" in capfd.readouterr().err


def test_several_people_are_a_question(tmp_path: Path) -> None:
    image = np.zeros((448, 448, 3), dtype=np.uint8)
    both = circles((0.25, 0.5, 0.25, 0.3, 0.95), (0.75, 0.5, 0.75, 0.3, 0.8))
    calls, first_looks = iter(range(1000)), len(list(windows(448, 448)))

    def look(picture: ndarray, least: float) -> Circles:
        number = next(calls)
        return both if number == 0 else circles((0.5, 0.5, 0.5, 0.17, 0.9)) if number >= first_looks else circles()

    people = find_people(image, "a.png", look)
    with pytest.raises(RawDataError, match=r"--detect: 2 people in a.png \(1: .* score 0.95; 2: .* score 0.80\)"):
        choose_person("--detect", people, None, image="a.png")
    (tmp_path / "b.csv").write_text(table({"a.png": people}))
    assert [person.person for person in read_boxes(tmp_path / "b.csv").people] == ["1", "2"]


def test_the_weights_are_those_of_the_notice() -> None:
    notice = (network.MODEL.parent / "NOTICE.txt").read_text()
    assert network.SHA256 in notice and "Apache License" in (network.MODEL.parent / "LICENSE.txt").read_text()


def test_without_the_extra_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(RawDataError, match=r"needs the extra 'detect'.*pip install") as caught:
        network.Network()
    assert "\n" not in str(caught.value)


@needs_extra
def test_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.tflite").write_bytes(network.MODEL.read_bytes()[:-4])
    monkeypatch.setattr(network, "MODEL", tmp_path / "model.tflite")
    with pytest.raises(RawDataError, match="damaged: its SHA-256"):
        network.Network()
