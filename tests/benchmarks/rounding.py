"""Does it matter how the sparse network halves voxel indices? Stage A, trained with either rounding and several seeds.

Needs the outputs of ``bodies``, ``scenes@rich`` and ``shards@rich`` (``make repro`` makes them). The two trainings of a
seed run side by side, on one thread each, and differ in nothing but the rounding. They are judged on the splits
``val`` and ``test`` with the region of interest round the true root plus the noise of the training, the same for both:
what the image network sees of unseen people would drown what the sparse network makes of it. Not part of ``make
bench``: half an hour.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch
import yaml

from sahmr.body.topology import load_topology
from sahmr.metrics import root_errors, voxel_part_scores
from sahmr.network.sahmr import SahmrNet
from sahmr.sparse.kernel_map import Rounding
from sahmr.structures import Batch, BodyTopology
from sahmr.targets import make_targets, target_pelvis
from sahmr.training.build import build_network
from sahmr.training.checkpoint import load_state, read_checkpoint
from sahmr.training.parts import Part
from sahmr.training.source import Source
from tests.benchmarks.figures import record
from tests.imports import ROOT

_BATCH, _DRAWS = 16, 3  # how often each image is judged, each time with other noise
_PITCH_M = 0.02
_NOISE_M = (0.25, 0.25, 0.7)  # as in params.yaml
_GOOD = {"root_mm": -1, "voxel_iou": 1, "voxel_recall": 1, "voxel_precision": 1, "contact_count_error": -1}


def start(folder: Path, rounding: Rounding, seed: int, epochs: int) -> subprocess.Popen[bytes]:
    """Begin the stage on the repository's data."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["paths"] = {name: str(ROOT / path) for name, path in params["paths"].items()} | {"models": str(folder)}
    params["parallel"] = {"workers": 0, "loaders": 0, "threads": 1}
    params["network"] |= {"rounding": rounding, "initial_checkpoint": None}
    params["train_rcnet"] |= {"seed": seed, "epochs": epochs}
    folder.mkdir()
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", "pipelines.train_rcnet"], cwd=folder, env=environment)


def read_network(path: Path, topology: BodyTopology) -> SahmrNet:
    """The trained network; only its outermost module is told to train, so that it draws anchors as in training."""
    checkpoint = read_checkpoint(path)
    region = replace(checkpoint.behaviour.region, substitution_distance=0.0, root_noise_std=_NOISE_M)
    behaviour = replace(checkpoint.behaviour, region=region)
    network = build_network(checkpoint.size, behaviour, topology, backend="native").eval()
    load_state(network, checkpoint.network, source=str(path), under="rcnet.")
    network.rcnet.training = True
    return network


@torch.no_grad()
def judge(network: SahmrNet, batches: list[Batch], topology: BodyTopology) -> dict[str, float]:
    """Mean scores of the sparse network's two tasks."""
    scores: dict[str, list[float]] = defaultdict(list)
    for draw in range(_DRAWS):
        for number, batch in enumerate(batches):
            root = target_pelvis(batch, topology)
            generator = torch.Generator().manual_seed(draw * len(batches) + number)
            made = network.rcnet(batch, targets_root=root, generator=generator)
            targets = make_targets(batch, made.voxel_centers, topology, pitch_m=_PITCH_M)
            part, sample = made.voxel_part.argmax(dim=1), made.voxel_centers.sample
            counts = [torch.bincount(sample[ids != 0], minlength=len(root)) for ids in (part, targets.voxel_part)]
            found = {
                "anchor_mm": root_errors(made.anchor_root, root),
                "root_mm": root_errors(made.root, root),
                "contact_count_error": (counts[0] - counts[1]).abs().float(),
                **voxel_part_scores(part, targets.voxel_part, sample, len(root)),
            }
            for name, values in found.items():
                scores[name] += values.tolist()
    return {name: statistics.fmean(values) for name, values in scores.items()}


def main() -> None:
    """Train, judge, print the table, and write it where ``--out`` says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[66, 67, 68])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    data = ROOT / "data"
    topology = load_topology(data / "bodies")
    rich = Part(name="rich", shards=data / "shards/rich", scenes=data / "scenes/rich.zarr")
    source = Source(parts=(rich,), workers=0, zoom_range=0.0)
    batches = [batch for split in ("val", "test") for batch in source.plain(split, _BATCH)]
    names: tuple[Rounding, ...] = get_args(Rounding)
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as work:
        for seed in args.seeds:
            folders = {name: Path(work) / f"{name}{seed}" for name in names}
            for training in [start(folder, name, seed, args.epochs) for name, folder in folders.items()]:
                if training.wait() != 0:
                    raise SystemExit("a training failed; see above")
            for name, folder in folders.items():
                rows[name].append(judge(read_network(folder / "rcnet.pt", topology), batches, topology))
                print(seed, name, {key: round(value, 4) for key, value in rows[name][-1].items()}, flush=True)
    images = sum(len(batch.keys) for batch in batches)
    print(f"\n{images} images, {len(args.seeds)} seeds\n{'mean':<22}{'floor':>10}{'trunc':>10}  floor better in")
    for name in rows["floor"][0]:
        floor, trunc = ([row[name] for row in rows[kind]] for kind in ("floor", "trunc"))
        wins = sum(_GOOD.get(name, 0) * (a - b) > 0 for a, b in zip(floor, trunc, strict=True))
        told = f"{wins} of {len(floor)}" if name in _GOOD else "-"
        print(f"{name:<22}{statistics.fmean(floor):>10.4g}{statistics.fmean(trunc):>10.4g}  {told}")
    command = f"python -m tests.benchmarks.rounding --epochs {args.epochs} --seeds {' '.join(map(str, args.seeds))}"
    record(args.out, command, {"images": images, "draws": _DRAWS, "scores": rows})


if __name__ == "__main__":
    main()
