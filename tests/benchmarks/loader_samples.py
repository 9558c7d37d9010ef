"""Training samples per second of one core: ours against the authors' Dataset, equal crops. Part of ``make bench``.

After ``make repro``. Both give the same training samples of RICH-demo in turns, one by one, in one thread. What counts
is processor time, as the machine may be shared: medians of all samples. Theirs opens the demo's own images (685x501;
the real ones have 1028x752), parameter pickles and packed labels. Then ours by threads and by processes, alone
and beside the steps of a training.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
import torch

from sahmr.batches.dataset import SampleDataset
from sahmr.batches.loader import DecodeIn, SampleLoader, make_loader
from sahmr.body.topology import load_topology
from sahmr.losses import weighted_sum
from sahmr.network.size import OWN
from sahmr.scenes.store import load_points
from sahmr.scenes.views import make_view, points_in_crop
from sahmr.scenes.visible import block_points, visible_points
from sahmr.structures import Batch
from sahmr.training.build import build_network
from sahmr.training.mesh_task import MeshTask, MeshWeights
from sahmr.training.tasks import RootContactTask, RootContactWeights, Task
from schemas.fields import read_table
from schemas.frame import FRAME_SCHEMA
from tests.benchmarks.authors_dataset import Meta, load_bodies, make_image, make_points, make_targets
from tests.benchmarks.figures import record

DATA = Path("data")
EPOCHS = 2
MEAN, SPREAD = (torch.tensor(three)[:, None, None] for three in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def their_files(samples: SampleDataset, folder: Path) -> dict[str, dict[str, Any]]:
    """By key, what their index says of a sample; labels packed as they pack them."""
    rows = read_table(DATA / "frames/rich.parquet", FRAME_SCHEMA).to_pylist()
    raw, found = DATA / "demo/RICH", {}
    for row in rows:
        if row["split"] != samples.split:
            continue
        contact = samples[samples.number(row["key"])].vertex_contact
        labels = np.zeros(6890, bool) if contact is None else contact.numpy()
        np.save(folder / f"{row['key']}.npy", np.packbits(labels))
        found[row["key"]] = {
            "image_file": raw / row["image_file"],
            "body_file": (raw / row["body_file"]).with_suffix(".pkl"),
            "contact_file": folder / f"{row['key']}.npy",
            "gender": row["gender"],
            "scene_key": row["scene_key"],
            "intrinsics": np.array(row["intrinsics"]).reshape(3, 3),
            "camera_from_world": np.array(row["camera_from_world"]).reshape(4, 4),
        }
    return found


def cpu_ms(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    made = work()
    return 1000 * (time.process_time() - start), made


def compare(samples: SampleDataset, folder: Path, epochs: int) -> dict[str, Any]:
    """Milliseconds of each part of theirs and of ours, and how far what they give differs."""
    files, bodies = their_files(samples, folder), load_bodies(DATA / "bodies")
    scenes = {key: load_points(samples.scenes, key) for key in {row["scene_key"] for row in files.values()}}
    taken: dict[str, list[float]] = {name: [] for name in ("ours", "image", "points", "targets")}
    grey, points = [], []
    for epoch in range(epochs):
        for number in range(len(samples)):
            ms, sample = cpu_ms(lambda place=(epoch, number): samples[place])
            taken["ours"].append(ms)
            meta = Meta(**files[sample.key], box=sample.crop_box.double().numpy())
            for name, work in (
                ("image", lambda meta=meta: make_image(meta)),
                ("points", lambda meta=meta: make_points(meta, scenes)),
                ("targets", lambda meta=meta: make_targets(meta, bodies)),
            ):
                ms, made = cpu_ms(work)
                taken[name].append(ms)
                if name == "image":
                    grey.append(float(((made * SPREAD + MEAN) * 255 - sample.image).abs().mean()))
                elif name == "points":
                    points.append(abs(len(made) - len(sample.scene_camera)) / max(1, len(made)))
    ms = {name: statistics.median(values) for name, values in taken.items()}
    whole = statistics.median(map(sum, zip(taken["image"], taken["points"], taken["targets"], strict=True)))
    return {
        "samples": len(taken["ours"]),
        "ms": {name: round(value, 2) for name, value in (*ms.items(), ("theirs", whole))},
        "samples_per_s": {"ours": round(1000 / ms["ours"]), "theirs": round(1000 / whole)},
        "ratio": round(whole / ms["ours"], 2),
        "ratio_image_and_points": round((ms["image"] + ms["points"]) / ms["ours"], 2),
        "ratio_image_alone": round(ms["image"] / ms["ours"], 2),
        "grey_levels_apart": round(statistics.median(grey), 2),
        "points_more_or_less": round(max(points), 6),
    }


def spent() -> float:
    """Processor seconds of this process and of its workers."""
    me = psutil.Process()
    uses = [each.cpu_times() for each in (me, *me.children(recursive=True))]
    return float(sum(use.user + use.system for use in uses))


def by_workers(samples: SampleDataset, batches: int = 12, size: int = 16) -> dict[str, dict[str, float]]:
    """Batches by threads and by processes: samples by the clock, processor time of each; best of two rounds."""
    found: dict[str, list[tuple[float, float]]] = {}
    loaders = _loaders(samples, (0, 1, 2), size, batches)
    for turn in range(3):
        for name, loader in loaders.items():
            cpu, start = spent(), time.perf_counter()
            count = sum(len(batch.keys) for batch in loader.epoch(turn))
            if turn:  # the first fills what is kept
                taken = time.perf_counter() - start
                found.setdefault(name, []).append((count / taken, 1000 * (spent() - cpu) / count))
    return {
        name: {"samples_per_s": round(max(rate for rate, _ in values)), "cpu_ms": round(min(ms for _, ms in values), 2)}
        for name, values in found.items()
    }


def beside_training(samples: SampleDataset, stage: str, rounds: int) -> dict[str, dict[str, float]]:
    """Steps of a training, each round by every loader in turn: ms an image, and their ratios to one process's."""
    step, found = make_step(stage), dict[str, list[tuple[float, float, float]]]()
    loaders = _loaders(samples, (0, 1), 8, 4 if stage == "train_rcnet" else 3)
    for turn in range(rounds + 1):
        for name, loader in loaders.items():
            cpu, start, waited, count = spent(), time.perf_counter(), 0.0, 0
            batches = loader.epoch(turn)
            while True:
                asked = time.perf_counter()
                batch = next(batches, None)
                waited += time.perf_counter() - asked
                if batch is None:
                    break
                step(batch)
                count += len(batch.keys)
            ms = 1000 / count
            took = (ms * (spent() - cpu), ms * (time.perf_counter() - start), ms * waited)
            if turn:
                found.setdefault(name, []).append(took)
    made: dict[str, dict[str, float]] = {}
    for name, values in found.items():
        made[name] = {
            what: round(statistics.median(value[place] for value in values), 1)
            for place, what in enumerate(("cpu_ms", "clock_ms", "waited_ms"))
        }
        pairs = list(zip(values, found["1 processes"], strict=True))
        for place, what in enumerate(("cpu", "clock")):
            made[name][f"{what}_ratio"] = round(statistics.median(one[place] / other[place] for one, other in pairs), 3)
    return made


def make_step(stage: str) -> Callable[[Batch], None]:
    """A step of a training of the demo's size, from random weights."""
    topology = load_topology(DATA / "bodies")
    torch.manual_seed(0)
    network = build_network("demo", OWN, topology, backend="native").eval()
    task: Task = RootContactTask(
        topology=topology, loss_weights=RootContactWeights(part_maps_flipped=0.0), pitch_m=0.02
    )
    if stage == "train_sahmr":
        task = MeshTask(topology=topology, loss_weights=MeshWeights(edges=30.0, normals=0.3), train_upsampling=False)
    task.trained(network).train()
    optimizer = torch.optim.Adam(task.parameters(network), lr=1e-5, fused=True)
    generator = torch.Generator().manual_seed(0)

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        weighted_sum(task.losses(network, batch, generator), task.weights).mean().backward()
        optimizer.step()

    return step


def _loaders(samples: SampleDataset, counts: Sequence[int], size: int, steps: int) -> dict[str, SampleLoader]:
    kinds: dict[str, DecodeIn] = {"processes": "processes", "threads": "threads"}
    return {
        f"{count} {name}": make_loader(
            samples, batch_size=size, seed=1, num_workers=count, decode_in=kind, steps_per_epoch=steps
        )
        for name, kind in kinds.items()
        for count in counts
        if count or kind == "processes"
    }


def large_scene(points: int = 2_000_000, queries: int = 40) -> dict[str, float]:
    """Median milliseconds of a query in a room of so many points, by blocks and by the view of a camera."""
    draw = np.random.default_rng(0)
    xyz = draw.uniform([-6, -3, -6], [6, 0, 6], (points, 3))
    xyz[np.arange(points), draw.integers(0, 3, points)] = 0.0  # on three walls
    cells = np.floor(xyz / 0.25).astype(np.int64)
    scene = block_points(torch.from_numpy(xyz[np.lexsort(cells.T)]).float())
    camera = torch.eye(4)
    camera[:3, 3] = torch.tensor([4.0, 1.5, 6.5])
    intrinsics = torch.tensor([[1000.0, 0, 960], [0, 1000, 540], [0, 0, 1]])
    view = make_view(scene, intrinsics, camera)
    taken: dict[str, list[float]] = {}
    for _ in range(queries):
        left, top, side = *draw.uniform([200, 0], [1300, 500]), draw.uniform(200, 500)
        box = torch.tensor([left, top, left + side, top + side]).float()
        for name, work in (
            ("by_blocks", lambda box=box: visible_points(scene, intrinsics, camera, box)),
            ("crop_of_a_view", lambda box=box: points_in_crop(view, box)),
            ("new_view", lambda: make_view(scene, intrinsics, camera)),
        ):
            ms, _ = cpu_ms(work)
            taken.setdefault(name, []).append(ms)
    return {name: round(statistics.median(values), 2) for name, values in taken.items()}


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--rounds", type=int, default=7, help="of trainings fed by threads and by processes")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    figures: dict[str, Any] = {"query_in_2_million_points_ms": large_scene()}
    print(figures, flush=True)
    if (DATA / "shards/rich").is_dir():
        samples = SampleDataset(DATA / "shards/rich", DATA / "scenes/rich.zarr", "train", is_training=True, seed=66)
        with tempfile.TemporaryDirectory() as name:
            figures["one core"] = compare(samples, Path(name), args.epochs)
        print(figures["one core"], flush=True)
        figures["loading"] = by_workers(samples)
        print(figures["loading"], flush=True)
        for stage in ("train_rcnet", "train_sahmr"):
            figures[f"loading beside {stage}"] = beside_training(samples, stage, args.rounds)
            print(stage, figures[f"loading beside {stage}"], flush=True)
    record(args.out, "python -m tests.benchmarks.loader_samples", figures)


if __name__ == "__main__":
    main()
