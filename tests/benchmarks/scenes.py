"""Scan conversion at real size: an open room of a million triangles. Part of ``make bench``.

Seconds and peak memory of one process that reads the scan and writes voxels and distance field, then both against
brute force: distances at random samples, signs where the room's walls decide them, voxels by dense sampling.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import trimesh

from sahmr.scenes.build import Scenes, create_store, read_scan, write_scene
from sahmr.scenes.signed_distance import EXACT_WITHIN_M
from sahmr.scenes.store import load_scene
from schemas.scene import SceneRecord
from tests.benchmarks.figures import record
from tests.imports import ROOT

SIZE = np.array([10.0, 5.0, 10.0])  # metres; y points down, as in RICH
NOISE_M, PITCH_M = 0.003, 0.02
_SEED = 66


def patch(origin: np.ndarray, u: np.ndarray, v: np.ndarray, step: float, rng: np.random.Generator) -> np.ndarray:
    """Triangles of a bumpy parallelogram whose rim is straight; the front is the side of ``u x v``."""
    counts = [max(1, round(float(np.linalg.norm(side)) / step)) for side in (u, v)]
    a, b = np.meshgrid(*(np.linspace(0, 1, count + 1) for count in counts), indexing="ij")
    front = np.cross(u, v) / np.linalg.norm(np.cross(u, v))
    bumps = np.zeros(a.shape)
    bumps[1:-1, 1:-1] = rng.normal(size=a.shape)[1:-1, 1:-1] * NOISE_M
    grid = origin + a[..., None] * u + b[..., None] * v + bumps[..., None] * front
    p00, p10, p11, p01 = grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]
    return np.concatenate([np.stack(three, axis=2).reshape(-1, 3, 3) for three in ((p00, p10, p11), (p00, p11, p01))])


def open_room(step: float) -> np.ndarray:
    """Floor, three walls and twelve boxes, no ceiling: 1.1 million triangles at a step of 24 mm."""
    rng = np.random.default_rng(_SEED)
    x, y, z = np.diag(SIZE)
    zero = np.zeros(3)
    parts = [patch(*sides, step, rng) for sides in ((y, x, z), (zero, y, z), (zero, x, y), (z, y, x))]
    for _ in range(12):
        size = rng.uniform(0.3, [1.5, 1.6, 1.5])
        low = rng.uniform([1, 0, 1], SIZE - [2, 0, 2])
        low[1] = SIZE[1] - size[1] - 0.02  # nothing pokes through the bumpy floor
        for k in range(3):
            w, u, v = np.roll(np.diag(size), -k, axis=0)
            parts.append(patch(low, v, u, step, rng))
            if k != 1:  # a scanner sees no undersides
                parts.append(patch(low + w, u, v, step, rng))
    return np.concatenate(parts)


def peak_mb() -> int:
    """Most memory this process ever held; ``getrusage`` would count its parent's too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))


def convert(folder: Path, spacing_m: float) -> dict[str, float]:
    """Read ``room.ply`` and write it as a store; what it took."""
    settings = Scenes(voxel_pitch_m=PITCH_M, sdf_spacing_m=spacing_m, sdf_margin_m=0.5, sdf_max_samples=2**24)
    record = SceneRecord(
        scene_key="room",
        dataset="rich",
        scan_file="room.ply",
        scan_sha256="0" * 64,
        sdf_file=None,
        sdf_info_file=None,
        sdf_sha256=None,
        sdf_info_sha256=None,
    )
    create_store(folder / "rich.zarr", "rich")
    start, processor = time.perf_counter(), time.process_time()
    receipt = write_scene(record, store=folder / "rich.zarr", raw_root=folder, settings=settings)
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - processor, 1),
        "peak_mb": peak_mb(),
        "voxels": receipt.num_points,
        "samples": receipt.num_samples,
    }


def brute_force(triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Unsigned distance by trimesh's formula, over all faces whose bounding ball may hold the nearest point."""
    middle = triangles.mean(axis=1)
    radius = np.linalg.norm(triangles - middle[:, None], axis=2).max(axis=1)
    found = np.empty(len(points))
    for row, point in enumerate(points):
        away = np.linalg.norm(middle - point, axis=1)
        near = triangles[away - radius <= (away + radius).min()]
        closest = trimesh.triangles.closest_point(near, np.broadcast_to(point, (len(near), 3)))
        found[row] = np.linalg.norm(closest - point, axis=1).min()
    return found


def errors(folder: Path, count: int) -> dict[str, float]:
    """Field and voxels of the store against the scan."""
    triangles, scene = read_scan(folder / "room.ply"), load_scene(folder / "rich.zarr", "room")
    rng = np.random.default_rng(_SEED)
    values, lower = scene.sdf.numpy(), np.array(scene.attributes["sdf_min"])
    spacing = np.array(scene.attributes["sdf_spacing_m"])
    report = {}
    for name, rows in (
        ("near", np.flatnonzero(np.abs(values) <= EXACT_WITHIN_M)),
        ("beyond", np.flatnonzero(np.abs(values) > EXACT_WITHIN_M)),
    ):
        chosen = np.stack(np.unravel_index(rng.choice(rows, count, replace=False), values.shape), axis=1)
        excess = np.abs(values[tuple(chosen.T)]) - brute_force(triangles, lower + chosen * spacing)
        report[f"{name}_max_mm"] = round(1000 * float(np.abs(excess).max()), 4)
        report[f"{name}_too_near_mm"] = round(-1000 * min(0.0, float(excess.min())), 4)
    axes = [start + step * np.arange(side) for start, step, side in zip(lower, spacing, values.shape, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    low, high = 2 * spacing[0] + 4 * NOISE_M, SIZE - (2 * spacing[0] + 4 * NOISE_M)
    behind = (y > high[1] + 2 * low) & (x > 1) & (x < high[0]) & (z > 1) & (z < high[2])
    free = (y > low) & (y < SIZE[1] - 1.8) & (x > low) & (x < high[0]) & (z > low) & (z < high[2])
    report["wrong_signs"] = int((values[behind] > 0).sum() + (values[free] < 0).sum())
    report["signs_checked"] = int(behind.sum() + free.sum())
    weights = rng.dirichlet(np.ones(3), 10**6)
    sampled = np.einsum("nk,nkd->nd", weights, triangles[rng.integers(0, len(triangles), 10**6)])
    inside = np.abs(sampled / PITCH_M % 1 - 0.5).max(axis=1) < 0.5 - 1e-6  # rounding decides on a voxel's very face
    cells = np.unique(np.floor(sampled[inside] / PITCH_M).astype(np.int64), axis=0)
    known = {row.tobytes() for row in np.floor(scene.points.numpy() / PITCH_M).astype(np.int64)}
    report["sampled_voxels_missing"] = sum(row.tobytes() not in known for row in cells)
    return report


def measure(step: float, spacing_m: float, count: int) -> dict[str, float]:
    """Make the scan, convert it in a process of its own, compare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        triangles = open_room(step)
        mesh = trimesh.Trimesh(triangles.reshape(-1, 3), np.arange(3 * len(triangles)).reshape(-1, 3), process=False)
        mesh.merge_vertices()
        mesh.export(folder / "room.ply")
        command = [sys.executable, "-m", "tests.benchmarks.scenes", "--convert", name, "--spacing", str(spacing_m)]
        taken = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
        return {"triangles": len(triangles), "spacing_m": spacing_m, **taken, **errors(folder, count)}


def main() -> None:
    """Print one line of JSON per grid step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=float, default=0.0235, help="edge of the scan's faces, metres")
    parser.add_argument("--spacing", type=float, nargs="+", default=[0.06, 0.036])
    parser.add_argument("--count", type=int, default=500, help="samples compared with brute force, near and beyond")
    parser.add_argument("--convert", type=Path, help="only convert this folder's room.ply, and print what it took")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.convert:
        print(json.dumps(convert(args.convert, args.spacing[0])))
        return
    found = []
    for spacing_m in args.spacing:
        found.append(measure(args.step, spacing_m, args.count))
        print(json.dumps(found[-1]), flush=True)
    record(args.out, "python -m tests.benchmarks.scenes", found)


if __name__ == "__main__":
    main()
