"""The catalog's page: it loads nothing, fits, finds frames, tells where they come from, has the same bytes again."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from catalog.graph import read_graph
from catalog.lineage import find_lineage
from catalog.lock import Lock, read_lock
from catalog.packed import digests, named, numbers, pack, texts
from catalog.page import write_page
from catalog.source import Source
from tests.benchmarks.page import write_world
from tests.catalog.conftest import Ask
from tests.worlds.browser import Browser, find_chromium
from tests.worlds.catalogs import KEY

needs_chromium = pytest.mark.skipif(find_chromium() is None, reason="no Chromium found; install the package chromium")
READY = "!!document.documentElement.dataset.ready"
ROWS = "[...document.querySelectorAll('#rows .row')].map(row => row.firstChild.textContent)"


def write(root: Path, path: Path, *, has_pictures: bool = True) -> Path:
    source = Source(root=root)
    lock = read_lock(source) if source.has("dvc.lock") else Lock({})
    write_page(read_graph(source), lock, root, path, has_pictures=has_pictures)
    return path


@pytest.fixture(scope="module")
def page(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(sound, tmp_path_factory.mktemp("page") / "catalog.html")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as found:
        yield found


def opened(browser: Browser, page: Path) -> Browser:
    browser.open(page)
    browser.wait_for(READY)
    return browser


def choose(browser: Browser, name: str, value: str) -> None:
    """In a list the choice that begins so; in a field the text."""
    browser.run(
        f"(() => {{ const e = document.querySelector('[name={name}]'); const value = {json.dumps(value)};"
        "e.value = e.options ? [...e.options].find(one => one.text.startsWith(value)).value : value;"
        "e.dispatchEvent(new Event('input', {bubbles: true})) })()"
    )


def unpacked(text: str) -> tuple[dict, bytes]:
    """Header and columns, as the format is described."""
    data = gzip.decompress(base64.b64decode(text))
    begin = 4 + int.from_bytes(data[:4], "little")
    return json.loads(data[4:begin]), data[begin:]


def test_columns_are_packed_as_they_are_described() -> None:
    whole = pa.chunked_array([pa.array([0, None, 254, 65_535])])
    columns = [
        numbers("n", whole),
        numbers("f", pa.chunked_array([pa.array([0.26, float("nan"), -1.0, 25.0])]), step=0.1),
        named("c", pa.chunked_array([pa.array(["b", None, "a", "b"])])),
        texts("t", pa.chunked_array([pa.array(["x", None, "\u00e4", "</script>"])])),
        digests("d", pa.chunked_array([pa.array(["0123456789abcdef", None, "f" * 64, "0" * 64])])),
    ]
    text = pack({"table": (4, columns)})
    assert text == pack({"table": (4, columns)}) and not set(text) & set("<>&")
    header, body = unpacked(text)
    found = header["table"]["columns"]
    values = {name: body[one["at"] :][: one["bytes"]] for name, one in found.items()}
    assert header["table"]["rows"] == 4 and all(one["at"] % 4 == 0 for one in found.values())
    assert found["n"]["kind"] == "u32" and np.frombuffer(values["n"], "<u4").tolist() == [1, 0, 255, 65_536]
    assert found["f"]["kind"] == "u8" and list(values["f"]) == [4, 0, 1, 251]
    assert found["c"]["names"] == ["b", "a"] and list(values["c"]) == [1, 0, 2, 1]
    assert values["t"].decode().split("\0") == ["x", "", "\u00e4", "</script>", ""]
    assert values["d"].hex() == "0123456789ab" + "0" * 12 + "f" * 12 + "0" * 12


def test_a_number_too_large_for_its_step_is_refused() -> None:
    with pytest.raises(
        ValueError, match="n: found 4294967297 steps, allowed at most 4294967295; give it a larger step"
    ):
        numbers("n", pa.chunked_array([pa.array([2**32])]))


def test_the_same_repository_elsewhere_gives_the_same_bytes(page: Path, mine: Path, tmp_path: Path) -> None:
    again = write(mine, tmp_path / "again.html").read_bytes()
    assert again == page.read_bytes()
    assert str(mine).encode() not in again and not re.search(rb'(?:src|href|action)="(?!data:|#)', again)
    assert b"unsafe-inline" not in again and b"default-src &#39;none&#39;" in again.replace(b"'", b"&#39;")


def test_without_pictures_nothing_of_the_data_is_shown(page: Path, sound: Path, tmp_path: Path) -> None:
    with_some = page.read_text()
    without = write(sound, tmp_path / "without.html", has_pictures=False).read_text()
    assert with_some.count("data:image/jpeg") == 8 and "it may not be shared either" in with_some
    assert "data:image/jpeg" not in without and "it may not be shared either" not in without
    assert all("redistribution forbidden by the RICH licence" in text for text in (with_some, without))


def test_shards_that_are_not_here_are_not_shown(mine: Path, tmp_path: Path) -> None:
    (shard,) = (mine / "data/shards/rich").glob("*-test-*.tar")
    shard.unlink()
    text = write(mine, tmp_path / "page.html").read_text()
    assert text.count("data:image/jpeg") == 6 and "<small>test</small>" not in text


def test_command(ask: Ask, page: Path, mine: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    assert ask("page", "--out", str(out)).out.strip() == str(out)
    assert out.read_bytes() == page.read_bytes()
    assert ask("page", "--out", "a.png").code == 2
    (mine / "data/scores/rich.parquet").write_bytes(b"PAR1")
    answer = ask("page", root=mine)
    assert answer.code == 4 and "data/scores/rich.parquet" in answer.err and not (mine / "catalog.html").exists()


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_loads_nothing(width: int, browser: Browser, page: Path) -> None:
    browser.resize(width, 800)
    opened(browser, page).run(f"location.hash = 'key={KEY}'")
    browser.wait_for("!document.querySelector('#lineage').hidden")
    browser.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.run("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert browser.run("document.querySelectorAll('figure svg').length") == 5
    assert {url for url in browser.requests if not url.startswith("data:")} == {page.resolve().as_uri()}
    assert not browser.complaints


@needs_chromium
def test_filters_and_order(browser: Browser, page: Path) -> None:
    opened(browser, page)
    state = "document.querySelector('#state').textContent"
    assert browser.run(state) == "9 of 9 frames" and len(browser.run(ROWS)) == 9
    choose(browser, "split", "test (3)")
    assert browser.run(state) == "3 of 9 frames"
    assert browser.run(ROWS) == [f"Room_test_0000{number}" for number in (6, 7, 8)]
    choose(browser, "text", "_00007")
    browser.wait_for(f"{state} === '1 of 9 frames'")
    splits = "[...document.querySelector('[name=split]').options].map(one => one.text)"
    assert browser.run(splits) == ["all", "test (1)"]  # what the other filters leave
    browser.run("document.querySelector('#filters').reset()")
    browser.wait_for(f"{state} === '9 of 9 frames'")
    choose(browser, "labels", "without contact")
    assert browser.run(ROWS) == ["Room_train_00005"]
    choose(browser, "labels", "all")
    choose(browser, "made", "scored")
    assert browser.run(state) == "3 of 9 frames"
    browser.run("document.querySelector('#head button').click(); document.querySelector('#head button').click()")
    assert browser.run(ROWS) == [f"Room_test_0000{number}" for number in (8, 7, 6)]
    assert not browser.complaints


@needs_chromium
def test_a_row_tells_where_its_sample_comes_from(browser: Browser, page: Path, sound: Path) -> None:
    source = Source(root=sound)
    lineage = find_lineage(read_graph(source), read_lock(source), sound, KEY)
    opened(browser, page)
    choose(browser, "text", KEY)
    browser.wait_for("document.querySelectorAll('#rows .row').length === 1")
    browser.run("document.querySelector('#rows .row').click()")
    said = browser.run("document.querySelector('#lineage').textContent")
    for raw in lineage.raw:
        assert f"{raw.role} {raw.path} sha256 {raw.sha256[:12]}\u2026" in said
    shard = lineage.shard
    assert shard is not None
    place = f"bytes {shard['offset']:,} to {shard['offset'] + shard['length']:,}, sha256 {shard['sha256'][:12]}"
    assert f"{shard['file']}, {place}" in said
    assert "data/predictions/rich/sahmr.parquet, 1 contact points" in said
    assert (
        "scores of sahmrstanding, 2.20 m away: G-MPJPE 50.0 mm, MPJPE 50.0 mm, PA-MPJPE 50.0 mm, PenE 50.00 m" in said
    )
    assert "warmup_frames45" in said and "shards@rich" in said and "report@rich" not in said
    assert browser.run("location.hash") == f"#key={KEY}"


@needs_chromium
def test_rows_are_drawn_while_they_are_in_sight(browser: Browser, tmp_path: Path) -> None:
    write_world(tmp_path, 4000)
    opened(browser, write(tmp_path, tmp_path / "page.html", has_pictures=False))
    assert browser.run("document.querySelector('#state').textContent") == "4,000 of 4,000 frames"
    assert browser.run("document.querySelectorAll('#rows .row').length") < 40
    browser.run("document.querySelector('#rows').scrollTop = 1e9")
    last = "ParkingLot00001_007_overfence_00285_04"
    browser.wait_for(f"{ROWS}.at(-1) === '{last}'")
    assert browser.run("document.querySelectorAll('#rows .row').length") < 40


@needs_chromium
def test_the_policy_stops_other_scripts(browser: Browser, page: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.html"
    other.write_text(page.read_text().replace("<main>", "<main><script>document.title = 'theirs'</script>"))
    opened(browser, other)
    assert browser.run("document.title") == "Data catalog"
    assert any("Content Security Policy" in text for text in browser.complaints)


@pytest.mark.slow
def test_a_page_of_100_000_frames_is_below_10_mb(tmp_path: Path) -> None:
    write_world(tmp_path)
    assert write(tmp_path, tmp_path / "page.html", has_pictures=False).stat().st_size < 10**7
