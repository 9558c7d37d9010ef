"""What a training is made of: data sets, their weights, conditions on their samples, and what of them decides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from sahmr.batches.dataset import SampleDataset
from sahmr.datasets import CARDS
from sahmr.errors import ShardError
from sahmr.scenes.store import load_points, voxel_pitch_m
from sahmr.settings import Between, Keyed, Line, load_section, refuse, settings
from sahmr.shards.where import parse_where
from schemas.shard import ShardEntry

SPLITS = ("train", "val")


@settings
class Ingredient:
    """One data set of a training.

    Attributes:
        weight: its share of an epoch is this over the sum of all weights.
        where: a condition on the samples it is trained on (:func:`sahmr.shards.where.parse_where`); empty: all. Those
            that judge it, of split ``val``, are always all.
    """

    weight: Annotated[float, Between(0.001, 1000)] = 1.0
    where: Line = ""

    def __post_init__(self) -> None:
        """A condition is read before any work."""
        if self.where:
            try:
                parse_where(self.where)
            except ShardError as error:
                refuse("where", self.where[:200], f"a condition on columns of the shard index ({error})")


Ingredients = Annotated[dict[str, Ingredient], Keyed(tuple(CARDS), all_needed=False)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One data set, as it lies on the disk.

    Attributes:
        name: of its card.
        shards: its shard folder.
        scenes: its scene store.
        weight, where: as in :class:`Ingredient`.
    """

    name: str
    shards: Path
    scenes: Path
    weight: float = 1.0
    where: str = ""

    def samples(self, split: str, *, where: str | None = None, **options: Any) -> SampleDataset:
        """A split; of ``train`` what the condition or ``where`` leaves. Errors as :class:`SampleDataset`."""
        condition = self.where if where is None and split == "train" else where or ""
        return SampleDataset(self.shards, self.scenes, split, where=condition, **options)

    def has(self, split: str) -> bool:
        """Whether the data set has samples of a split."""
        try:
            self.samples(split)
        except ShardError:
            return False
        return True


def decisive_part(part: Part) -> dict[str, Any]:
    """All of one data set that can change a training, as JSON-able digests.

    Of the shard index the samples of ``train`` and ``val``: key (which seeds their augmentation), scene and SHA-256;
    of their scenes the points. Other splits, columns and arrays may change without a new training.

    Raises:
        ShardError: if there is no index, or no sample to train with.
        StoreError: if a scene is missing or damaged.
    """
    found: dict[str, Any] = {"voxel_pitch_m": voxel_pitch_m(part.scenes)}
    scenes: set[str] = set()
    for split in SPLITS:
        entries: Sequence[ShardEntry] = part.samples(split).entries if split == "train" or part.has(split) else []
        found[split] = [(entry.key, entry.scene_key, entry.sha256) for entry in entries]
        scenes |= {entry.scene_key for entry in entries}
    found["scenes"] = {
        key: hashlib.sha256(load_points(part.scenes, key).numpy().tobytes()).hexdigest() for key in sorted(scenes)
    }
    return found


def load_ingredients(training: str) -> dict[str, Ingredient]:
    """The data sets of a training's section of params.yaml. Errors as :func:`sahmr.settings.load_section`."""
    return load_section(f"{training}.datasets", cast("type[dict[str, Ingredient]]", Ingredients))


def make_part(name: str, ingredient: Ingredient, shards: Path, scenes: Path) -> Part:
    """A data set where the stages put it: ``shards`` and ``scenes`` are the folders of all."""
    place, store = shards / name, scenes / f"{name}.zarr"
    return Part(name=name, shards=place, scenes=store, weight=ingredient.weight, where=ingredient.where)


def drop_others(folder: Path, names: Iterable[str]) -> None:
    """Remove what stages wrote that dvc.yaml no longer has: the folder's digest says what the training reads."""
    for path in folder.glob("*.json"):
        if path.stem not in names:
            path.unlink()
