"""Contact points four and six centimetres off."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sahmr.scores.contact import Contacts, contact_scores, touching_vertices, true_contacts

TRUE = np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]])


def contacts(xyz: np.ndarray, part: object = 1) -> Contacts:
    return Contacts(xyz=xyz, part=np.broadcast_to(part, len(xyz)).astype(np.int64))


def scores(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    found = contact_scores([contacts(predicted)], [contacts(true)])
    return found.precision[0], found.recall[0], found.f1[0]


@pytest.mark.parametrize(("off_m", "share"), [(0.0, 1.0), (0.04, 1.0), (0.06, 0.0)])
def test_right_within_five_centimetres(off_m: float, share: float) -> None:
    assert scores(TRUE + np.array([0, 0, off_m]), TRUE) == (share, share, share)


def test_precision_counts_claims_and_recall_counts_truths() -> None:
    """One of four is found, twice; a third claim is wrong."""
    claims = np.array([[0.0, 0.01, 0], [0, 0.02, 0], [0, 9, 0]])
    assert scores(claims, TRUE) == (pytest.approx(2 / 3), 0.25, pytest.approx(4 / 11))


def test_what_is_not_defined_is_nan() -> None:
    precision, *others = scores(TRUE[:0], TRUE)
    assert math.isnan(precision)
    assert others == [0, 0]
    assert all(map(math.isnan, scores(TRUE, TRUE[:0])))
    assert all(map(math.isnan, scores(TRUE[:0], TRUE[:0])))


def test_a_part_is_right_where_that_part_touches() -> None:
    """Of two claims of part 1 one is at a point of part 2; the truth of part 7 is not found."""
    found = contact_scores([contacts(TRUE[:2], [1, 1])], [contacts(TRUE[:3], [1, 2, 7])]).parts
    assert found.shape == (7, 4)
    assert found[[0, 1, 6]].tolist() == [[2, 1, 1, 1], [0, 0, 1, 0], [0, 0, 1, 0]]
    assert found[2:6].sum() == 0


def test_images_do_not_see_each_others_points() -> None:
    """The second image claims what only the first one touches; the third claims nothing."""
    claims, truths = [TRUE[:2], TRUE[:2], TRUE[:0]], [TRUE, TRUE[2:], TRUE]
    found = contact_scores([*map(contacts, claims)], [*map(contacts, truths)])
    assert found.recall.tolist() == [0.5, 0, 0]
    assert found.precision[:2].tolist() == [1, 0] and math.isnan(found.precision[2])
    assert found.parts[0].tolist() == [4, 2, 10, 2]


def test_labels_say_who_touches_and_else_the_parts_do() -> None:
    part = torch.zeros(6890, dtype=torch.long)
    part[:4] = torch.tensor([1, 3, 4, 7])
    label = np.zeros(6890, dtype=bool)
    label[9] = True
    assert touching_vertices(label, part, (3, 4)).nonzero().flatten().tolist() == [9]
    assert touching_vertices(None, part).nonzero().flatten().tolist() == [0, 1, 2, 3]
    assert touching_vertices(None, part, (3, 4)).nonzero().flatten().tolist() == [0, 3]


def test_touched_is_what_lies_within_seven_centimetres() -> None:
    vertices, part = np.full((6890, 3), 5.0), np.zeros(6890, dtype=np.int64)
    vertices[9], vertices[10], vertices[11], part[[9, 10, 11]] = 0, [1, 0, 0], [-0.06, 0, 0], [1, 2, 3]
    touching = np.isin(np.arange(6890), [9, 11])
    scene = np.array([[0, 0, 0.08], [0, 0.06, 0], [1, 0, 0], [-0.05, 0, 0]])
    found = true_contacts(scene, vertices, touching, part)
    assert found.xyz.tolist() == scene[[1, 3]].tolist()
    assert found.part.tolist() == [1, 3]  # of the nearest
    assert len(true_contacts(scene, vertices, np.zeros(6890, dtype=bool), part).xyz) == 0
    assert len(true_contacts(scene[:0], vertices, touching, part).xyz) == 0
