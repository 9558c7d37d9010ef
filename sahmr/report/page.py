"""A page that stands alone: scores, charts, pictures and 3D views in one HTML file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Int
from numpy import ndarray

from sahmr.report.figures import Figure
from sahmr.report.html import picture_uri, templates_of
from sahmr.report.panels import PREDICTED, TRUE, Tile, in_the_scene, over_photograph, photograph
from sahmr.report.tables import Line, Table
from sahmr.report.viewer import commands, library

_QUALITY = 88  # of JPEG
_SHARED = re.compile(r'"([A-Za-z0-9+/=]{4096,})"')  # packed arrays, such as the faces of all meshes


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One person-image.

    Attributes:
        number: of its view among all of the page.
        key: of the image.
        facts: (name, value) of its scores.
        pictures: (name, data URI) of photograph and overlays.
        scene_picture: data URI of both meshes in the scan.
        commands: what the view draws.
    """

    number: int
    key: str
    facts: tuple[tuple[str, str], ...]
    pictures: tuple[tuple[str, str], ...]
    scene_picture: str
    commands: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Images that belong together, under a heading; empty: none."""

    title: str
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is said of all images.

    Attributes:
        first: the predictor whose oracles, charts and images are shown.
        images, sequences: how many were scored.
        headlines, scores, differences, groups, parts, about: as :mod:`sahmr.report.tables` makes them.
        halves: which half of the method limits, in words.
        figures: charts.
    """

    first: str
    images: int
    sequences: int
    headlines: tuple[Line, ...]
    halves: str
    scores: Table
    differences: Table
    groups: Mapping[str, Table]
    parts: Table | None
    about: tuple[tuple[str, str], ...]
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """All of a page.

    Attributes:
        title, subtitle: above all.
        report: of all images; None: the page shows some images alone.
        frames_title: above the images.
        groups: the images.
        notice: the dataset's licence notice.
        has_truth: whether the images have ground truth.
    """

    title: str
    subtitle: str
    report: Report | None
    frames_title: str
    groups: tuple[Group, ...]
    notice: str
    has_truth: bool = True


def make_card(
    number: int, key: str, facts: Sequence[tuple[str, str]], tile: Tile, faces: Int[ndarray, "faces 3"]
) -> Card:
    """Draw a person-image.

    Args:
        number: of its view among all of the page.
        key: of the image.
        facts: (name, value) of its scores.
        tile: what is drawn.
        faces: triangles of the meshes.
    """
    pictures = {
        "photograph": photograph(tile),
        **({"ground truth": over_photograph(tile, tile.true, TRUE, faces)} if len(tile.true) else {}),
        "prediction": over_photograph(tile, tile.predicted, PREDICTED, faces),
    }
    return Card(
        number=number,
        key=key,
        facts=tuple(facts),
        pictures=tuple((name, picture_uri(picture, _QUALITY)) for name, picture in pictures.items()),
        scene_picture=picture_uri(in_the_scene(tile, faces), _QUALITY),
        commands=commands(tile, faces),
    )


def render(page: Page) -> str:
    """The page's HTML; the same page gives the same text."""
    scenes = [card.commands for group in page.groups for card in group.cards]
    shared = share(scenes)
    templates = templates_of("sahmr.report")
    css, js = (templates.get_template(name).render() for name in ("page.css", "page.js"))
    return templates.get_template("page.html").render(
        page=page,
        css=css,
        js=js,
        library=library() if scenes else "",
        shared=json.dumps(shared),
        scenes=[refer(text, shared) for text in scenes],
    )


def share(scenes: Sequence[str]) -> list[str]:
    """Long texts that stand in several places, first come first."""
    count: dict[str, int] = {}
    for found in (match for text in scenes for match in _SHARED.findall(text)):
        count[found] = count.get(found, 0) + 1
    return [text for text, times in count.items() if times > 1]


def refer(scene: str, shared: Sequence[str]) -> str:
    """Commands with ``@<number>`` in the place of every shared text."""
    place = {text: number for number, text in enumerate(shared)}
    return _SHARED.sub(lambda match: f'"@{place[match[1]]}"' if match[1] in place else match[0], scene)
