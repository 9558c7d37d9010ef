"""Files laid out as the authors' checkpoints, from a network of any size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sahmr.network.sahmr import SahmrNet

_EMBEDDINGS = [
    *("word_embeddings.weight", "position_embeddings.weight", "token_type_embeddings.weight"),
    *("LayerNorm.weight", "LayerNorm.bias"),
]
UNUSED_PER_BLOCK = [*(f"embeddings.{name}" for name in _EMBEDDINGS), "pooler.dense.weight", "pooler.dense.bias"]
UNUSED = [
    *("metro_enhanced.backbone.classifier.weight", "metro_enhanced.backbone.classifier.bias"),
    *(f"metro_enhanced.trans_encoder.{block}.bert.{name}" for block in range(3) for name in UNUSED_PER_BLOCK),
]
CAMERA_HEAD = {
    "cam_param_fc.weight": (1, 3), "cam_param_fc.bias": (1,), "cam_param_fc2.weight": (250, 431),
    "cam_param_fc2.bias": (250,), "cam_param_fc3.weight": (3, 250), "cam_param_fc3.bias": (3,),
}  # fmt: skip
ADDED_BY_SAHMR = ("loftr_layer", "linear_cp")


def distinct_state(network: SahmrNet, seed: int = 5) -> dict[str, Tensor]:
    """The network's entries with values of their own, and the unused entries of the authors' files."""
    random = torch.Generator().manual_seed(seed)
    state = {}
    for place, (name, value) in enumerate(network.state_dict().items()):
        drawn = value + 0.02 * torch.rand(value.shape, generator=random) if value.is_floating_point() else value + place
        state[name] = drawn if value.numel() < 10**7 else drawn.flatten()[0].expand(value.shape)  # keeps files small
    return state | {name: torch.randn(2, 3, generator=random) for name in UNUSED}


def released(state: Mapping[str, Tensor]) -> dict[str, object]:
    """Content of ``sahmr_rich_e30.pth`` and ``sahmr_prox_e30.pth``."""
    return {"network": OrderedDict((f"net.{name}", value) for name, value in state.items()), "epoch": 30}


def metro(state: Mapping[str, Tensor]) -> OrderedDict[str, Tensor]:
    """Content of ``metro_3dpw_state_dict.bin``: METRO's names, its camera head, nothing that SA-HMR added."""
    mesh = {name.removeprefix("metro_enhanced."): name for name in state if name.startswith("metro_enhanced.")}
    content = OrderedDict(
        (ours, state[full]) for ours, full in mesh.items() if not any(a in ours for a in ADDED_BY_SAHMR)
    )
    content.update((name, torch.zeros(shape)) for name, shape in CAMERA_HEAD.items())
    return content


def write(path: Path, content: object, *, legacy: bool = False) -> Path:
    """``torch.save`` in the container of torch 1.6 and later, or in the one before."""
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path
