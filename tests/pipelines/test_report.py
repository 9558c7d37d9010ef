"""The stage report and the tool view on nine samples: files, errors, and the page in a headless Chromium."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines import evaluate, report, view
from sahmr.errors import ShardError
from schemas.fields import SchemaError
from schemas.prediction import SPLIT, SceneContact, prediction_table
from schemas.tables_write import write_table
from tests.worlds import small
from tests.worlds.browser import Browser, find_chromium
from tests.worlds.networks import write_topology

KEYS = [f"Room_test_{number:05d}" for number in range(6, 9)]
ROTATION, SHIFT = small.CAMERA_FROM_WORLD[:3, :3], small.CAMERA_FROM_WORLD[:3, 3]
needs_chromium = pytest.mark.skipif(find_chromium() is None, reason="no Chromium found; install the package chromium")


def write_predictions(world: Path, name: str, off_m: float, *, has_probability: bool = True) -> None:
    """The truth, moved along the camera's z; scene points at the first vertices, the first of them likely touched."""
    true = np.array([small.vertices(int(key[-5:])) @ ROTATION.T + SHIFT for key in KEYS])
    labels = [np.flatnonzero(small.contact(int(key[-5:])))[:4] for key in KEYS]
    points = np.concatenate([body[touching] for body, touching in zip(true, labels, strict=True)])
    scene = SceneContact(
        count=np.full(3, 4), points=points, probability=np.full(12, 0.75), parts=np.ones(12, dtype=np.uint8)
    )
    table = prediction_table(
        KEYS,
        crop_box=np.tile([60.0, 20, 260, 220], (3, 1)),
        initial_root=np.zeros((3, 3)),
        root=np.zeros((3, 3)),
        vertices=true + np.array([0, 0, off_m]),
        contact_count=np.ones(3, dtype=int),
        contact_points=np.tile([0.0, 0.0, 2.0], (3, 1)),
        contact_parts=np.ones(3, dtype=int),
        scene=scene if has_probability else None,
    )
    write_table(world / f"predictions/rich/{name}.parquet", table, extra={SPLIT: "test"})


def run_report(world: Path, frames: int = 2) -> str:
    report.run("rich", report.ReportPage(frames=frames), small.paths_of(world), small.PARALLEL)
    return (world / "reports/rich/index.html").read_text()


@pytest.fixture(scope="module")
def scored(small_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Predictions of two methods, and their scores. Read-only."""
    world = tmp_path_factory.mktemp("scored") / "world"
    for name in ("shards", "scenes"):
        shutil.copytree(small_world / name, world / name)
    write_topology(world / "bodies")
    write_predictions(world, "sahmr", 0.1)
    write_predictions(world, "near", 0.02, has_probability=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "_draw", lambda *_: None)
        evaluate.run("rich", evaluate.Evaluate(split="test", sheet_frames=1), small.paths_of(world), small.PARALLEL)
    return world


@pytest.fixture
def world(scored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scored, tmp_path / "world"))


@pytest.fixture(scope="module")
def page(scored: Path) -> Path:
    run_report(scored)
    return scored / "reports/rich/index.html"


def test_the_page_has_all_scores(page: Path) -> None:
    text = page.read_text()
    for words in ("G-MPJPE against depth", "Contact calibration", "oracle-mesh", "Best: 1 of 3", "Worst: 1 of 3"):
        assert words in text
    assert sum(key in text for key in KEYS) == 2


def test_calibration_of_points_that_are_all_touched(page: Path) -> None:
    lines = page.parent.with_name("rich_calibration.csv").read_text().splitlines()
    assert lines == ['"predicted","touched","points"', "0.75,1,12"]


def test_without_probabilities_the_page_says_so(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_groups", lambda *_: [])  # what takes long
    text = run_report(world)
    assert run_report(world) == text  # bytes repeat
    write_predictions(world, "sahmr", 0.1, has_probability=False)
    assert "sahmr gives no probabilities of contact" not in text
    assert "sahmr gives no probabilities of contact" in run_report(world)
    assert len((world / "reports/rich_calibration.csv").read_text().splitlines()) == 1


DAMAGED = (None, "{", "[]", "{}", '{"about": {"predictors": {}, "split": "test"}}', '{"about": 1}')


@pytest.mark.parametrize("content", DAMAGED)
def test_a_missing_or_damaged_summary_names_the_stage_that_makes_it(content: str | None, world: Path) -> None:
    path = world / "reports/rich_metrics.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(SchemaError, match=r"rich_metrics\.json.*dvc repro evaluate@rich") as found:
        run_report(world)
    assert "\n" not in str(found.value)


def test_scores_of_other_images_are_refused(world: Path) -> None:
    path = world / "scores/rich.parquet"
    write_table(path, pq.read_table(path).slice(4))
    with pytest.raises(ShardError, match=r"scores of sahmr of other images than the shards'; run: dvc repro evaluate"):
        run_report(world)


def test_view_makes_the_page_of_one_image(scored: Path) -> None:
    path = view.run(KEYS[1], ["rich", "prox"], small.paths_of(scored), "near")
    assert path == scored / f"reports/rich/{KEYS[1]}.html"
    text = path.read_text()
    assert "prediction of near" in text and KEYS[0] not in text


@pytest.mark.parametrize(
    ("key", "predictor", "message"),
    [
        (
            "Room_test_0007",
            None,
            r"'Room_test_0007' is no person-image of rich \(9 keys\); the nearest are Room_test_00007,",
        ),
        (KEYS[0], "other", r"no predictions of 'other'; there are sahmr, near"),
        ("Room_train_00001", None, r"predictions of split 'test', but Room_train_00001 is of split 'train'"),
    ],
)
def test_view_says_what_there_is(key: str, predictor: str | None, message: str, scored: Path) -> None:
    with pytest.raises(ShardError, match=message):
        view.run(key, ["rich"], small.paths_of(scored), predictor)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as found:
        yield found


CANVAS = "document.querySelector('iframe')?.contentDocument?.querySelector('canvas')"


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits(width: int, browser: Browser, page: Path) -> None:
    browser.resize(width, 800)
    browser.open(page)
    browser.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert not browser.complaints


@needs_chromium
def test_a_view_is_drawn_and_turns_and_nothing_leaves_the_page(browser: Browser, page: Path) -> None:
    browser.resize(390, 800)
    browser.open(page)
    browser.run("document.querySelector('.turn').click()")
    browser.wait_for(f"!!{CANVAS} && {CANVAS}.width > 300")
    before = wait_for_colors(browser)
    browser.drag("iframe", 80)
    after = wait_for_colors(browser)
    assert (before != after).any(axis=2).mean() > 0.02
    browser.run("document.querySelectorAll('.turn')[1].click()")
    assert browser.run("document.querySelectorAll('iframe').length") == 1  # one view at a time
    assert {url for url in browser.requests if not url.startswith("data:")} == {page.resolve().as_uri()}
    assert not browser.complaints


def wait_for_colors(browser: Browser) -> np.ndarray:
    """The view's middle, once it has many colors: a blank one has one."""
    for _ in range(100):
        picture = browser.picture("iframe")[50:-50, 50:-50]
        if len(np.unique(picture.reshape(-1, 3), axis=0)) > 20:
            return picture
    raise AssertionError("the view stays blank")


@needs_chromium
def test_the_browser_notices_what_it_must_notice(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<img src='other.png'><script>console.error('no'); nothing()</script>")
    browser.open(page)
    assert len(browser.requests) == 2
    text = json.dumps(browser.complaints)
    assert "no" in text and "nothing is not defined" in text
