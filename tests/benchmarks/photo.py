"""One photograph in a scan of a million triangles, by the command line as users start it. Part of ``make bench``.

Wall clock and processor time from the start of Python to its end, without and with a scan that is kept; the demo
network of ``make repro`` predicts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from tests.benchmarks.figures import record
from tests.benchmarks.scenes import open_room
from tests.imports import ROOT

SIZE = (1280, 960)


def write_input(folder: Path, step: float) -> int:
    """Scan, camera and a photograph of noise; the number of triangles."""
    triangles = open_room(step)
    mesh = trimesh.Trimesh(triangles.reshape(-1, 3), np.arange(3 * len(triangles)).reshape(-1, 3), process=False)
    mesh.merge_vertices()
    mesh.export(folder / "room.ply")
    camera = np.diag([-1.0, 1, -1, 1])
    camera[:3, 3] = -camera[:3, :3] @ (5, 3.4, 8)
    content = {
        "width": SIZE[0], "height": SIZE[1], "fx": 1000, "fy": 1000, "cx": 639.5, "cy": 479.5, "units": "metres",
        "camera_from_world": camera.tolist(), "convention": "opencv",
    }  # fmt: skip
    (folder / "camera.json").write_text(json.dumps(content))
    noise = np.random.default_rng(0).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(SIZE).save(folder / "photo.jpg")
    return len(mesh.faces)


def predict(folder: Path, output: str) -> dict[str, float]:
    """Run the tool once; what it took, with the process that makes voxels and field; of memory the larger of both."""
    command = [
        sys.executable, "-m", "pipelines.predict_photo", "--scene", str(folder / "room.ply"), "--scan-unit", "metres",
        "--camera", str(folder / "camera.json"), "--image", str(folder / "photo.jpg"), "--box", "540,300,740,800",
        "--cache", str(folder / "cache"), "--output", str(folder / output),
    ]  # fmt: skip
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)  # of this run alone
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": used.ru_maxrss // 1024,
    }


def main() -> None:
    """Print one line of JSON: cold, and again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", type=float, default=0.024, help="edge of the scan's faces, metres")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if not (ROOT / "data/models/sahmr.pt").is_file():
        print("no data/models/sahmr.pt: run make repro first; nothing measured")
        return
    with tempfile.TemporaryDirectory() as name:
        triangles = write_input(Path(name), args.step)
        found = {"triangles": triangles, "cold": predict(Path(name), "a"), "kept": predict(Path(name), "b")}
    print(json.dumps(found))
    record(args.out, "python -m tests.benchmarks.photo", found)


if __name__ == "__main__":
    main()
