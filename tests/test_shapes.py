"""The shapes in signatures are checked while the suite runs; ``tests/worlds/checked.py`` switches that on."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from sahmr.geometry.camera import project
from sahmr.metrics import mean_distance_mm
from sahmr.network.hrnet import normalize_image
from sahmr.shards.crop import crop_box
from sahmr.sparse.kernel_map import Lattice
from sahmr.structures import PackedPoints
from tests.worlds.checked import unchecked

WRONG: dict[str, Callable[[], object]] = {
    "two points for one camera": lambda: project(torch.ones(2, 3), torch.eye(3)[None]),
    "four coordinates": lambda: project(torch.ones(1, 4), torch.eye(3)[None]),
    "a box of five numbers": lambda: crop_box(np.ones(5)),
    "numbers of the wrong kind": lambda: crop_box(np.ones(4, dtype=np.int64)),
    "meshes of two sizes": lambda: mean_distance_mm(torch.ones(1, 3, 3), torch.ones(1, 2, 3)),
    "a gray image": lambda: normalize_image(torch.ones(1, 1, 8, 8)),
    "voxels without a batch index": lambda: Lattice(torch.zeros(2, 3, dtype=torch.long)),
    "a record whose fields disagree": lambda: PackedPoints(xyz=torch.ones(2, 3), sample=torch.zeros(3).long()),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_shape_fails(what: str) -> None:
    with pytest.raises(TypeCheckError):
        WRONG[what]()


def test_outside_of_the_suite_nobody_checks() -> None:
    with unchecked():
        packed = PackedPoints(xyz=torch.ones(2, 3), sample=torch.zeros(3).long())
    assert len(packed.sample) == 3


def test_every_loaded_module_is_checked() -> None:
    """Those that ``conftest.py`` imports, too, and in every process of the suite."""
    loaded = {name: module for name, module in sys.modules.items() if name.startswith("sahmr.")}
    kinds = {name: type(module.__loader__).__name__ for name, module in loaded.items()}
    unchecked_ones = {name for name, kind in kinds.items() if kind != "_JaxtypingLoader"}
    assert {name for name in unchecked_ones if not name.startswith("sahmr.demo")} == set()
    assert kinds["sahmr.settings"] == "_JaxtypingLoader"  # conftest.py imports it
