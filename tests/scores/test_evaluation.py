"""The scores of a frame, by hand and in any batch; the baseline's place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from sahmr.baseline import cameras_of, mean_body, middle_roots
from sahmr.datasets import CARDS
from sahmr.errors import ShardError
from sahmr.scenes.store import Scene
from sahmr.scores.body import mesh_edges
from sahmr.scores.contact import Contacts
from sahmr.scores.evaluation import Scorer
from sahmr.scores.predictions import ORACLES, Predicted, check_keys, find_predictions
from sahmr.scores.truth import Truth, find_truth
from sahmr.shards.decode import StoredGeometry
from sahmr.shards.reader import ShardReader, read_index
from schemas.fields import from_table
from schemas.metric import METRIC_NAMES, MetricRecord
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


def truth(frame: StoredGeometry, scene: Scene, contacts: Contacts | None = None) -> Truth:
    return Truth(
        frame=frame, sequence="s", scene_key="c", camera=3, scene=scene, up=torch.tensor([0.0, -1, 0]).double(),
        contacts=contacts or Contacts(xyz=np.zeros((0, 3)), part=np.zeros(0, dtype=np.int64)),
    )  # fmt: skip


def predicted(meshes: np.ndarray | torch.Tensor, **more: object) -> Predicted:
    batch = torch.as_tensor(meshes).float().reshape(-1, 6890, 3)
    return Predicted(**{"meshes": batch, "root": torch.zeros(len(batch), 3)} | more)


def scored(predictions: dict[str, Predicted], *truths: Truth) -> list[MetricRecord]:
    table = Scorer(make_topology().joint_regressor, EDGES).score(predictions, truths).table
    return from_table(table, MetricRecord)


def test_score_by_hand() -> None:
    """The truth, and the truth 3 m farther along the camera's z, in a scene whose distance is its world z - 1."""
    vertices = small.vertices()
    camera = vertices @ TURN[:3, :3].T + TURN[:3, 3]
    points = np.array([[0.0, 0, 1], [0, 0, 2]])
    pelvis = torch.from_numpy(camera).float().T @ make_topology().joint_regressor[0]
    claims = Contacts(xyz=points[:1] + 0.01, part=np.array([2]))
    methods = {
        "right": predicted(
            camera, contacts=(claims,), root=pelvis[None] + 0.1, initial_root=pelvis[None] + torch.tensor([0, 0, 0.5])
        ),
        "far": predicted(camera + np.array([0, 0, 3])),
    }
    grid = torch.arange(-10.0, 11).expand(3, 3, 21) - 1
    corner = torch.tensor([10.0, 10, 10])
    scene = Scene(points=torch.zeros(0, 3), sdf=grid, sdf_min=-corner, sdf_max=corner, attributes={})
    true = truth(frame(vertices.astype(np.float32)), scene, Contacts(xyz=points, part=np.array([2, 3])))
    result = Scorer(make_topology().joint_regressor, EDGES).score(methods, [true])
    right, far, *oracles = from_table(result.table, MetricRecord)
    assert (right.predictor, far.predictor, far.key, far.sequence, far.camera) == ("right", "far", "k", "s", 3)
    assert [row.predictor for row in oracles] == list(ORACLES)
    assert right.global_mpjpe_mm == pytest.approx(0, abs=1e-3)
    assert far.global_mpjpe_mm == pytest.approx(3000, abs=1e-3)
    assert far.mpve_mm == pytest.approx(0, abs=1e-3)
    assert right.edge_error_ratio == pytest.approx(0, abs=1e-5)
    assert far.trunk_angle_deg == pytest.approx(0, abs=1e-2)
    assert right.root_mm == pytest.approx(100 * 3**0.5, abs=1e-2)  # the regressor here is dense
    assert right.initial_root_mm == pytest.approx(500, abs=1e-2)
    assert far.initial_root_mm is None
    assert (right.contact_precision_ratio, right.contact_recall_ratio) == (1.0, 0.5)
    assert right.contact_f1_ratio == pytest.approx(2 / 3)
    assert far.contact_precision_ratio is far.contact_recall_ratio is far.contact_f1_ratio is None
    assert result.parts["right"][1:3].tolist() == [[1, 1, 1, 1], [0, 0, 1, 0]]
    assert right.distance_m == pytest.approx(float(pelvis.norm()), abs=1e-4)
    depth = (1 - vertices[:, 2]).clip(min=0)
    assert right.penetration_m == right.contact_m == pytest.approx(depth.sum(), rel=1e-5)
    assert far.penetration_m == 0


def test_oracles_are_what_scoring_their_meshes_gives(small_world: Path) -> None:
    """The predicted mesh at the true pelvis, the true mesh at the predicted one, written out and scored as others."""
    truths, meshes = world_truths(small_world)
    regressor, camera = make_topology().joint_regressor.double(), small.CAMERA_FROM_WORLD
    true = np.stack([truth.frame.vertices_world @ camera[:3, :3].T + camera[:3, 3] for truth in truths])
    shift = np.einsum("v,nvc->nc", regressor[0].numpy(), true - meshes.numpy())[:, None]
    others = {"root": predicted(meshes.double().numpy() + shift), "mesh": predicted(true - shift)}
    rows = scored({"ours": predicted(meshes), **others}, *truths)
    names = set(METRIC_NAMES) - {"root_mm"}  # that of "others" is not where their meshes are
    for place in range(0, len(rows), 5):
        for oracle, other in ((3, 1), (4, 2)):
            for name in names:
                one, two = (getattr(rows[place + number], name) for number in (oracle, other))
                assert one == two is None or one == pytest.approx(two, rel=1e-4, abs=2e-3), name


def world_truths(small_world: Path) -> tuple[list[Truth], torch.Tensor]:
    """What is known of nine samples, and meshes that are off by some centimetres and more."""
    folder, part = small_world / "shards/rich", make_topology().part_full
    reader, entries = ShardReader(folder), list(read_index(folder))
    truths = [
        find_truth(reader.geometry(entry), entry, small_world / "scenes/rich.zarr", part, CARDS["rich"], 0)
        for entry in entries
    ]
    draw = torch.Generator().manual_seed(0)
    camera = torch.from_numpy(small.CAMERA_FROM_WORLD).float()
    true = torch.stack([torch.from_numpy(truth.frame.vertices_world) for truth in truths])
    noise = torch.randn(true.shape, generator=draw) * 0.05 + torch.randn(len(true), 1, 3, generator=draw) * 0.3
    return truths, true @ camera[:3, :3].T + camera[:3, 3] + noise


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_frame_scores_the_same_in_any_batch_and_order(device: str, small_world: Path) -> None:
    """Bit for bit: alone, by seven, all at once, all shuffled; and by one thread."""
    truths, meshes = world_truths(small_world)
    topology = make_topology()
    regressor = topology.joint_regressor * (torch.arange(6890) % 97 == 0)  # few weights, like the published one
    scorer = Scorer(regressor, mesh_edges(topology.faces), device)
    claims = [Contacts(xyz=truth.contacts.xyz[::2], part=truth.contacts.part[::2]) for truth in truths]

    def score(order: list[int], size: int) -> dict[str, list[dict]]:
        found: dict[str, list[dict]] = {}
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            said = predicted(
                meshes[rows], root=meshes[rows, 0], initial_root=meshes[rows, 1],
                contacts=tuple(claims[row] for row in rows),
            )  # fmt: skip
            table = scorer.score({"ours": said, "same": predicted(meshes[rows])}, [truths[row] for row in rows]).table
            for row in table.to_pylist():
                found.setdefault(row["key"], []).append(row)
        return found

    count = len(truths)
    alone = score(list(range(count)), 1)
    assert len(alone) == count and len(alone[truths[0].frame.key]) == 4
    for order, size in ((list(range(count)), 7), (list(range(count)), count), ([5, 2, 8, 0, 7, 1, 3, 6, 4], 4)):
        assert score(order, size) == alone, (order, size)
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if threads > 1 else 2)
    try:
        assert score(list(range(count)), count) == alone
    finally:
        torch.set_num_threads(threads)


@pytest.mark.gpu
def test_gpu_and_processor_agree(small_world: Path) -> None:
    truths, meshes = world_truths(small_world)
    topology = make_topology()
    tables = [
        Scorer(topology.joint_regressor, mesh_edges(topology.faces), device).score({"ours": predicted(meshes)}, truths)
        for device in ("cpu", "cuda")
    ]
    for name in METRIC_NAMES:
        ours, theirs = (scores.table.column(name).to_numpy() for scores in tables)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6, err_msg=name)


def test_published_rotations_are_inverted_not_transposed() -> None:
    """Rounded to 1e-3 here: by the transpose, a body 10 m away would be 1 cm off."""
    rounded = TURN.copy()
    rounded[:3, :3] *= 1.001
    vertices = small.vertices() + np.array([0, 0, 10])
    mesh = vertices @ rounded[:3, :3].T + rounded[:3, 3]
    grid, corner = torch.ones(2, 2, 2), torch.ones(3)
    scene = Scene(points=torch.zeros(0, 3), sdf=grid, sdf_min=-corner, sdf_max=corner, attributes={})
    row, *_ = scored({"right": predicted(mesh)}, truth(frame(vertices, rounded), scene))
    assert row.global_mpve_mm == pytest.approx(0, abs=1e-3)


def test_frame_without_truth_is_refused_by_name() -> None:
    scene = Scene(
        points=torch.zeros(0, 3), sdf=torch.ones(2, 2, 2), sdf_min=torch.zeros(3), sdf_max=torch.ones(3), attributes={}
    )
    with pytest.raises(ShardError, match="1 person-images have no ground truth and cannot be scored: k;"):
        scored({"a": predicted(np.zeros((6890, 3)))}, truth(frame(None), scene))


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


@pytest.mark.parametrize("name", ["Sahmr", "a b", "-x", "improvement_percent", "about", "oracle-root"])
def test_odd_names_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.parquet").touch()
    with pytest.raises(ShardError, match="no predictor's name"):
        find_predictions(tmp_path)


def test_no_predictions_name_the_stages_that_make_them(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="dvc repro predict baseline"):
        find_predictions(tmp_path / "rich")
