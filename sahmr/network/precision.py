"""Which parts of the network keep float32 while the rest runs under ``torch.autocast``."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


def reduced(precision: Precision, device: torch.device) -> torch.autocast:
    """Context in which matrix products and convolutions use that type; the weights stay float32.

    bfloat16 has 8 significant bits: 4 m would be 16 mm off. So the network leaves it (:func:`full`) wherever pixels
    or metres are computed: in cameras, voxels and votes, and in the last layer of every head.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def full(device: torch.device) -> torch.autocast:
    """Context that switches autocast off; inputs must be made float32 by hand."""
    return torch.autocast(device.type, enabled=False)
