"""Train the demo's networks on crops of people who are in no demo split: what METRO's weights are to the paper."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pipelines.environment  # noqa: F401  # before torch and numpy load

# isort: split
import numpy as np

from pipelines import bodies, train_rcnet, train_sahmr
from pipelines.conversion.lock import hold
from pipelines.conversion.parallel import Parallel
from pipelines.demo.pretrain_card import Clock, find_scores, make_card
from pipelines.demo.pretrain_crops import DATASET, MOST_CROPS, MOST_ROOMS, Crops, find_body_models, write_crops
from pipelines.demo.pretrain_recipe import (
    DEFAULT,
    FURTHER,
    Order,
    Recipe,
    check_home,
    check_length,
    check_start,
    read_recipe,
)
from pipelines.stage import log, stage
from sahmr.body.topology import load_topology
from sahmr.demo.pretraining.card import card_text
from sahmr.demo.pretraining.sheet import draw_crops
from sahmr.files import publish_file, publish_text
from sahmr.settings import Paths
from sahmr.shards.reader import ShardReader, read_index
from sahmr.training.checkpoint import read_checkpoint
from sahmr.training.compact import save_compact

_SHEET_CROPS = 24
_PACKED = "start.pt"  # in models of the home; pretrain.yaml's predict.checkpoint may name it


def run(order: Order) -> None:
    """Make crops, train both networks, score and pack them; what is finished is not done again.

    Raises:
        SettingsError, CheckpointError: before any work, if the recipe or the order cannot be followed.
        StoreError: if another process works in the same folder, or the disk is full.
    """
    recipe, paths = read_recipe(order.recipe), order.paths
    check_home(order.home)
    check_start(order, recipe)
    check_length(order, recipe)
    parallel = recipe.parallel if order.loaders is None else replace(recipe.parallel, loaders=order.loaders)
    with hold(paths.work, "pretrain", order.home):
        clock = Clock(order.home / "seconds.json")
        _render(order, recipe, clock)
        _find_rcnet(recipe, paths, parallel, clock)
        with clock("train_sahmr"):
            train_sahmr.run(recipe.train_sahmr, recipe.network, paths, parallel)
        packed = paths.models / _PACKED
        save_compact(packed, read_checkpoint(paths.models / "sahmr.pt"))
        scores = find_scores(recipe, paths)
        with publish_file(order.output) as partial:
            shutil.copyfile(packed, partial)
        publish_text(order.output.with_suffix(".md"), card_text(make_card(order, recipe, clock, scores)))
    log.info(
        "pretrain: %s, %.1f MB, and its card %s",
        order.output, order.output.stat().st_size / 1e6, order.output.with_suffix(".md"),
    )  # fmt: skip


def _find_rcnet(recipe: Recipe, paths: Paths, parallel: Parallel, clock: Clock) -> None:
    """Train the root-and-contact network, or take that of the weights everything starts from."""
    if recipe.train_rcnet is not None:
        with clock("train_rcnet"):
            train_rcnet.run(recipe.train_rcnet, recipe.network, paths, parallel)
        return
    assert recipe.network.initial_checkpoint is not None
    paths.models.mkdir(parents=True, exist_ok=True)
    with publish_file(paths.models / recipe.train_sahmr.rcnet_checkpoint) as partial:
        shutil.copyfile(recipe.network.initial_checkpoint, partial)


def draw(order: Order, picture: Path) -> None:
    """Make the crops and draw some of them; errors as :func:`run`."""
    recipe, paths = read_recipe(order.recipe), order.paths
    check_home(order.home)
    with hold(paths.work, "pretrain", order.home):
        _render(order, recipe, Clock(order.home / "seconds.json"))
        folder = paths.shards / DATASET
        index, reader = read_index(folder), ShardReader(folder)
        chosen = np.random.default_rng(0).permutation(len(index))[:_SHEET_CROPS]
        faces = load_topology(paths.bodies).faces.numpy()
        draw_crops([reader.decode(index[int(place)]) for place in chosen], faces, picture)
    log.info("pretrain: %d crops drawn in %s", len(chosen), picture)


def _render(order: Order, recipe: Recipe, clock: Clock) -> None:
    """Body models, shards and scenes."""
    paths, before = order.paths, clock.seconds.get("crops", 0.0)
    models = find_body_models(paths)
    bodies.run(bodies.Bodies(raw=models, num_betas=10), paths)
    workers = recipe.parallel.workers if order.workers is None else order.workers
    with clock("crops"):
        made = write_crops(
            Crops(seed=order.seed), paths, models=models / "models", rooms=order.rooms, crops=order.crops,
            workers=workers,
        )  # fmt: skip
    seconds = clock.seconds["crops"] - before
    log.info(
        "pretrain: %d crops of %d rooms; %d crops made now, %.1f a second",
        order.rooms * order.crops, order.rooms, made, made / max(seconds, 0.1),
    )  # fmt: skip


def _whole(least: int, most: int) -> Callable[[str], int]:
    """A reader of whole numbers between two ends, for the command line."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"found {text!r}, allowed a whole number from {least} to {most}")
        return int(text)

    return read


def _place(text: str) -> Path:
    """A folder of its own."""
    path = Path(text)
    if not text.strip() or path.resolve() in (Path.cwd(), *Path.cwd().parents):
        raise argparse.ArgumentTypeError(f"found {text!r}, allowed a folder that does not hold this repository")
    return path


def _file(ending: str) -> Callable[[str], Path]:
    """A reader of file names with that ending, for the command line."""

    def read(text: str) -> Path:
        path = Path(text)
        if path.suffix != ending or path.is_dir():
            raise argparse.ArgumentTypeError(f"found {text!r}, allowed a file whose name ends in {ending}")
        return path

    return read


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read the options, then make weights, or a picture of crops."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=_whole(2, MOST_ROOMS), default=DEFAULT.rooms)
    parser.add_argument("--crops", type=_whole(1, MOST_CROPS), default=DEFAULT.crops, help="of each room")
    parser.add_argument(
        "--seed", type=_whole(0, 2**32 - 1), default=DEFAULT.seed, help="of rooms, people, poses and cameras"
    )
    parser.add_argument("--workers", type=_whole(0, 256), help="processes that render; they cannot change a byte")
    parser.add_argument("--loaders", type=_whole(0, 64), help="processes that decode crops for the trainings")
    parser.add_argument("--home", type=_place, default=DEFAULT.home, help="folder of all that is made on the way")
    parser.add_argument(
        "--output", type=_file(".pt"), default=DEFAULT.output, help="weights file; its card lies beside it"
    )
    parser.add_argument(
        "--recipe", type=_file(".yaml"), default=DEFAULT.recipe, help=f"settings; {FURTHER} trains shipped weights on"
    )
    parser.add_argument("--sheet", type=_file(".png"), help="draw crops into this file instead of training")
    options = vars(parser.parse_args(argv))
    picture = options.pop("sheet")
    order = replace(DEFAULT, **options)
    if picture is None:
        run(order)
    else:
        draw(order, picture)


if __name__ == "__main__":
    main()
