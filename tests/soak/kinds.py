"""Every kind of file the pipeline opens, with the function that opens it: a world in which each of them is sound."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from catalog.artifacts import CATALOG_SCHEMA, CatalogEntry
from pipelines.conversion.piece_receipt import RECEIPT_NAME, Receipt
from pipelines.conversion.work_store import WorkStore
from sahmr.body.files import find_body_files
from sahmr.body.model import clean_path, load_clean, read_official
from sahmr.body.topology import TOPOLOGY_FILE, load_topology
from sahmr.body.transfer import TRANSFER_FILE
from sahmr.files import MANIFEST_NAME, check_manifest, read_manifest
from sahmr.network.sahmr import SahmrNet
from sahmr.network.size import OWN
from sahmr.npz import load_npz
from sahmr.readers import bodies as body_readers
from sahmr.readers import calibration, images, rich_tables
from sahmr.scenes import arrays, store
from sahmr.scenes.build import read_scan, read_shipped_distance
from sahmr.settings import Paths, load_section
from sahmr.shards.left_out import LEFT_OUT_NAME, read_left_out
from sahmr.shards.reader import INDEX_NAME, ShardReader, read_index
from sahmr.structures import Batch, BodyTopology
from sahmr.training.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from sahmr.training.compact import save_compact
from sahmr.training.optimizer import Plan
from sahmr.training.state import Keeping, TrainingData
from sahmr.training.tasks import RootContactTask, RootContactWeights
from sahmr.training.trainer import train
from sahmr.untrusted.meshes import obj_has_colors
from sahmr.untrusted.pickles import load_npy, load_npz_member, load_pickle, npz_keys
from schemas.fields import read_table
from schemas.frame import FRAME_SCHEMA, FrameRecord
from schemas.metric import METRIC_NAMES, METRIC_SCHEMA, MetricRecord
from schemas.prediction import PREDICTION_SCHEMA, prediction_table
from schemas.quarantine import QUARANTINE_SCHEMA, Quarantined
from schemas.scene import SCENE_SCHEMA
from schemas.tables_write import to_table, write_table
from tests.pipelines.damage import World
from tests.worlds.networks import TINY, make_topology

_PLAN = Plan(seed=5, epochs=2, batch_size=32, canonical_lr=1e-3)


class AgainError(Exception):
    """What the file is for is made again."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A file and what opens it.

    Attributes:
        name: of the kind.
        file: a sound one.
        read: gives what the file says, or raises our errors or :class:`AgainError`.
        is_own: the pipeline wrote it: what it says may not change in silence. Else it is a publisher's or a user's
            own, in which a flip may be as good a value as the one before.
        manifest: manifest, stage and dataset of the output it belongs to.
    """

    name: str
    file: Path
    read: Callable[[], Any]
    is_own: bool = True
    manifest: tuple[Path, str, str | None] | None = None

    def manifest_says(self) -> list[str]:
        """What the stage ``verify`` would say of the output."""
        if self.manifest is None:
            return []
        path, stage, dataset = self.manifest
        return check_manifest(path, stage=stage, dataset=dataset)


def all_kinds(world: World, batch: Batch) -> list[Kind]:
    """Every kind, in the converted part of the demo, which the working directory is.

    Args:
        world: as :func:`tests.pipelines.damage.make_world` leaves it.
        batch: one to train with.
    """
    return [*_tables(world.folder), *_outputs(world), *_trainings(world.folder, batch), *_raw(world), *_user(world)]


def _tables(folder: Path) -> Iterable[Kind]:
    """Parquet."""
    made = folder / "made"
    ours = {
        "frame table": (folder / "out/frames/rich.parquet", FRAME_SCHEMA),
        "scene table": (folder / "out/frames/rich_scenes.parquet", SCENE_SCHEMA),
        "quarantine table": (made / "quarantine.parquet", QUARANTINE_SCHEMA),
        "predictions table": (made / "predictions.parquet", PREDICTION_SCHEMA),
        "scores table": (made / "scores.parquet", METRIC_SCHEMA),
        "catalog table": (made / "catalog.parquet", CATALOG_SCHEMA),
    }
    row = Quarantined(item="a", split="train", file="images/a.jpeg", rule="image", message="images/a.jpeg: damaged")
    write_table(made / "quarantine.parquet", to_table([row], QUARANTINE_SCHEMA))
    random = np.random.default_rng(1)
    predictions = prediction_table(
        ["a", "b"],
        crop_box=random.random((2, 4)),
        initial_root=random.random((2, 3)),
        root=random.random((2, 3)),
        vertices=random.random((2, 6890, 3)),
        contact_count=np.array([1, 2]),
        contact_points=random.random((3, 3)),
        contact_parts=np.array([1, 2, 3]),
    )
    write_table(made / "predictions.parquet", predictions)
    place = {"sequence": "s", "scene": "c", "camera": 0, "distance_m": 3.0, "occluded_ratio": 0.0}
    numbers = dict.fromkeys(METRIC_NAMES, 1.5)
    scores = MetricRecord(key="a", predictor="sahmr", posture="lying", **place, **numbers)
    write_table(made / "scores.parquet", to_table([scores], METRIC_SCHEMA))
    entry = CatalogEntry(
        path="data/a", stage="frames", dataset="rich", kind="table", schema_name="frame", rows=3, files=1, bytes=7,
        sha256="0" * 64,
    )  # fmt: skip
    write_table(made / "catalog.parquet", to_table([entry], CATALOG_SCHEMA))
    for name, (path, schema) in ours.items():
        yield Kind(name=name, file=path, read=partial(read_table, path, schema))


def _outputs(world: World) -> Iterable[Kind]:
    """Shards, stores, arrays, receipts."""
    out = world.folder / "out"
    shards, scenes, bodies = out / "shards/rich", out / "scenes/rich.zarr", out / "bodies"
    of_scenes = out / "scenes/rich.manifest.json", "scenes", "rich"
    of_shards = shards / MANIFEST_NAME, "shards", "rich"
    of_bodies = bodies / MANIFEST_NAME, "bodies", None
    entries = list(read_index(shards))
    tar = entries[0].shard
    inside = [entry for entry in entries if entry.shard == tar][:2]
    yield Kind(name="shard index", file=shards / INDEX_NAME, read=lambda: list(read_index(shards)), manifest=of_shards)
    yield Kind(
        name="left-out table", file=shards / LEFT_OUT_NAME, read=lambda: read_left_out(shards), manifest=of_shards
    )
    yield Kind(
        name="shard",
        file=shards / tar,
        read=lambda: [ShardReader(shards).decode(entry, verify=True) for entry in inside],
        manifest=of_shards,
    )
    scene = arrays.list_scenes(scenes)[0]
    for place in ("", scene, f"{scene}/points", f"{scene}/sdf"):
        name = f"zarr.json of {place.replace(scene, 'a scene') or 'the store'}"
        yield Kind(
            name=name, file=scenes / place / "zarr.json", read=partial(_scene, scenes, scene), manifest=of_scenes
        )
    for array in ("points", "sdf"):
        chunk = sorted(path for path in (scenes / scene / array / "c").rglob("*") if path.is_file())[0]
        yield Kind(name=f"zarr chunk of {array}", file=chunk, read=partial(_scene, scenes, scene), manifest=of_scenes)
    for path, stage, dataset in (of_scenes, of_shards, of_bodies):
        yield Kind(
            name=f"manifest of {stage}",
            file=path,
            read=partial(read_manifest, path, stage=stage, dataset=dataset),
            manifest=(path, stage, dataset),
        )
    yield Kind(name="topology.npz", file=bodies / TOPOLOGY_FILE, read=lambda: load_topology(bodies), manifest=of_bodies)
    transfer = bodies / TRANSFER_FILE
    yield Kind(name="transfer.npz", file=transfer, read=lambda: load_npz(transfer, ()), manifest=of_bodies)
    model = clean_path(bodies, "smplx", "male")
    yield Kind(name="body model of ours", file=model, read=lambda: load_clean(model), manifest=of_bodies)
    work = WorkStore(root=(out / "work").resolve())
    for stage in ("frames", "shards"):
        piece = sorted((out / "work" / stage).glob(f"*/*/{RECEIPT_NAME}"))[0]
        yield Kind(name=f"receipt of {stage}", file=piece, read=partial(_receipt, work, stage, piece))


def _receipt(work: WorkStore, stage: str, piece: Path) -> Receipt:
    found = work.find(stage, piece.parent.name)
    if found is None:
        raise AgainError
    return found


def _scene(folder: Path, scene: str) -> Any:
    for cached in (store.load_scene, store.load_points):
        cached.cache_clear()
    return arrays.list_scenes(folder), arrays.left_out_scenes(folder), store.load_scene(folder, scene)


def _trainings(folder: Path, batch: Batch) -> Iterable[Kind]:
    """A checkpoint, and what an interrupted training left."""
    made = folder / "made"
    torch.manual_seed(0)
    topology = make_topology()
    network = SahmrNet(TINY, OWN, topology)
    weights = made / "weights.pt"
    content = Checkpoint(network=network.state_dict(), stage="train_sahmr", epoch=1, size="demo", behaviour=OWN)
    save_checkpoint(weights, content)
    yield Kind(name="checkpoint", file=weights, read=lambda: read_checkpoint(weights))
    small = made / "start.pt"
    few = dict(list(network.state_dict().items())[:20]) | {"metro_enhanced.upsampling.weight": torch.eye(300, 200)}
    save_compact(small, replace(content, network=few))
    yield Kind(name="compact checkpoint", file=small, read=lambda: read_checkpoint(small))
    resume = made / "resume.pt"
    _train(copy.deepcopy(network), topology, batch, replace(_PLAN, epochs=1), resume)
    whole = resume.read_bytes()

    def go_on() -> Any:
        """The weights of the whole training; the file may be set aside, and is back afterwards."""
        fresh = copy.deepcopy(network)
        _train(fresh, topology, batch, _PLAN, resume)
        for left in made.glob("*resume.pt*"):
            left.unlink()
        resume.write_bytes(whole)
        return fresh.state_dict()

    yield Kind(name="resume file", file=resume, read=go_on)


def _train(network: SahmrNet, topology: BodyTopology, batch: Batch, plan: Plan, resume: Path) -> None:
    task = RootContactTask(topology=topology, loss_weights=RootContactWeights(), pitch_m=0.02)
    data = TrainingData(epoch=lambda _: [batch], steps=1, validation=lambda: [batch])
    train(network, task, plan, data, keeping=Keeping(resume_file=resume, digest="a"))


def _raw(world: World) -> Iterable[Kind]:
    """The publishers' files."""
    rich, prox, models = (world.folder / name for name in ("RICH", "PROX", "body_models"))
    row = world.sound["rich"][0]
    fit = next(row for row in world.sound["prox"] if str(row.body_file).endswith(".pkl"))
    mesh = next(row for row in world.sound["prox"] if str(row.body_file).endswith(".ply"))
    labels = next(row for row in world.sound["rich"] if row.contact_file)
    table = next(iter(sorted((rich / "resource/meta").iterdir())))
    camera = sorted((rich / "scan_calibration/BBQ/calibration").glob("*.xml"))[0]
    contact = rich / str(labels.contact_file)
    quantitative = prox / "quantitative"
    found = find_body_files(models)
    official = found.smplx["male"]
    both = quantitative / "sdf/vicon_sdf.npy", quantitative / "sdf/vicon.json"
    readers: dict[str, tuple[Path, Callable[[], Any]]] = {
        "split table": (table, lambda: rich_tables.read_split_table(table, table.stem)),
        "gender.json": (rich / "resource/gender.json", lambda: rich_tables.check_genders(rich, [])),
        "camera xml": (camera, lambda: calibration.read_rich_calibration(camera)),
        "scan": (quantitative / "scenes/vicon.ply", lambda: read_scan(quantitative / "scenes/vicon.ply")),
        "body mesh": (prox / str(mesh.body_file), partial(_mesh, prox / str(mesh.body_file), Path("out/bodies"))),
        "body fit": (prox / str(fit.body_file), lambda: body_readers.read_params(prox / str(fit.body_file))),
        "contact labels": (contact, lambda: body_readers.read_contact(contact)),
        "contact obj": (contact.with_suffix(".obj"), lambda: obj_has_colors(contact.with_suffix(".obj"))),
        "image": (rich / row.image_file, partial(_image, rich, row)),
        "Color.json": (
            quantitative / "calibration/Color.json",
            lambda: calibration.read_prox_intrinsics(quantitative / "calibration/Color.json"),
        ),
        "cam2world": (
            quantitative / "cam2world/vicon.json",
            lambda: calibration.read_json_transform(quantitative / "cam2world/vicon.json"),
        ),
        "distance field": (both[0], lambda: read_shipped_distance(*both)),
        "distance field json": (both[1], lambda: read_shipped_distance(*both)),
        "official body model": (official, lambda: read_official(official, "smplx", num_betas=10)),
        "neutral body model": (found.smpl_neutral, lambda: read_official(found.smpl_neutral, "smpl", num_betas=10)),
        "body transfer": (found.transfer, lambda: load_pickle(found.transfer)),
        "joint regressor": (found.joint_regressor, lambda: load_npy(found.joint_regressor)),
        "mesh hierarchy": (found.downsampling, partial(_members, found.downsampling)),
        "contact parts": (found.parts, lambda: load_npy(found.parts)),
    }
    for name, (file, read) in readers.items():
        yield Kind(name=name, file=file, read=read, is_own=False)


def _mesh(path: Path, bodies: Path) -> Any:
    return body_readers.smpl_vertices_of_mesh(path, bodies)


def _image(root: Path, row: FrameRecord) -> Any:
    return images.read_record_image(root, row, (0, 0, 64, 48), 1)


def _members(path: Path) -> Any:
    return {key: load_npz_member(path, key) for key in npz_keys(path) if key != "M"}


def _user(world: World) -> Iterable[Kind]:
    """What users write or let write."""
    params = world.folder / "params.yaml"
    world.write_params()
    params.write_text(json.dumps(json.loads(params.read_text()), indent=1))
    yield Kind(name="params.yaml", file=params, read=lambda: load_section("paths", Paths), is_own=False)
