"""Every row of the table in docs/reference-differences.md has a test that shows which way we went."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
from pathlib import Path

import pytest

from sahmr.network.size import OWN, REFERENCE

_ROOT = Path(__file__).parents[2]

# Number in the table -> tests that would fail if the "here" column were wrong.
SHOWN_BY = {
    1: ["network/test_root_contact.py::test_vote_by_hand"],
    2: ["network/test_root_contact.py::test_part_position_codes"],
    3: ["sparse/test_convolution.py::test_floor_is_shift_invariant_and_trunc_is_not", "parity/test_sparse.py"],
    4: ["network/test_root_contact.py::test_cells_are_corner_aligned"],
    5: ["shards/test_crop.py::test_area_reduction_and_its_map_agree"],
    6: ["test_targets.py::test_root_outside_the_crop_is_clamped_so_that_its_stamp_fits"],
    7: ["network/test_root_contact.py::test_far_roots_are_substituted"],
    8: ["network/test_root_contact.py::test_contacts_are_cut_and_padded"],
    9: ["test_losses_metrics.py::test_contact_loss_over_all_places_or_over_the_real_ones"],
    10: ["network/test_bad_input.py::test_no_contact_point_is_padding_without_any_effect"],
    11: ["readers/test_rich.py::test_mesh_and_parameters_agree", "readers/test_rich.py::test_record"],
    12: ["network/test_root_contact.py::test_samples_do_not_depend_on_their_batch_mates"],
    13: ["test_targets.py::test_jitter_depends_on_the_generator_alone_and_ignored_parts_vanish"],
    14: ["parity/test_metrics.py::test_voxel_and_map_scores_of_validator"],
    15: ["geometry/test_nearest_procrustes.py::test_nearest_agrees_with_brute_force_in_any_block_size"],
    16: ["parity/test_oddities.py::test_records_cannot_be_changed"],
    17: ["network/test_root_contact.py::test_nothing_is_written_into_the_batch"],
    18: ["network/test_bad_input.py::test_person_beyond_the_far_plane"],
    19: ["readers/test_rich.py::test_record"],
    20: ["parity/test_metrics.py::test_six_table_metrics"],
    21: ["parity/test_network.py::test_every_reference_key"],
    22: ["shards/test_crop.py::test_draws_depend_on_seed_epoch_and_key_alone"],
}


def test_table_numbers() -> None:
    table = (_ROOT / "docs/reference-differences.md").read_text().split("\n## ")[0]
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)] == sorted(SHOWN_BY)


@pytest.mark.parametrize("number", sorted(SHOWN_BY))
def test_shown_by_a_test(number: int) -> None:
    for place in SHOWN_BY[number]:
        path, _, name = place.partition("::")
        tree = ast.parse((_ROOT / "tests" / path).read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert not name or name in functions, f"oddity {number}: tests/{place} is gone"


def test_every_switch_differs() -> None:
    """A switch whose two sides agree would be none; geometry is the same for both, and both lack what is ours alone."""
    same = [
        field.name for field in dataclasses.fields(OWN) if getattr(OWN, field.name) == getattr(REFERENCE, field.name)
    ]
    assert same == ["size_head", "region"] and not OWN.size_head
    assert (REFERENCE.rounding, REFERENCE.vote) == ("trunc", "softmax_sigmoid")
    assert REFERENCE.part_position_shift and REFERENCE.contact_sampling == "with_replacement"


@pytest.mark.parametrize(
    "module", ["sahmr.structures", "schemas.frame", "schemas.scene", "schemas.shard", "schemas.metric"]
)
def test_records_cannot_be_changed(module: str) -> None:
    classes = [item for item in vars(importlib.import_module(module)).values() if dataclasses.is_dataclass(item)]
    assert classes and all(item.__dataclass_params__.frozen for item in classes)
