"""Print which samples a step of a training reads; nothing is decoded.

Run by hand: ``python -m pipelines.loader --step N``. Steps count from 0 through all epochs, as in a loader's state.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace

from pipelines.stage import log, stage
from pipelines.train_rcnet import TrainRcnet
from pipelines.train_sahmr import TrainSahmr
from sahmr.batches.loader import SampleLoader, make_loader
from sahmr.errors import SettingsError
from sahmr.raw import load_raw_roots
from sahmr.settings import Paths, load_section
from sahmr.training.parts import Ingredient
from sahmr.training.setup import TrainingSettings, source_of
from sahmr.training.source import together

_SECTIONS: dict[str, type[TrainingSettings]] = {"train_rcnet": TrainRcnet, "train_sahmr": TrainSahmr}


@stage
def main(argv: Sequence[str] | None = None) -> None:
    """Read the section of a training and ``paths``; print a key a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", required=True, metavar="N", help="0 is the first of the first epoch")
    parser.add_argument("--training", choices=_SECTIONS, default="train_sahmr", help="whose data, seed and batch size")
    parser.add_argument("--dataset", choices=list(load_raw_roots()), help="this one alone; default: the training's mix")
    parser.add_argument("--split", default="train", help="train is shuffled, others are in the order of their keys")
    parser.add_argument("--where", help="in place of the training's conditions; see docs/streaming.md")
    asked = parser.parse_args(argv)
    if not asked.step.isascii() or not asked.step.isdigit() or len(asked.step) > 18:
        raise SettingsError(f"--step: found {asked.step[:40]!r}, allowed a whole number from 0 on; correct it")
    section, paths = load_section(asked.training, _SECTIONS[asked.training]), load_section("paths", Paths)
    if asked.dataset:
        section = replace(section, datasets={asked.dataset: section.datasets.get(asked.dataset, Ingredient())})
    loader = open_loader(section, paths, asked.split, asked.where)
    step = int(asked.step)
    sys.stdout.write("".join(f"{key}\n" for key in loader.keys(step)))
    log.info("step %d: epoch %d, batch %d of %d", step, *[n + 1 for n in divmod(step, len(loader))], len(loader))


def open_loader(section: TrainingSettings, paths: Paths, split: str, where: str | None = None) -> SampleLoader:
    """The loader that a training has of a split; ``where`` in place of its conditions, and of any split.

    Raises:
        ShardError: if there are no shards, or no such samples.
    """
    source = source_of(section, paths, 0)
    if split == "train":
        parts = tuple(part if where is None else replace(part, where=where) for part in source.parts)
        return replace(source, parts=parts).shuffled(section.batch_size, section.seed)
    others = [part.samples(split, where=where or "") for part in source.parts if where or part.has(split)]
    return make_loader(together(others or [source.parts[0].samples(split)]), batch_size=section.batch_size)


if __name__ == "__main__":
    main()
