"""Lists and measures a RICH training split of the published size, fabricated from a few files by hard links.

261 429 image names (JPEG headers that say 4112x3008) and 37 679 bodies with contact labels, made from the demo's
bodies; only names, headers and bodies cost time, so real trees add the hashing of their image bytes. Prints seconds
per part on one core and the peak memory, then the seconds and the memory of the stage ``frames``, its workers
included. ``--keep FOLDER`` leaves the tree and its params.yaml.
"""

import argparse
import contextlib
import errno
import io
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import psutil
import yaml
from PIL import Image

from pipelines import bodies as bodies_stage
from pipelines import raw_check
from sahmr.body.files import find_body_files
from sahmr.body.transfer import TRANSFER_FILE, read_transfer, write_transfer
from sahmr.demo.generate import Demo, Trees, generate
from sahmr.demo.publishers import containers as files
from sahmr.demo.publishers.rich_plan import TINY
from sahmr.readers.calibration import read_rich_calibration
from sahmr.readers.registry import open_reader
from sahmr.readers.rich_listing import RichRules
from tests.benchmarks.figures import record

ROOT = Path(__file__).parents[2]
DIVISOR = 16
# Capture -> cameras, sequences of the published training table (formats a.2, a.5), and the demo's scan of that name.
CAPTURES = {
    "BBQ": (8, 2, "scan_camcoord"),
    "LectureHall": (7, 3, "scan_chair_scene_camcoord"),
    "ParkingLot1": (8, 18, "scan_camcoord"),
    "ParkingLot2": (6, 23, "scan_camcoord"),
    "Pavallion": (7, 16, "scan_camcoord"),
}
IMAGES, BODIES = 261_429, 37_679
SUBJECTS = {"ParkingLot1": (4, 5), "Pavallion": (3, 18)}  # of the two sequences with two people
SINGLE = 7
MOVING = 10  # uncalibrated camera that gets the images left over
RULES = RichRules(multi_person=())


class Linker:
    """Hard links to a source file, with a new source whenever the file system allows no more links to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources: dict[str, str] = {}

    def link(self, name: str, content: bytes, place: str) -> None:
        """Put ``content``, known as ``name``, at ``place``."""
        try:
            os.link(self.sources[name], place)
        except (KeyError, OSError) as problem:
            if isinstance(problem, OSError) and problem.errno != errno.EMLINK:
                raise
            source = self.folder / f"{name}.{time.monotonic_ns()}"
            source.write_bytes(content)
            self.sources[name] = str(source)
            os.link(source, place)


def jpeg_header(width: int = 4112, height: int = 3008) -> bytes:
    """A JPEG cut after its headers; says its size and holds no pixels."""
    stream = io.BytesIO()
    Image.new("RGB", (width, height)).save(stream, "JPEG")
    return stream.getvalue()[:800]


def full_size_xml(path: Path) -> bytes:
    """The demo's calibration with intrinsics of the published size."""
    calibration = read_rich_calibration(path)
    intrinsics = np.array(calibration.intrinsics).reshape(3, 3) * [[DIVISOR], [DIVISOR], [1]]
    return files.calibration_xml(np.array(calibration.camera_from_world).reshape(4, 4)[:3], intrinsics)


def sequences() -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """Capture, name and subjects of every fabricated sequence."""
    for capture, (_, count, _) in CAPTURES.items():
        for number in range(count):
            people = SUBJECTS.get(capture, (SINGLE,)) if number == 0 else (SINGLE,)
            yield capture, f"{capture}_{'_'.join(f'{s:03d}' for s in people)}_made{number:02d}", people


def fabricate(demo: Path, root: Path, *, suffix: str) -> None:
    """Write the tree; ``suffix`` is .ply or .pkl, the body files."""
    linker = Linker(root.with_name("sources"))
    linker.folder.mkdir()
    picture = jpeg_header()
    tracks = [(capture, name, subject) for capture, name, people in sequences() for subject in people]
    frames = dict.fromkeys({name for _, name, _ in tracks}, BODIES // len(tracks))
    left = BODIES - sum(frames[name] for _, name, _ in tracks)
    for _, name, people in sequences():
        if left and len(people) == 1:
            frames[name], left = frames[name] + 1, left - 1
    rows = [("sequence_name", "capture_name", "scan_name", "id", "moving_cam", "gender", "view_id")]
    images = 0
    for capture, (cameras, _, scan) in CAPTURES.items():
        place = root / "scan_calibration" / capture
        shutil.copytree(demo / "scan_calibration" / capture, place)
        known = sorted((place / "calibration").glob("*.xml"))
        for camera, text in enumerate([full_size_xml(known[c % len(known)]) for c in range(cameras)]):
            (place / "calibration" / f"{camera:03d}.xml").write_bytes(text)
        body = next(path for path in sorted((demo / "bodies/train").glob(f"{capture}_*/*/*{suffix}")))
        contact = next(path for path in sorted((demo / "human_scene_contact/train").glob(f"{capture}_*/*/*.pkl")))
        sources = {
            f"body-{capture}{suffix}": body.read_bytes(),
            f"contact-{capture}.pkl": contact.read_bytes(),
            f"contact-{capture}.obj": contact.with_suffix(".obj").read_bytes()[:4000],
        }
        for _, name, people in (row for row in sequences() if row[0] == capture):
            for camera in range(cameras):
                images += link_images(linker, root, name, camera, frames[name], picture)
            for subject in people:
                rows.append((name, capture, scan, str(subject), "X", "male", ",".join(str(c) for c in range(cameras))))
                for frame in range(1, frames[name] + 1):
                    link_body(linker, root, name, frame, f"{subject:03d}", sources)
    for _, name, _ in sequences():
        count = min(IMAGES - images, frames[name])
        images += link_images(linker, root, name, MOVING, count, picture) if count else 0
    files.put(root / "resource/meta/train.txt", files.table(rows))


def link_images(linker: Linker, root: Path, sequence: str, camera: int, count: int, picture: bytes) -> int:
    place = f"{root}/images/train/{sequence}/cam_{camera:02d}"
    Path(place).mkdir(parents=True)
    for frame in range(1, count + 1):
        linker.link("picture.jpeg", picture, f"{place}/{frame:05d}_{camera:02d}.jpeg")
    return count


def link_body(linker: Linker, root: Path, sequence: str, frame: int, subject: str, sources: dict[str, bytes]) -> None:
    for name, content in sources.items():
        kind = "bodies" if name.startswith("body") else "human_scene_contact"
        place = f"{root}/{kind}/train/{sequence}/{frame:05d}"
        Path(place).mkdir(parents=True, exist_ok=True)
        linker.link(name, content, f"{place}/{subject}{Path(name).suffix}")


def write_params(folder: Path) -> None:
    """What the stage needs to run over the tree."""
    names = ("bodies", "frames", "scenes", "shards", "models", "predictions", "scores", "reports", "catalog", "work")
    params = {
        "raw": {"rich": "RICH"},
        "paths": {name: f"out/{name}" for name in names},
        "frames": {"rich": {**asdict(RULES), "multi_person": []}},
        "parallel": {"workers": 2, "loaders": 0, "threads": 1},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def prepare(folder: Path, *, suffix: str) -> None:
    """Tree, clean bodies and params.yaml in an empty folder."""
    made = folder / "demo"
    raw = Trees(rich=made / "RICH", prox=made / "PROX", bodies=folder / "body_models")
    generate(raw, Demo(seed=7, image_divisor=DIVISOR), size=TINY)
    found = find_body_files(raw.bodies)
    clean = folder / "out/bodies"
    clean.mkdir(parents=True)
    write_transfer(clean / TRANSFER_FILE, read_transfer(found.transfer))
    bodies_stage.write_models(found, clean, bodies_stage.Bodies(raw=raw.bodies, num_betas=10))
    fabricate(raw.rich, folder / "RICH", suffix=suffix)
    write_params(folder)


def main() -> None:
    """Fabricate, list, measure a sample of the bodies, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bodies", choices=("ply", "pkl"), default="ply")
    parser.add_argument("--sample", type=int, default=2000, help="bodies to measure, spread over all; 0: all")
    parser.add_argument("--keep", type=Path, help="an empty or new folder for the tree; if it holds one, that is used")
    parser.add_argument("--no-stage", action="store_true", help="do not run the stage, with two workers")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        if not (folder / "params.yaml").is_file():
            start = time.perf_counter()
            prepare(folder, suffix=f".{args.bodies}")
            print(f"fabricate      {time.perf_counter() - start:7.1f} s")
        found = report(folder, args.sample)
        if not args.no_stage:
            found |= run_stage(folder)
    record(args.out, f"python -m tests.benchmarks.listing --bodies {args.bodies}", found)


def run_stage(folder: Path) -> dict[str, float]:
    """The stage from an empty work store: wall time, and the largest sum of memory of its processes (shared once)."""
    shutil.rmtree(folder / "out/work", ignore_errors=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pipelines.frames", "--dataset", "rich"]
    start, used, peak = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN), 0
    with subprocess.Popen(command, cwd=folder, env=environment) as process:
        while process.poll() is None:
            peak = max(peak, tree_memory(psutil.Process(process.pid)))
            time.sleep(0.5)
    wall, done = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = done.ru_utime - used.ru_utime + done.ru_stime - used.ru_stime
    print(f"stage frames   {wall:7.1f} s   {cpu:.1f} s of processor time, 2 workers, exit {process.returncode}")
    print(f"its peak memory{peak / 1e9:7.2f} GB")
    if process.returncode:
        raise SystemExit(process.returncode)
    return {"stage_s": round(wall, 1), "stage_cpu_s": round(cpu, 1), "stage_peak_gb": round(peak / 1e9, 2)}


def tree_memory(process: psutil.Process) -> int:
    """Bytes of a process and its children, shared pages split between them."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):  # ended meanwhile
            total += one.memory_full_info().pss
    return total


def report(folder: Path, sample: int) -> dict[str, float]:
    """Time the raw check of the tree, and the reader's two methods, in this process."""
    start, used = time.perf_counter(), time.process_time()
    problems = raw_check.check_tree("rich", folder / "RICH", RULES, bodies=folder / "out/bodies")
    checked = time.perf_counter() - start
    print(f"raw check      {checked:7.1f} s   {time.process_time() - used:.1f} s of processor time; {problems}")
    reader = open_reader("rich", folder / "RICH", bodies=folder / "out/bodies", rules=RULES)
    start = time.perf_counter()
    listing = reader.list_bodies()
    listed = time.perf_counter() - start
    views = sum(len(task.views) for task in listing.tasks)
    counts = {tally.rule: tally.count for tally in listing.dropped}
    print(f"list_bodies    {listed:7.1f} s   {len(listing.tasks)} bodies, {views} images; dropped {counts}")
    step = max(1, len(listing.tasks) // sample) if sample else 1
    tasks = listing.tasks[::step]
    reader.measure(tasks[0])  # loads the transfer matrix
    start = time.process_time()  # a busy machine must not count: the sample is scaled up
    kept = sum(len(reader.measure(task).records) for task in tasks)
    each = (time.process_time() - start) / len(tasks)
    print(
        f"measure        {each * len(listing.tasks):7.1f} s   {each * 1000:.2f} ms per body, {kept} of its images kept"
    )
    print(f"both           {listed + each * len(listing.tasks):7.1f} s   on one core")
    print(f"peak memory    {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:7.2f} GB")
    return {
        "raw_check_s": round(checked, 1),
        "images": views,
        "bodies": len(listing.tasks),
        "list_s": round(listed, 1),
        "measure_one_core_s": round(each * len(listing.tasks), 1),
    }


if __name__ == "__main__":
    main()
