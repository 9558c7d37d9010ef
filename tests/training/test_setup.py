"""What a training reads of the shards before its first step."""

from pathlib import Path

import pytest

from sahmr.errors import ShardError
from sahmr.training.optimizer import Plan
from sahmr.training.setup import Source, training_data
from tests.worlds import small

PLAN = Plan(seed=1, epochs=1, batch_size=2, canonical_lr=1e-3)


def source(world: Path) -> Source:
    return Source(shards=world / "shards/rich", scenes=world / "scenes/rich.zarr", workers=0, zoom_range=0.1)


def test_without_a_validation_split_there_is_no_validation(small_world: Path) -> None:
    data = training_data(source(small_world), PLAN)
    assert (data.steps, list(data.validation())) == (3, [])


def test_a_validation_split_without_ground_truth_is_refused(tmp_path: Path) -> None:
    small.write_world(tmp_path / "world", [*small.records(), *small.own_records()])
    with pytest.raises(ShardError, match=r"2 of 2 samples of split 'val' have no ground truth"):
        training_data(source(tmp_path / "world"), PLAN)
