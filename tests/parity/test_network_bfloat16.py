"""The published network's parts under bfloat16 against the reference's float32: how much precision it costs.

Part by part: behind an arg-max over a random heat-map an error has no bound. A bfloat16 has 8 significant bits.
"""

from __future__ import annotations

import pytest
import torch

from sahmr.network.hrnet import normalize_image
from sahmr.network.precision import reduced
from sahmr.network.root import RootMaps
from sahmr.sparse.kernel_map import Rounding
from tests.parity.golden_file import GoldenFile, Kind
from tests.parity.published import MODES, Load, Weights, tables

BOUNDS: tuple[tuple[Kind, float], ...] = (
    ("of scale", 5e-2),  # of the largest value, at the worst of all places
    ("L2", 2e-2),  # norm of the difference over the norm
)


def judge(data: GoldenFile, array: str, got: torch.Tensor) -> None:
    assert got.dtype == torch.float32
    for kind, bound in BOUNDS:
        data.judge(f"bfloat16_{data.name}", array, got, bound, kind)


@torch.no_grad()
def test_trunks(load: Load, published: Weights) -> None:
    data, net = load("G2_hrnet"), published.network()
    image = normalize_image(data.given("image_u8") / 255)
    with reduced("bfloat16", image.device):
        maps: RootMaps = net.rcnet.root_net(image)
        backbone = net.metro_enhanced.backbone(image)
    out = torch.cat([maps.heatmap[:, None], maps.scaled_depth[:, None], maps.features, maps.part_maps], dim=1)
    judge(data, "root_net_out", out)
    assert backbone.dtype == torch.bfloat16
    judge(data, "metro_backbone_out", backbone.float())


@pytest.mark.parametrize("mode", MODES)
@torch.no_grad()
def test_contact_net(load: Load, published: Weights, mode: Rounding) -> None:
    data = load("G1_spvcnn_eval")
    net, feats = published.network(rounding=mode).rcnet.contact_net, data.given("feats")
    with reduced("bfloat16", feats.device):
        judge(data, f"eval_out_{mode}", net(data.given("coords"), feats))


@torch.no_grad()
def test_mesh_net(load: Load, published: Weights) -> None:
    data = load("G4_metro_enhanced")
    net = published.network(tables(data)).metro_enhanced
    image = normalize_image(data.given("in__image_u8") / 255)
    points, part, mask = (data.given(f"in__{name}") for name in ("pred_crm_pcSeg", "pcSeg_pids", "pcSeg_mask"))
    with reduced("bfloat16", image.device):
        vertices, corrected, _ = net.reconstruct(image, points, part, mask)
    judge(data, "pred_verts", vertices)
    judge(data, "pred_corr_pc", corrected)
