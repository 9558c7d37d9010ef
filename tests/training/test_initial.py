"""The start without METRO: the template comes out, contact points pass through; and METRO's names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sahmr.errors import CheckpointError
from sahmr.network.sahmr import SahmrNet
from sahmr.structures import Batch, BodyTopology, ContactPoints
from sahmr.training.checkpoint import read_checkpoint
from sahmr.training.initial import interpolation, load_initial, start_as_template, start_calmly
from tests.worlds.networks import write_topology


def test_network_starts_as_the_template(network: SahmrNet, topology: BodyTopology, tmp_path: Path) -> None:
    write_topology(tmp_path)
    mesh = network.metro_enhanced.eval()
    start_as_template(mesh, tmp_path)
    points = torch.rand(1, 20, 3)
    part = torch.ones(1, 20, dtype=torch.long)
    with torch.no_grad():
        made = mesh(
            torch.rand(1, 3, 224, 224), torch.zeros(1, 3), ContactPoints(xyz_camera=points, part=part, mask=part > 0)
        )
    torch.testing.assert_close(made.contacts_anchor, points, rtol=0, atol=1e-5)
    coarse = made.vertices_anchor[0, topology.coarse_to_full]
    torch.testing.assert_close(coarse, topology.template_coarse, rtol=0, atol=0.02)  # a cloud, not a surface


def test_neighbours_start_alike(network: SahmrNet, topology: BodyTopology, tmp_path: Path) -> None:
    """Independent numbers of neighbouring tokens leave a crumpled mesh; their spread over the body must stay."""
    write_topology(tmp_path)
    mesh = network.metro_enhanced
    before = mesh.conv_learn_tokens.weight.detach().clone()
    start_as_template(mesh, tmp_path)
    distance = torch.cdist(mesh.template, mesh.template).fill_diagonal_(9)
    near = distance.argmin(dim=1)

    def apart(weight: torch.Tensor) -> float:
        weight = weight[: len(near)].flatten(1)
        return float((weight - weight[near]).norm() / weight.norm())

    block = mesh.trans_encoder[0]
    for weight, was in ((mesh.conv_learn_tokens.weight, before), (block.bert.position_embeddings.weight, None)):
        assert apart(weight.detach()) < 0.7  # independent: 1.4
        if was is not None:
            assert apart(was) > 1.2
            assert float(weight.detach().std()) == pytest.approx(float(was.std()), rel=0.3)


def test_interpolation_rebuilds_a_smooth_surface() -> None:
    random = torch.Generator().manual_seed(0)
    known = torch.randn(400, 3, generator=random)
    known = known / known.norm(dim=1, keepdim=True)
    fine = torch.cat([known[:3], torch.nn.functional.normalize(torch.randn(50, 3, generator=random))])
    matrix = interpolation(fine, known)
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(53))
    assert (matrix @ known - fine).norm(dim=1).max() < 0.05
    assert (matrix[:3] @ known - known[:3]).norm(dim=1).max() < 1e-2


def test_metro_fills_both_trunks(network: SahmrNet, tmp_path: Path) -> None:
    mesh = network.metro_enhanced.state_dict()
    metro = {name: torch.full_like(value, 2) for name, value in mesh.items() if "loftr" not in name}
    torch.save(metro, tmp_path / "metro.bin")
    load_initial(network, read_checkpoint(path := tmp_path / "metro.bin"), size="paper", under="", source=str(path))
    state = network.state_dict()
    assert (state["rcnet.root_net.hrnet.conv1.weight"] == 2).all()
    assert (state["metro_enhanced.upsampling.weight"] == 2).all()
    assert not any((value == 2).all() for name, value in state.items() if "loftr" in name)


def test_metro_of_another_size_is_an_error(network: SahmrNet, tmp_path: Path) -> None:
    torch.save({"backbone.conv1.weight": torch.zeros(1)}, tmp_path / "metro.bin")
    with pytest.raises(CheckpointError, match="no entry fits"):
        load_initial(network, read_checkpoint(path := tmp_path / "metro.bin"), size="paper", under="", source=str(path))


def test_maps_start_at_nothing_and_at_the_mean_depth(network: SahmrNet, make_batch: Callable[..., Batch]) -> None:
    start_calmly(network.rcnet, 1.7)
    with torch.no_grad():
        made = network.rcnet.eval()(make_batch(0))
    assert not made.heatmap.any() and not made.part_maps.any()
    assert (made.scaled_depth == 1.7).all()


def test_folded_upsampling_is_the_same_map(network: SahmrNet, tmp_path: Path) -> None:
    write_topology(tmp_path)
    mesh = network.metro_enhanced.eval()
    start_as_template(mesh, tmp_path)
    torch.nn.init.normal_(mesh.upsampling.bias, std=0.1)
    points, part = torch.rand(1, 20, 3), torch.ones(1, 20, dtype=torch.long)
    contacts = ContactPoints(xyz_camera=points, part=part, mask=part > 0)
    names = set(mesh.state_dict())
    with torch.no_grad():
        image, root = torch.rand(1, 3, 224, 224), torch.zeros(1, 3)
        apart = mesh(image, root, contacts).vertices_camera
        mesh.fold_upsampling()
        folded = mesh(image, root, contacts).vertices_camera
    torch.testing.assert_close(folded, apart, rtol=1e-5, atol=1e-5)
    assert not torch.equal(folded, apart)  # another order of sums: it was used
    assert set(mesh.state_dict()) == names
