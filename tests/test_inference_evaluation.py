"""Records out of batches, and what the summary says of scores."""

from __future__ import annotations

import pytest
import torch

from sahmr.errors import ShardError
from sahmr.evaluation import baseline_vertices, check_keys, summarise, world_from_camera
from sahmr.structures import Sample
from schemas.metric import METRIC_NAMES, MetricRecord


def record(predictor: str, value: float) -> MetricRecord:
    return MetricRecord(key="k", predictor=predictor, sequence="s", **dict.fromkeys(METRIC_NAMES, value))


def test_summary_means_and_improvement() -> None:
    summary = summarise([record("sahmr", 1.0), record("sahmr", 2.0), record("baseline", 6.0)])
    assert list(summary) == ["sahmr", "baseline", "improvement_percent"]
    assert summary["sahmr"]["mpjpe_mm"] == 1.5
    assert summary["sahmr"]["frames"] == 2
    assert summary["improvement_percent"]["mpjpe_mm"] == 75.0


def test_baseline_stands_on_the_middle_ray() -> None:
    sample = Sample(
        key="k",
        image=torch.zeros(3, 224, 224, dtype=torch.uint8),
        intrinsics=torch.tensor([[1000.0, 0, 500], [0, 1000, 400], [0, 0, 1]]),
        camera_from_world=torch.eye(4),
        crop_box=torch.tensor([500.0, 400, 1000, 900]),
        scene_key="s",
        scene_camera=torch.zeros(0, 3),
        vertices_camera=None,
        vertex_contact=None,
        has_contact=False,
    )
    placed = baseline_vertices(torch.zeros(6890, 3), torch.tensor(1.5), sample)
    assert placed[0].tolist() == pytest.approx([0.75, 0.75, 3.0])


def test_world_from_camera_undoes_the_camera() -> None:
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0))).Q
    transform = torch.eye(4)
    transform[:3, :3], transform[:3, 3] = rotation, torch.tensor([1.0, 2.0, 3.0])
    points = torch.rand(5, 3)
    torch.testing.assert_close(world_from_camera(points @ rotation.T + transform[:3, 3], transform), points)


@pytest.mark.parametrize(("predicted", "message"), [(["a"], "lacks key 'b'"), (["a", "b", "c"], "unknown key 'c'")])
def test_other_keys_are_refused(predicted: list[str], message: str) -> None:
    with pytest.raises(ShardError, match=message):
        check_keys(predicted, ["a", "b"], source="x.parquet")
