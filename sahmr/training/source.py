"""Samples of a training, of one data set or of several by weight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sahmr.batches.dataset import SampleDataset
from sahmr.batches.loader import DecodeIn, SampleLoader, make_loader
from sahmr.batches.mixture import MixedDataset
from sahmr.errors import SettingsError, ShardError
from sahmr.scenes.store import voxel_pitch_m
from sahmr.structures import Batch
from sahmr.training.parts import Part, decisive_part
from sahmr.training.team import ALONE, Team


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where samples come from.

    Attributes:
        parts: the data sets.
        workers: of a loader; cannot change the batches.
        decode_in: what they are.
        zoom_range: widest zoom of training crops, see :class:`SampleDataset`.
        fixed_crops: whether each is the same in every epoch.
        max_quarantined: so many damaged samples each process leaves out; 0: the first one is an error.
        steps_per_epoch: None: those of a walk through the data.
    """

    parts: tuple[Part, ...]
    workers: int
    zoom_range: float
    fixed_crops: bool = False
    max_quarantined: int = 0
    steps_per_epoch: int | None = None
    decode_in: DecodeIn = "processes"

    def plain(self, split: str, batch_size: int, team: Team = ALONE) -> Iterable[Batch]:
        """All samples of a split in order, crops not jittered; of every batch this process's share.

        Raises:
            ShardError: if the split has none, or some without ground truth.
        """
        return self._loader(self._bodies_of(split), batch_size, None, team)

    def shuffled(self, batch_size: int, seed: int, team: Team = ALONE) -> SampleLoader:
        """Samples of ``train`` by weight, crops jittered; of every batch this process's share. Errors as ``plain``."""
        weights = [part.weight for part in self.parts]
        return self._loader(together(self._crops(seed), weights), batch_size, seed, team)

    def walk(self, batch_size: int, seed: int, team: Team = ALONE) -> SampleLoader:
        """The crops of epoch 0 of ``shuffled``, in order, each once: with ``fixed_crops`` those of every epoch."""
        return self._loader(together(self._crops(seed)), batch_size, None, team)

    def _crops(self, seed: int) -> list[SampleDataset]:
        options: dict[str, Any] = {"is_training": True, "seed": seed, "zoom_range": self.zoom_range}
        return [part.samples("train", fixed_crops=self.fixed_crops, **options) for part in self.parts]

    def _loader(
        self, samples: SampleDataset | MixedDataset, batch_size: int, seed: int | None, team: Team
    ) -> SampleLoader:
        return make_loader(
            samples,
            batch_size=batch_size,
            seed=seed,
            num_workers=self.workers,
            decode_in=self.decode_in,
            share=(team.rank, team.size),
            parts=team.parts,
            steps_per_epoch=None if seed is None else self.steps_per_epoch,
            quarantine=self.max_quarantined or None,
        )

    def _bodies_of(self, split: str) -> SampleDataset | MixedDataset:
        parts = [part.samples(split) for part in self.parts if split == "train" or part.has(split)]
        for part in parts:
            part.require_bodies()
        if not parts:
            raise ShardError(f"{', '.join(str(part.shards) for part in self.parts)}: no samples of split '{split}'")
        return together(parts)

    def bodies(self, count: int) -> Float[Tensor, "bodies 6890 3"]:
        """Up to so many people of split ``train``, evenly spread over its keys, world frame, metres.

        Raises:
            ShardError: if the split has no samples, or some without ground truth.
        """
        samples = self._bodies_of("train")
        parts = samples.parts if isinstance(samples, MixedDataset) else (samples,)
        places = np.linspace(0, len(samples) - 1, min(count, len(samples))).round().astype(int)
        found, first = list[Float[np.ndarray, "6890 3"]](), 0
        for part in parts:
            for place in places[(places >= first) & (places < first + len(part))] - first:
                found += self._body(part, int(place))
            first += len(part)
        return torch.from_numpy(np.stack(found)).float()

    def _body(self, part: SampleDataset, place: int) -> list[Float[np.ndarray, "6890 3"]]:
        """One, or none of a damaged sample that may be left out."""
        try:
            vertices = part.reader.geometry(part.entries[place]).vertices_world
        except ShardError:
            if not self.max_quarantined:
                raise
            return []
        return [] if vertices is None else [vertices]

    def voxel_pitch_m(self) -> float:
        """Spacing of the scenes' points.

        Raises:
            SettingsError: if it differs between the data sets.
            StoreError: if there is no store.
        """
        found = {part.name: voxel_pitch_m(part.scenes) for part in self.parts}
        if len({*found.values()}) > 1:
            said = ", ".join(f"{name} {pitch:g}" for name, pitch in found.items())
            raise SettingsError(
                f"params.yaml: datasets: found scenes of different spacing ({said} m), allowed one; run: "
                "dvc repro scenes"
            )
        return next(iter(found.values()))


def together(parts: Sequence[SampleDataset], weights: Sequence[float] | None = None) -> SampleDataset | MixedDataset:
    """One data set; of one part that itself. Without weights all are alike."""
    return parts[0] if len(parts) == 1 else MixedDataset(parts, weights or [1.0] * len(parts))


def decisive_data(source: Source) -> dict[str, Any]:
    """:func:`decisive_part` of every data set by its name; their order counts, it numbers the samples."""
    return {"order": [part.name for part in source.parts], **{part.name: decisive_part(part) for part in source.parts}}
