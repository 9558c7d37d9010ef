"""Draw the README's pictures: ``python docs/pictures/draw.py``, after ``make repro`` and ``make own``, from the root.

They show nothing licensed: the road is a diagram, images, scans and people are the demo's.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sahmr.body.topology import load_topology
from sahmr.geometry.rays import Caster
from sahmr.geometry.rigid_numpy import apply_rigid, invert_rigid, project, unproject
from sahmr.report.panels import paint
from sahmr.shards.decode import StoredSample
from sahmr.shards.reader import ShardReader, read_index
from schemas.fields import from_table, read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]
Places = list[tuple[float, float]]  # on a canvas, pixels

HERE = Path(__file__).parent
RAW, DATA = Path("data/demo/RICH"), Path("data")
SHEET, CATALOG = Path("reports/rich_sheet.png"), Path("data/catalog/index.html")
OWN = Path("reports/own/people.html")  # of make own
SCANS = RAW / "scan_calibration"
KEY, SCAN = "LectureHall_003_wipingchairs1_1_00149_3", SCANS / "LectureHall/scan_chair_scene_camcoord.ply"

_WIDTH, _HEIGHT, _FINE = 448, 328, 4  # of a panel, pixels; drawn _FINE times larger and reduced
_INK, _PAPER, _LINE = (38, 40, 44), (255, 255, 255), (150, 154, 162)
_BODY, _TOUCHING, _BOX = (72, 168, 124), (206, 34, 84), (226, 128, 58)
_LIGHT = np.array([0.75, -0.75, 0.60]) / np.linalg.norm([0.75, -0.75, 0.60])  # towards the light, y down
_FOCAL = 0.98  # of the view from the side, panel widths


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font that comes with Pillow."""
    return ImageFont.load_default(size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One demo image: row of the frame table, stored sample, its true vertices (world frame, metres), picture."""

    record: FrameRecord
    stored: StoredSample
    body: Array
    image: Image.Image


def load_shot() -> Shot:
    """The image ``KEY`` with its ground truth."""
    records = from_table(read_table(DATA / "frames/rich.parquet", FRAME_SCHEMA), FrameRecord)
    record = next(record for record in records if record.key == KEY)
    entry = next(entry for entry in read_index(DATA / "shards/rich") if entry.key == KEY)
    image = Image.open(RAW / record.image_file).convert("RGB")
    stored = ShardReader(DATA / "shards/rich").decode(entry)
    assert stored.vertices_world is not None  # RICH-demo has ground truth
    return Shot(record=record, stored=stored, body=stored.vertices_world.astype(np.float64), image=image)


def enlarged(image: Image.Image) -> Image.Image:
    """An image at the size panels are drawn at."""
    return image.resize((_WIDTH * _FINE, _HEIGHT * _FINE), Image.Resampling.BICUBIC)


def on_panel(shot: Shot, full: Array) -> Array:
    """Full-image pixels [n, 2] to pixels of an :func:`enlarged` image."""
    placed: Array = (full + 0.5) / shot.stored.image_size * [_WIDTH * _FINE, _HEIGHT * _FINE]
    return placed


def photograph(shot: Shot) -> Image.Image:
    """The input: image and person box."""
    panel = enlarged(shot.image)
    corners = on_panel(shot, np.array(shot.record.person_box).reshape(2, 2))
    ImageDraw.Draw(panel).rectangle([tuple(corner) for corner in corners], outline=_BOX, width=3 * _FINE)
    return panel


def over_photograph(shot: Shot, faces: NDArray[np.int64]) -> Image.Image:
    """The true mesh over the image."""
    vertices = apply_rigid(shot.stored.camera_from_world, shot.body)
    full = project(vertices, shot.stored.intrinsics)
    base = np.asarray(enlarged(shot.image))
    canvas = base.copy()
    mask = paint(canvas, on_panel(shot, full), vertices[:, 2], vertices, faces, _BODY)
    share = mask[..., None] / 255.0 * 0.9
    return Image.fromarray(np.round(base * (1 - share) + canvas * share).astype(np.uint8))


def in_the_scan(shot: Shot, faces: NDArray[np.int64]) -> Image.Image:
    """The true mesh in the scan, seen from the side by rays; touching vertices and the image's camera drawn in."""
    scan = trimesh.load_mesh(SCAN, process=False)
    body, touching = shot.body, shot.stored.contact
    assert touching is not None  # RICH-demo has labels
    vertices = np.concatenate([scan.vertices, body])
    triangles = np.concatenate([scan.faces, faces + len(scan.vertices)])
    color = np.concatenate([np.full((len(scan.vertices), 3), 212.0), np.full((len(body), 3), _BODY)])
    side, up, forward, eye = _axes(shot, scan)
    width, height = _WIDTH * _FINE, _HEIGHT * _FINE
    rows, columns = np.mgrid[0:height, 0:width].reshape(2, -1) + 0.5
    scale = _FOCAL * width
    rays = forward + ((columns - width / 2) / scale)[:, None] * side - ((rows - height / 2) / scale)[:, None] * up
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    canvas = _cast(Caster(vertices, triangles), vertices, triangles, color, eye, rays).reshape(height, width, 3)
    panel = Image.fromarray(canvas)

    def place(points: Array) -> Places:
        seen = (points - eye) @ np.stack([side, up, forward]).T
        uv = seen[:, :2] / seen[:, 2:] * scale * [1, -1] + [width / 2, height / 2]
        return [(float(u), float(v)) for u, v in uv]

    draw = ImageDraw.Draw(panel)
    for u, v in place(body[touching]):
        draw.ellipse((u - _FINE, v - _FINE, u + _FINE, v + _FINE), fill=_TOUCHING)
    _draw_camera(draw, shot, place)
    return panel


def _axes(shot: Shot, scan: trimesh.Trimesh) -> tuple[Array, Array, Array, Array]:
    """Right, up and forward of a view from the side of both person and camera, and its eye; world frame."""
    floor = scan.face_normals[:, 1] < -0.8  # y is down, roughly
    up = (scan.face_normals[floor] * scan.area_faces[floor, None]).sum(axis=0)
    up /= np.linalg.norm(up)
    body, camera = shot.body, invert_rigid(shot.stored.camera_from_world)[:3, 3]
    person = (body.min(axis=0) + body.max(axis=0)) / 2
    away = np.cross(camera - person, up)
    target = person + 0.48 * (camera - person) - 0.10 * up
    eye = target - 4.0 * away / np.linalg.norm(away) + 0.75 * up
    forward = (target - eye) / np.linalg.norm(target - eye)
    side = np.cross(forward, up)
    side /= np.linalg.norm(side)
    return side, np.cross(side, forward), forward, eye


def _cast(
    caster: Caster, vertices: Array, triangles: NDArray[np.int64], color: Array, eye: Array, rays: Array
) -> Pixels:
    """Colors of rays [n, 3]: one light with hard shadows, and light from everywhere."""
    length, face, uv = caster.first(eye, rays)
    hit = face >= 0
    corners = triangles[face[hit]]
    first, second, third = (vertices[corners[:, corner]] for corner in range(3))
    normal = np.cross(second - first, third - first)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True).clip(1e-12)
    normal *= -np.sign(np.einsum("nk,nk->n", normal, rays[hit]))[:, None]  # towards the eye
    weight = np.stack([1 - uv[hit].sum(axis=1), uv[hit, 0], uv[hit, 1]], axis=1)
    albedo = np.einsum("nc,nck->nk", weight, color[corners])
    point = eye + length[hit, None] * rays[hit] + 4e-3 * normal
    lit = np.clip(normal @ _LIGHT, 0, 1) * ~caster.blocked(point, _LIGHT)
    shaded = np.full((len(rays), 3), 250.0)
    shaded[hit] = albedo * (0.62 + 0.10 * -normal[:, 1] + 0.42 * lit)[:, None]
    colors: Pixels = np.clip(shaded, 0, 255).astype(np.uint8)
    return colors


def _draw_camera(draw: ImageDraw.ImageDraw, shot: Shot, place: Callable[[Array], Places]) -> None:
    """The image's camera as a small pyramid."""
    width, height = shot.stored.image_size
    pixels = np.array([(0, 0), (width, 0), (width, height), (0, height)], dtype=np.float64)
    camera = np.concatenate([np.zeros((1, 3)), unproject(pixels, 0.5, shot.stored.intrinsics)])
    tip, *corners = place(apply_rigid(invert_rigid(shot.stored.camera_from_world), camera))
    for corner, following in zip(corners, [*corners[1:], corners[0]], strict=True):
        draw.line([tip, corner], fill=_INK, width=2 * _FINE)
        draw.line([corner, following], fill=_INK, width=2 * _FINE)


def draw_demo(path: Path) -> None:
    """Input, ground truth over the image, ground truth in the scan, side by side."""
    shot, faces = load_shot(), load_topology(DATA / "bodies").faces.numpy()
    panels = (
        (photograph(shot), "a demo image and the person box"),
        (over_photograph(shot, faces), "its true mesh, 6890 vertices"),
        (in_the_scan(shot, faces), "the same in the scan; red: vertices in contact"),
    )
    gap, caption = 8, 26
    sheet = Image.new("RGB", (3 * _WIDTH + 2 * gap, _HEIGHT + caption), _PAPER)
    for number, (panel, text) in enumerate(panels):
        left = number * (_WIDTH + gap)
        sheet.paste(panel.reduce(_FINE), (left, 0))
        ImageDraw.Draw(sheet).text((left + 2, _HEIGHT + 6), text, fill=_INK, font=font(14))
    sheet.quantize(256, kmeans=8).save(path, optimize=True)


# Title, two lines, stages that make it; on disk or in memory.
_ROAD = (
    ("raw", "RICH, PROX, SMPL-X", "as published, or the demo", "demo", True),
    ("records", "one row per person-image", "data/frames", "bodies, frames", True),
    ("shards + stores", "crops in WebDataset tars", "scans in Zarr", "scenes, shards, verify", True),
    ("batches", "image, camera, scene points", "class Batch", "", False),
    ("root & contact", "pelvis, touched scene points", "class RootContact", "train_rcnet", False),
    ("mesh", "6890 vertices", "class MeshPrediction", "train_sahmr", False),
    ("predictions", "any number of methods", "data/predictions", "predict, baseline", True),
    ("scores", "per image and method", "data/scores", "evaluate", True),
    ("catalog", "rows, bytes, sha256", "data/catalog", "catalog", True),
)
_GROUND = {True: (226, 238, 231), False: (255, 243, 228)}
_EDGE = {True: (72, 148, 110), False: (214, 140, 60)}


def draw_road(path: Path) -> None:
    """The sentence of the project as boxes: what lies between two arrows, and the stages that make it."""
    box, gap, edge, top, row, scale = (228, 92), 46, 26, 34, 160, 3
    sheet = Image.new("RGB", (1364 * scale, 296 * scale), _PAPER)
    draw = ImageDraw.Draw(sheet)

    def text(x: float, y: float, content: str, size: int, color: tuple[int, int, int] = _INK) -> None:
        draw.text((x * scale, y * scale), content, fill=color, font=font(size * scale), anchor="ma")

    def arrow(points: list[tuple[float, float]]) -> None:
        x, y = points[-1]
        draw.line([(a * scale, b * scale) for a, b in points], fill=_LINE, width=3 * scale, joint="curve")
        head = [(x, y), (x - 11, y - 6), (x - 11, y + 6)]
        draw.polygon([(a * scale, b * scale) for a, b in head], fill=_LINE)

    for number, (title, first, second, stages, is_disk) in enumerate(_ROAD):
        column, line = (number, 0) if number < 4 else (number - 4, 1)
        left, upper = edge + column * (box[0] + gap), top + line * row
        middle = upper + box[1] / 2
        frame = [value * scale for value in (left, upper, left + box[0], upper + box[1])]
        draw.rounded_rectangle(frame, 10 * scale, fill=_GROUND[is_disk], outline=_EDGE[is_disk], width=2 * scale)
        text(left + box[0] / 2, upper + 10, title, 22)
        text(left + box[0] / 2, upper + 43, first, 15)
        text(left + box[0] / 2, upper + 64, second, 15, (96, 100, 108))
        text(left + box[0] / 2, upper - 24, stages, 15, _EDGE[is_disk])
        if number not in (0, 4):
            arrow([(left - gap + 5, middle), (left - 4, middle)])
    right, low = edge + 3 * (box[0] + gap) + box[0], top + box[1] / 2
    turn = top + box[1] + 24
    draw.line(
        [(x * scale, y * scale) for x, y in ((right + 5, low), (right + 22, low), (right + 22, turn), (8, turn))],
        fill=_LINE, width=3 * scale, joint="curve",
    )  # fmt: skip
    arrow([(8, turn), (8, low + row), (edge - 3, low + row)])
    for place, (is_disk, label) in enumerate(((True, "on disk, with a schema"), (False, "in memory, a frozen class"))):
        x, y = edge + 4 * (box[0] + gap), top + 26 + 28 * place
        draw.rectangle(
            [value * scale for value in (x, y, x + 16, y + 16)], fill=_GROUND[is_disk], outline=_EDGE[is_disk], width=6
        )
        draw.text(((x + 24) * scale, (y - 1) * scale), label, fill=_INK, font=font(15 * scale))
    corner = ((edge + 4 * (box[0] + gap)) * scale, (top + 82) * scale)
    draw.text(corner, "above a box: its stages", fill=_INK, font=font(15 * scale))
    sheet.reduce(scale).quantize(128).save(path, optimize=True)


def draw_sheet(path: Path, width: int = 780) -> None:
    """The left half of the sheet of the RICH test images, small enough for a page."""
    with Image.open(SHEET) as sheet:
        half = sheet.convert("RGB").crop((0, 0, sheet.width // 2 + 4, sheet.height))
    small = half.resize((width, round(half.height * width / half.width)), Image.Resampling.LANCZOS)
    small.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE).save(path, optimize=True)


def draw_catalog(path: Path, width: int = 820) -> None:
    """The catalog's page in Chromium: its head, and the frame of the largest error with its lineage."""
    sys.path.insert(0, str(HERE.parents[1]))  # the tests are not installed
    from tests.worlds.browser import Browser

    with Browser(1180) as browser:
        browser.open(CATALOG)
        browser.wait_for("!!document.documentElement.dataset.ready")
        browser.run("[...document.querySelectorAll('#head button')].at(-1).click()")
        browser.run("document.querySelector('#rows').style.height = '196px'")
        browser.run("document.querySelector('#rows .row').click()")
        browser.run("document.querySelector('dl').before(document.createElement('hr'))")
        end = int(browser.run("document.querySelector('hr').getBoundingClientRect().top + scrollY"))
        parts = [browser.picture()[: end - 8], browser.picture("#frames")]
    sheet = Image.new("RGB", (1180, sum(len(part) for part in parts)), (250, 250, 248))
    sheet.paste(Image.fromarray(parts[0]), (0, 0))
    sheet.paste(Image.fromarray(parts[1]), ((1180 - parts[1].shape[1]) // 2, len(parts[0])))
    small = sheet.resize((width, round(sheet.height * width / sheet.width)), Image.Resampling.LANCZOS)
    small.quantize(128, method=Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE).save(path, optimize=True)


def draw_photo(path: Path, width: int = 900) -> None:
    """The check picture of the demo image, as the tool for one photograph draws it."""
    from pipelines.predict_photo import CHECK, main

    shot = load_shot()
    size = {"width": shot.record.image_width, "height": shot.record.image_height}
    pose = {"camera_from_world": shot.stored.camera_from_world.tolist(), "convention": "opencv", "units": "metres"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        camera = folder / "camera.json"
        camera.write_text(json.dumps({**size, **pose, "K": shot.stored.intrinsics.tolist()}))
        options = {
            "scene": SCAN, "camera": camera, "image": RAW / shot.record.image_file, "cache": folder / "cache",
            "box": ",".join(f"{side:.0f}" for side in shot.record.person_box), "output": folder / "out",
        }  # fmt: skip
        main([*(word for key, value in options.items() for word in (f"--{key}", str(value))), "--check-only"])
        with Image.open(folder / "out" / CHECK) as picture:
            small = picture.resize((width, round(picture.height * width / picture.width)), Image.Resampling.LANCZOS)
    small.quantize(128, method=Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE).save(path, optimize=True)


def draw_own(path: Path, height: int = 180, gap: int = 3) -> None:
    """The first person-image of each scene of ``make own``'s page: photograph, mesh over it, mesh in the scan."""
    rows = []
    for group in OWN.read_text().split("<h3>Scene ")[1:]:
        found = re.findall(r'<img src="data:image/\w+;base64,([^"]+)"', group)[:3]
        pictures = [Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB") for content in found]
        rows += [
            one.resize((round(one.width * height / one.height), height), Image.Resampling.LANCZOS) for one in pictures
        ]
    sheet = Image.new("RGB", (sum(one.width + gap for one in rows) - gap, height), _PAPER)
    left = 0
    for one in rows:
        sheet.paste(one, (left, 0))
        left += one.width + gap
    sheet.quantize(256, method=Image.Quantize.MEDIANCUT, kmeans=2, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    if OWN.is_file():
        draw_own(HERE / "own.png")
    draw_photo(HERE / "photo.png")
    draw_catalog(HERE / "catalog.png")
    draw_sheet(HERE / "sheet.png")
    draw_road(HERE / "road.png")
    draw_demo(HERE / "demo.png")
