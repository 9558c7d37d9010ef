"""Stages ``train_rcnet_data`` and ``train_sahmr_data``: digests of what of a data set decides a training.

DVC loops over ``datasets`` of the training's section, so a training depends on the shards and scenes of the data sets
that it names and on no others; and only a change of what it reads starts it again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence

from pipelines.stage import log, stage
from sahmr.datasets import CARDS
from sahmr.errors import SettingsError
from sahmr.files import publish_text
from sahmr.settings import Paths, load_section
from sahmr.training.parts import Ingredient, decisive_part, drop_others, load_ingredients, make_part

TRAININGS = ("train_rcnet", "train_sahmr")


def run(training: str, dataset: str, ingredients: Mapping[str, Ingredient], paths: Paths) -> None:
    """Write ``<training>_data/<dataset>.json``; files of data sets that params.yaml does not name are removed.

    Raises:
        SettingsError: if params.yaml does not name the data set.
        ShardError, StoreError: if nothing of it is left to train with, or it is damaged.
    """
    if dataset not in ingredients:
        named = ", ".join(ingredients)
        raise SettingsError(f"--dataset: found {dataset!r}, allowed {named}, the datasets of {training} in params.yaml")
    found = decisive_part(make_part(dataset, ingredients[dataset], paths.shards, paths.scenes))
    digests = {split: {"samples": len(found[split]), "sha256": _digest(found[split])} for split in ("train", "val")} | {
        "scenes": {"count": len(found["scenes"]), "sha256": _digest([found["voxel_pitch_m"], found["scenes"]])}
    }
    folder = paths.models / f"{training}_data"
    folder.mkdir(parents=True, exist_ok=True)
    drop_others(folder, ingredients)
    publish_text(folder / f"{dataset}.json", json.dumps(digests, indent=2) + "\n")
    counts = [digests[split]["samples"] for split in ("train", "val")]
    log.info("%s: %d samples of %s to train with, %d to judge by", training, counts[0], dataset, counts[1])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Look at one data set of one training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--training", choices=TRAININGS, required=True)
    parser.add_argument("--dataset", choices=sorted(CARDS), required=True)
    asked = parser.parse_args(argv)
    run(asked.training, asked.dataset, load_ingredients(asked.training), load_section("paths", Paths))


if __name__ == "__main__":
    main()
