"""Scores of one person-image: the rows of ``scores/<dataset>.parquet``."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.fields import column, schema

METRIC_NAMES = (
    "global_mpjpe_mm",
    "global_mpve_mm",
    "mpjpe_mm",
    "mpve_mm",
    "pa_mpjpe_mm",
    "penetration_m",
    "contact_m",
    "penetration_mean_mm",
    "penetrating_ratio",
)

METRIC_SCHEMA = schema(
    "metric",
    (
        column("key", pa.string()),
        column("predictor", pa.string(), note="whose table: sahmr | baseline | another method"),
        column("sequence", pa.string()),
        column("global_mpjpe_mm", pa.float64(), unit="mm", note="G-MPJPE, 14 H36M joints"),
        column("global_mpve_mm", pa.float64(), unit="mm", note="G-MPVE, 6890 vertices"),
        column("mpjpe_mm", pa.float64(), unit="mm", note="pelvis-aligned"),
        column("mpve_mm", pa.float64(), unit="mm", note="pelvis-aligned"),
        column("pa_mpjpe_mm", pa.float64(), unit="mm", note="Procrustes-aligned (similarity)"),
        column("penetration_m", pa.float64(), unit="m", note="PenE, summed over 6890 vertices as published"),
        column("contact_m", pa.float64(), unit="m", note="ConFE, summed as published; equals PenE without labels"),
        column("penetration_mean_mm", pa.float64(), unit="mm", note="PenE / 6890"),
        column("penetrating_ratio", pa.float64(), note="share of vertices with negative distance"),
    ),
    version="2.0",
    stage="evaluate",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRecord:
    """Scores of one predictor on one person-image; see ``METRIC_SCHEMA`` for units."""

    key: str
    predictor: str
    sequence: str
    global_mpjpe_mm: float
    global_mpve_mm: float
    mpjpe_mm: float
    mpve_mm: float
    pa_mpjpe_mm: float
    penetration_m: float
    contact_m: float
    penetration_mean_mm: float
    penetrating_ratio: float
