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
    "edge_error_ratio",
    "trunk_angle_deg",
    "contact_precision_ratio",
    "contact_recall_ratio",
)
SHARE_NAMES = ("trunk_within_30_ratio", "trunk_within_30_sitting_lying_ratio")  # of frames: in summaries alone
LARGER_IS_BETTER = ("contact_precision_ratio", "contact_recall_ratio", *SHARE_NAMES)

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
        column("edge_error_ratio", pa.float64(), note="mean over edges of |predicted / true length - 1|"),
        column("trunk_angle_deg", pa.float64(), unit="deg", note="predicted against true direction, pelvis to neck"),
        column("contact_precision_ratio", pa.float64(), nullable=True, note="right within 5 cm; null: not defined"),
        column("contact_recall_ratio", pa.float64(), nullable=True, note="found within 5 cm; null: not defined"),
        column("posture", pa.string(), note="of the true body: standing | crouching | sitting | lying"),
    ),
    version="3.0",
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
    edge_error_ratio: float
    trunk_angle_deg: float
    contact_precision_ratio: float | None
    contact_recall_ratio: float | None
    posture: str
