"""The page's text: shared arrays stand once, names are escaped, the same page gives the same bytes."""

from __future__ import annotations

import json
import re

from sahmr.report.page import Card, Group, Page, make_card, refer, render, share
from tests.report.tiles import FACES, floor, square, tile

LONG, OTHER = "QUJD" * 2000, "REVG" * 2000


def page(*cards: Card) -> Page:
    return Page(
        title="a <b> & c", subtitle="two", report=None, frames_title="images",
        groups=(Group(title="Best", cards=cards),), notice="made up",
    )  # fmt: skip


def card(number: int, commands: str) -> Card:
    return Card(
        number=number, key=f"key_{number}</script>", facts=(("G-MPJPE", "1 mm"),), pictures=(("photograph", "data:,"),),
        scene_picture="data:,", commands=commands,
    )  # fmt: skip


def test_what_stands_twice_is_stored_once() -> None:
    scenes = [json.dumps([LONG, OTHER, "short"]), json.dumps([LONG, LONG])]
    shared = share(scenes)
    assert shared == [LONG]
    assert [json.loads(refer(text, shared)) for text in scenes] == [["@0", OTHER, "short"], ["@0", "@0"]]
    assert render(page(card(0, scenes[0]), card(1, scenes[1]))).count(LONG) == 1


def test_names_are_escaped_and_every_script_ends_once() -> None:
    text = render(page(card(0, "[]")))
    assert "a &lt;b&gt; &amp; c" in text
    assert "key_0</script>" not in text
    assert text.count("<script") - text.count('"<script') == len(re.findall(r"<script[ >]", text))
    assert "default-src 'none'" in text


def test_a_page_without_images_has_no_viewer() -> None:
    empty = Page(title="t", subtitle="s", report=None, frames_title="", groups=(), notice="n")
    assert len(render(empty)) < 20_000


def test_a_card_has_its_pictures_and_bytes_repeat() -> None:
    body = tile(true=square(-0.2, -0.5, 0.4, 3.0), predicted=square(-0.1, -0.5, 0.4, 3.1), scene=floor())
    first, again = (make_card(0, "key", [("posture", "lying")], body, FACES) for _ in range(2))
    assert first == again
    assert [name for name, _ in first.pictures] == ["photograph", "ground truth", "prediction"]
    assert first.scene_picture.startswith("data:image/jpeg;base64,/9j/")
    assert render(page(first)) == render(page(again))
