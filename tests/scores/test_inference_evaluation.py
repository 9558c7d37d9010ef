"""The baseline's place, and what scores and summaries say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from sahmr.baseline import cameras_of, mean_body, middle_roots
from sahmr.errors import ShardError
from sahmr.scenes.store import Scene
from sahmr.scores.evaluation import Predicted, check_keys, find_predictions, score
from sahmr.scores.summary import add_scores, mean_scores, sequence_csv, summarise
from sahmr.scores.truth import Truth
from sahmr.shards.decode import StoredGeometry
from schemas.metric import LARGER_IS_BETTER, METRIC_NAMES, METRIC_SCHEMA, MetricRecord
from schemas.tables_write import to_table
from tests.worlds import small
from tests.worlds.networks import make_topology

EDGES = torch.tensor([[0, 1], [1, 2]])
TURN = np.array([[0.0, -1, 0, 0.5], [1, 0, 0, -0.25], [0, 0, 1, 2], [0, 0, 0, 1]])  # a quarter about z, and a shift


def frame(vertices: np.ndarray | None, camera_from_world: np.ndarray = TURN) -> StoredGeometry:
    return StoredGeometry(
        key="k",
        intrinsics=np.array([[1000.0, 0, 500], [0, 1000, 400], [0, 0, 1]]),
        camera_from_world=camera_from_world,
        person_box=np.array([600.0, 500, 800, 700]),
        vertices_world=vertices,
        contact=None,
    )


def truth(frame: StoredGeometry, scene: Scene, contacts: torch.Tensor | None = None) -> Truth:
    contacts = torch.zeros(0, 3) if contacts is None else contacts
    return Truth(frame=frame, sequence="s", scene=scene, up=torch.tensor([0.0, -1, 0]).double(), contacts=contacts)


def record(
    predictor: str, sequence: str, value: float, *, posture: str = "standing", **changes: object
) -> MetricRecord:
    numbers = dict.fromkeys(METRIC_NAMES, value)
    return MetricRecord(key="k", predictor=predictor, sequence=sequence, posture=posture, **numbers | changes)


def table(rows: Sequence[tuple[str, str, float]]):
    """Scores that are all the same number, of (predictor, sequence, number)."""
    return to_table([record(*row) for row in rows], METRIC_SCHEMA)


def test_summary_means_and_improvement_of_each() -> None:
    rows = [("sahmr", "s", 1.0), ("other", "s", 3.0), ("baseline", "s", 6.0), ("sahmr", "s", 2.0)]
    summary = summarise(add_scores([table(rows)]))
    assert list(summary) == ["sahmr", "other", "baseline", "improvement_percent"]
    shares = {"trunk_within_30_ratio": 1.0, "trunk_within_30_sitting_lying_ratio": None}
    assert summary["sahmr"] == {"frames": 2, **dict.fromkeys(METRIC_NAMES, 1.5), **shares}
    errors = [name for name in METRIC_NAMES if name not in LARGER_IS_BETTER]
    assert summary["improvement_percent"] == {
        "sahmr": dict.fromkeys(errors, 75.0),
        "other": dict.fromkeys(errors, 50.0),
    }


def test_means_are_of_the_frames_where_a_score_is_known() -> None:
    """Over two tables and three sequences; the baseline never says who touches what."""
    unknown: dict[str, object] = {"contact_precision_ratio": None, "contact_recall_ratio": None}
    precise = {"contact_precision_ratio": None, "contact_recall_ratio": 0.0}
    parts = [
        [record("sahmr", "s", 0.5), record("baseline", "s", 1.0, **unknown), record("sahmr", "t", 0.9, **unknown)],
        [record("sahmr", "u", 0.25, **precise), record("baseline", "s", 1.0, **unknown)],
    ]
    sums = add_scores(to_table(part, METRIC_SCHEMA) for part in parts)
    summary = summarise(sums)
    assert summary["sahmr"]["contact_precision_ratio"] == 0.5
    assert summary["sahmr"]["contact_recall_ratio"] == 0.25
    assert summary["sahmr"]["mpjpe_mm"] == 0.55
    assert summary["baseline"]["contact_precision_ratio"] is summary["baseline"]["contact_recall_ratio"] is None
    by_sequence = mean_scores(sums, "predictor", "sequence")
    assert by_sequence.column("contact_precision_ratio").to_pylist() == [0.5, None, None, None]
    assert ",," in sequence_csv(sums)


def test_shares_of_trunks_within_30_degrees_of_all_and_of_the_low() -> None:
    rows = [
        record("sahmr", "s", 30.0, posture="lying"), record("sahmr", "s", 30.1, posture="sitting"),
        record("sahmr", "s", 9.0, posture="crouching"), record("sahmr", "t", 9.0, posture="standing"),
    ]  # fmt: skip
    summary = summarise(add_scores([to_table(rows, METRIC_SCHEMA)]))["sahmr"]
    assert summary["trunk_within_30_ratio"] == 0.75
    assert summary["trunk_within_30_sitting_lying_ratio"] == 0.5


@pytest.mark.parametrize("predictor", ["sahmr", "baseline"])
def test_one_predictor_alone_is_compared_with_nothing(predictor: str) -> None:
    assert summarise(add_scores([table([(predictor, "s", 1.0)])])).keys() == {predictor}


def test_perfect_baseline_gives_no_percentage() -> None:
    summary = summarise(add_scores([table([("sahmr", "s", 1.0), ("baseline", "s", 0.0)])]))
    assert summary["improvement_percent"] == {"sahmr": {}}


def test_means_per_sequence() -> None:
    scores = add_scores([table([("b", "t", 1.0), ("a", "s", 2 / 3)]), table([("b", "t", 2.0)])])
    assert mean_scores(scores, "predictor", "sequence").column("frames").to_pylist() == [2, 1]
    lines = sequence_csv(scores).splitlines()
    assert lines[0].startswith('"predictor","sequence","frames","global_mpjpe_mm"')
    assert [line.split(",")[:4] for line in lines[1:]] == [['"a"', '"s"', "1", "0.6667"], ['"b"', '"t"', "2", "1.5"]]


def test_score_by_hand() -> None:
    """The truth, and the truth 3 m farther along the camera's z, in a scene whose distance is its world z - 1."""
    vertices = small.vertices()
    camera = vertices @ TURN[:3, :3].T + TURN[:3, 3]
    contacts = torch.tensor([[0.0, 0, 1], [0, 0, 2]])
    predicted = {
        "right": Predicted(mesh=torch.from_numpy(camera).float(), contacts=contacts[:1] + 0.01),
        "far": Predicted(mesh=torch.from_numpy(camera + np.array([0, 0, 3])).float()),
    }
    grid = torch.arange(-10.0, 11).expand(3, 3, 21) - 1
    corner = torch.tensor([10.0, 10, 10])
    scene = Scene(points=torch.zeros(0, 3), sdf=grid, sdf_min=-corner, sdf_max=corner, attributes={})
    true = truth(frame(vertices.astype(np.float32)), scene, contacts)
    right, far = score(predicted, true, make_topology().joint_regressor, EDGES)
    assert (right.predictor, far.predictor, far.key, far.sequence) == ("right", "far", "k", "s")
    assert right.global_mpjpe_mm == pytest.approx(0, abs=1e-3)
    assert far.global_mpjpe_mm == pytest.approx(3000, abs=1e-3)
    assert far.mpve_mm == pytest.approx(0, abs=1e-3)
    assert right.edge_error_ratio == pytest.approx(0, abs=1e-5)
    assert far.trunk_angle_deg == pytest.approx(0, abs=1e-2)
    assert (right.contact_precision_ratio, right.contact_recall_ratio) == (1.0, 0.5)
    assert far.contact_precision_ratio is far.contact_recall_ratio is None
    depth = (1 - vertices[:, 2]).clip(min=0)
    assert right.penetration_m == right.contact_m == pytest.approx(depth.sum(), rel=1e-5)
    assert far.penetration_m == 0


def test_published_rotations_are_inverted_not_transposed() -> None:
    """Rounded to 1e-3 here: by the transpose, a body 10 m away would be 1 cm off."""
    rounded = TURN.copy()
    rounded[:3, :3] *= 1.001
    vertices = small.vertices() + np.array([0, 0, 10])
    mesh = torch.from_numpy(vertices @ rounded[:3, :3].T + rounded[:3, 3])
    grid, corner = torch.ones(2, 2, 2), torch.ones(3)
    scene = Scene(points=torch.zeros(0, 3), sdf=grid, sdf_min=-corner, sdf_max=corner, attributes={})
    true = truth(frame(vertices, rounded), scene)
    (row,) = score({"right": Predicted(mesh=mesh)}, true, make_topology().joint_regressor, EDGES)
    assert row.global_mpve_mm == pytest.approx(0, abs=1e-6)


def test_frame_without_truth_is_refused_by_name() -> None:
    scene = Scene(
        points=torch.zeros(0, 3), sdf=torch.ones(2, 2, 2), sdf_min=torch.zeros(3), sdf_max=torch.ones(3), attributes={}
    )
    regressor = make_topology().joint_regressor
    with pytest.raises(ShardError, match="1 person-images have no ground truth and cannot be scored: k;"):
        score({"a": Predicted(mesh=torch.zeros(6890, 3))}, truth(frame(None), scene), regressor, EDGES)


def test_mean_body_and_its_place() -> None:
    """Two bodies 1 m and 3 m before the camera, one frame without a body; crops are 220 px wide, focal length 1000."""
    regressor = make_topology().joint_regressor.double()
    shape = torch.rand(6890, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shape -= regressor[0] @ shape / regressor[0].sum()
    bodies = [(shape * size + torch.tensor([0.0, 0, depth])).numpy() for size, depth in ((1, 1), (2, 3))]
    means = mean_body([frame(body, np.eye(4)) for body in bodies] + [frame(None)], regressor)
    assert means is not None
    torch.testing.assert_close(means.mesh, shape * 1.5, atol=1e-6, rtol=0)
    camera = cameras_of([frame(None), frame(None)])
    width = float(camera.crop_width[0])
    assert float(means.scaled_depth) == pytest.approx(2 * width / 1000)
    roots = middle_roots(means.scaled_depth, camera)
    assert roots.tolist() == [pytest.approx([0.4, 0.4, 2.0])] * 2  # the box's middle is (700, 600)


def test_no_bodies_no_mean() -> None:
    assert mean_body([frame(None)], make_topology().joint_regressor) is None


@pytest.mark.parametrize(("predicted", "message"), [(["a"], "lacks key 'b'"), (["a", "b", "c"], "unknown key 'c'")])
def test_other_keys_are_refused(predicted: list[str], message: str) -> None:
    with pytest.raises(ShardError, match=message):
        check_keys(pa.chunked_array([predicted]), pa.chunked_array([["a", "b"]]), source="x.parquet")


def test_predictors_come_in_one_order(tmp_path: Path) -> None:
    for name in ("a-method", "baseline", "sahmr", "zhang_2020"):
        (tmp_path / f"{name}.parquet").touch()
    (tmp_path / ".sahmr.parquet.1.partial").touch()
    assert [path.stem for path in find_predictions(tmp_path)] == ["sahmr", "a-method", "zhang_2020", "baseline"]


@pytest.mark.parametrize("name", ["Sahmr", "a b", "-x", "improvement_percent"])
def test_odd_names_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.parquet").touch()
    with pytest.raises(ShardError, match="no predictor's name"):
        find_predictions(tmp_path)


def test_no_predictions_name_the_stages_that_make_them(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="dvc repro predict baseline"):
        find_predictions(tmp_path / "rich")
