"""Contact points four and six centimetres off."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sahmr.scores.contact import contact_scores, touching_vertices, true_contacts

TRUE = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]])


@pytest.mark.parametrize(("off_m", "share"), [(0.0, 1.0), (0.04, 1.0), (0.06, 0.0)])
def test_right_within_five_centimetres(off_m: float, share: float) -> None:
    assert contact_scores(TRUE + torch.tensor([0, 0, off_m]), TRUE) == (share, share)


def test_precision_counts_claims_and_recall_counts_truths() -> None:
    """One of four is found, twice; a third claim is wrong."""
    claims = torch.tensor([[0.0, 0.01, 0], [0, 0.02, 0], [0, 9, 0]])
    assert contact_scores(claims, TRUE) == (pytest.approx(2 / 3), 0.25)


def test_what_is_not_defined_is_none() -> None:
    assert contact_scores(torch.zeros(0, 3), TRUE) == (None, 0.0)
    assert contact_scores(TRUE, torch.zeros(0, 3)) == (None, None)


def test_labels_say_who_touches_and_else_the_parts_do() -> None:
    part = torch.zeros(6890, dtype=torch.long)
    part[:4] = torch.tensor([1, 3, 4, 7])
    label = np.zeros(6890, dtype=bool)
    label[9] = True
    assert touching_vertices(label, part, (3, 4)).nonzero().flatten().tolist() == [9]
    assert touching_vertices(None, part).nonzero().flatten().tolist() == [0, 1, 2, 3]
    assert touching_vertices(None, part, (3, 4)).nonzero().flatten().tolist() == [0, 3]


def test_touched_is_what_lies_within_seven_centimetres() -> None:
    vertices = torch.full((6890, 3), 5.0)
    vertices[9], vertices[10] = torch.zeros(3), torch.tensor([1.0, 0, 0])
    touching = torch.zeros(6890, dtype=torch.bool)
    touching[9] = True
    scene = torch.tensor([[0, 0, 0.08], [0, 0.06, 0], [1, 0, 0], [-0.05, 0, 0]])
    assert torch.equal(true_contacts(scene, vertices, touching), scene[[1, 3]])
    assert true_contacts(scene, vertices, torch.zeros(6890, dtype=torch.bool)).shape == (0, 3)
