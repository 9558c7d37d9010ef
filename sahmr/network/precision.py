"""Which parts of the network keep float32 while the rest runs under ``torch.autocast``."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["float32", "bfloat16"]
TrainingPrecision = Literal["float32", "bfloat16", "float16"]

_REDUCED = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def reduced(precision: TrainingPrecision, device: torch.device) -> torch.autocast:
    """Context in which matrix products and convolutions use that type; the weights stay float32.

    bfloat16 has 8 significant bits: 4 m would be 16 mm off; float16 has 11, and nothing above 65504. So the network
    leaves it (:func:`full`) wherever pixels or metres are computed: in cameras, voxels and votes, and in the last layer
    of every head.
    """
    return torch.autocast(device.type, _REDUCED.get(precision, torch.bfloat16), enabled=precision in _REDUCED)


def float32_region(device: torch.device) -> torch.autocast:
    """Context that switches autocast off; for layers, whose inputs have to be cast back too, see :func:`precisely`."""
    return torch.autocast(device.type, enabled=False)


def precisely(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a layer outside autocast, in the precision of its weights."""
    with float32_region(x.device):
        result: Tensor = layer(x.to(next(layer.parameters()).dtype))
    return result
