"""Section ``scenes`` of params.yaml, apart from the code that needs torch and Zarr: predict_photo starts with it."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from sahmr.scenes.scan import ScanLimits
from sahmr.settings import Between, Ends, Quarantine, Share, settings


@settings
class FieldLimits:
    """How far field and scan may differ. Sound demo fields, down to steps of 26 cm: 1.0, 1.0, 0.90 and 0.76 .. 1;
    those in a wrong order, of another scan or shifted by two steps reach at most 0.9, 0.78, 0.8 in one of the shares.

    Attributes:
        inside_share: of the scan's voxels must lie between ``min`` and ``max``; scans have outliers, fields a box.
        near_share: of the scan's voxels must be within one grid step and one voxel of the field's zero.
        front_share: of the scan's faces must have the larger distance in front of them.
        slope: (smallest, largest) growth of the distance per metre in front of a face, of all but a quarter of them. It
            is 1; coarse grids round corners off, below 1. The smallest mistaken unit is feet: 3.3.
    """

    inside_share: Share = 0.9
    near_share: Share = 0.8
    front_share: Share = 0.8
    slope: Ends = (0.5, 2.0)


@settings
class Scenes:
    """Section ``scenes`` of params.yaml.

    Attributes:
        voxel_pitch_m: side of the scene's voxels.
        sdf_spacing_m, sdf_margin_m: step and reach of the distance field computed for scans that ship none.
        sdf_max_samples: a field needing more samples gets a coarser step, which its attributes then state.
        max_quarantined: this many damaged raw files are left out, counted and listed; one more, and the stage fails.
        scan: what a scan in metres looks like.
        agreement: how far a shipped distance field and its scan may differ.
    """

    voxel_pitch_m: Annotated[float, Between(0.005, 1)]
    sdf_spacing_m: Annotated[float, Between(0.005, 2)]
    sdf_margin_m: Annotated[float, Between(0, 10)]
    sdf_max_samples: Annotated[int, Between(1000, 512**3)]
    max_quarantined: Quarantine = 0
    scan: ScanLimits = field(default_factory=ScanLimits)
    agreement: FieldLimits = field(default_factory=FieldLimits)
