from __future__ import annotations

import pytest
import torch

from sahmr.geometry import nearest as module
from sahmr.geometry.nearest import nearest, nearest_in_sample
from sahmr.geometry.procrustes import align_similarity
from sahmr.structures import pack_points


def test_nearest_agrees_with_brute_force_in_any_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(1)
    query, reference = torch.rand(50, 3, generator=random) + 100, torch.rand(20, 3, generator=random) + 100
    gap = (query[:, None].double() - reference[None].double()).norm(dim=2)
    monkeypatch.setattr(module, "_BLOCK", 7 * len(reference))
    distance, index = nearest(query, reference)
    assert torch.equal(index, gap.argmin(dim=1))
    torch.testing.assert_close(distance.double(), gap.min(dim=1).values, rtol=0, atol=1e-6)


def test_nearest_in_sample_is_the_same_filled_up_or_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU's way, tried on the CPU: equal bits, samples without queries included."""
    random = torch.Generator().manual_seed(0)
    query = pack_points([torch.randn(count, 3, generator=random) for count in (5, 0, 17)])
    reference = torch.randn(3, 11, 3, generator=random)
    one_by_one = nearest_in_sample(query, reference)
    assert torch.equal(
        one_by_one, torch.cat([nearest(query.xyz[query.sample == i], reference[i])[0] for i in range(3)])
    )
    monkeypatch.setattr(module, "_BLOCK", 40)
    assert torch.equal(module._nearest_padded(query, reference), one_by_one)
    empty = pack_points([torch.zeros(0, 3)] * 3)
    assert len(module._nearest_padded(empty, reference)) == len(nearest_in_sample(empty, reference)) == 0


def test_nearest_of_no_queries_is_empty_and_of_no_references_an_error() -> None:
    assert [len(part) for part in nearest(torch.zeros(0, 3), torch.zeros(1, 3))] == [0, 0]
    with pytest.raises(ValueError, match="at least one"):
        nearest(torch.zeros(1, 3), torch.zeros(0, 3))


def test_alignment_undoes_a_similarity() -> None:
    random = torch.Generator().manual_seed(2)
    target = torch.randn(3, 14, 3, generator=random, dtype=torch.double)
    rotation = torch.linalg.qr(torch.randn(3, 3, 3, generator=random, dtype=torch.double)).Q
    rotation = rotation * torch.linalg.det(rotation).sign()[:, None, None]
    source = 0.7 * target @ rotation.transpose(1, 2) + 5
    torch.testing.assert_close(align_similarity(source, target), target)


def test_alignment_does_not_mirror() -> None:
    target = torch.randn(1, 14, 3, generator=torch.Generator().manual_seed(3), dtype=torch.double)
    mirrored = target * torch.tensor([-1.0, 1.0, 1.0])
    assert (align_similarity(mirrored, target) - target).norm(dim=2).mean() > 0.1


def test_alignment_of_a_point_is_an_error() -> None:
    with pytest.raises(ValueError, match="coincide"):
        align_similarity(torch.ones(1, 4, 3), torch.rand(1, 4, 3))
