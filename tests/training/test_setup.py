"""What a training reads of the shards before its first step."""

from dataclasses import replace
from pathlib import Path

import pytest

from sahmr.errors import SettingsError, ShardError
from sahmr.training.optimizer import Plan
from sahmr.training.parts import Part
from sahmr.training.setup import require_peak, training_data
from sahmr.training.source import Source
from sahmr.training.trainer import TrainingData
from tests.worlds import small

PLAN = Plan(seed=1, epochs=1, batch_size=2, canonical_lr=1e-3)


def part(world: Path, name: str = "rich", **more: object) -> Part:
    return Part(name=name, shards=world / f"shards/{name}", scenes=world / f"scenes/{name}.zarr", **more)


def source(world: Path) -> Source:
    return Source(parts=(part(world),), workers=0, zoom_range=0.1)


def test_without_a_validation_split_there_is_no_validation(small_world: Path) -> None:
    data = training_data(source(small_world), PLAN)
    assert (data.steps, list(data.validation())) == (3, [])


def test_a_validation_split_without_ground_truth_is_refused(tmp_path: Path) -> None:
    small.write_world(tmp_path / "world", [*small.records(), *small.own_records()])
    with pytest.raises(ShardError, match=r"2 of 2 samples of split 'val' have no ground truth"):
        training_data(source(tmp_path / "world"), PLAN)


def test_a_warm_up_must_end_within_the_training() -> None:
    data = TrainingData(epoch=lambda _: (), steps=3, validation=lambda: ())
    plan = replace(PLAN, epochs=2, warmup_steps=6)
    require_peak("train_rcnet", plan, data)
    with pytest.raises(SettingsError, match=r"train_rcnet\.warmup_steps: found 7, allowed at most 6, the steps"):
        require_peak("train_rcnet", replace(plan, warmup_steps=7), data)
