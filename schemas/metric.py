"""Every metric's name, formula, unit and source, and the rows of ``scores/<dataset>.parquet`` that hold them."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from schemas.fields import column, schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is known of one metric; ``docs/numbers.md`` shows the same.

    Attributes:
        name: of the column.
        paper: how the paper calls it; ``-``: not in it.
        formula: of one person-image; letters as ``docs/numbers.md`` has them.
        unit: mm, m, deg or ratio (0..1 or dimensionless).
        source: who defined it.
        nullable: whether it is not defined of some images.
        larger_is_better: such as shares of what is right.
        of_frame: whether each image has it; else it is a share of images.
    """

    name: str
    paper: str = "-"
    formula: str
    unit: str
    source: str
    nullable: bool = False
    larger_is_better: bool = False
    of_frame: bool = True


_PAPER, _VALIDATOR = "Shen et al., CVPR 2023", "the reference's validator"
METRICS = (
    Metric(name="global_mpjpe_mm", paper="G-MPJPE", formula="mean over joints of |Ĵ - J|", unit="mm", source=_PAPER),
    Metric(name="global_mpve_mm", paper="G-MPVE", formula="mean over vertices of |V̂ - V|", unit="mm", source=_PAPER),
    Metric(name="mpjpe_mm", paper="MPJPE", formula="mean of |(Ĵ - p̂) - (J - p)|", unit="mm", source=_PAPER),
    Metric(name="mpve_mm", paper="MPVE", formula="mean of |(V̂ - p̂) - (V - p)|", unit="mm", source=_PAPER),
    Metric(name="pa_mpjpe_mm", formula="MPJPE after the best similarity (Procrustes)", unit="mm", source=_VALIDATOR),
    Metric(
        name="initial_root_mm",
        formula="|r̂0 - p|, r̂0 the root before refinement",
        unit="mm",
        source=_VALIDATOR,
        nullable=True,
    ),
    Metric(name="root_mm", formula="|r̂ - p|, r̂ the root that places the mesh", unit="mm", source=_VALIDATOR),
    Metric(
        name="penetration_m", paper="PenE", formula="sum over 6890 vertices of |d| where d < 0", unit="m", source=_PAPER
    ),
    Metric(
        name="contact_m", paper="ConFE", formula="sum of |d| over C, plus PenE of the others", unit="m", source=_PAPER
    ),
    Metric(name="penetration_mean_mm", formula="PenE / 6890", unit="mm", source="ours"),
    Metric(name="penetrating_ratio", formula="share of vertices with d < 0", unit="ratio", source="ours"),
    Metric(
        name="edge_error_ratio",
        formula="mean over the mesh's 20 664 edges of |ê / e - 1|, e the length in the true mesh",
        unit="ratio",
        source="ours",
    ),
    Metric(
        name="trunk_angle_deg",
        formula="angle between t̂ and t, t = H36M neck (row 8) - pelvis (row 0)",
        unit="deg",
        source="ours",
    ),
    Metric(
        name="contact_precision_ratio",
        formula="share of predicted contact points with a true one within 5 cm",
        unit="ratio",
        source="ours",
        nullable=True,
        larger_is_better=True,
    ),
    Metric(
        name="contact_recall_ratio",
        formula="share of true contact points with a predicted one within 5 cm",
        unit="ratio",
        source="ours",
        nullable=True,
        larger_is_better=True,
    ),
    Metric(
        name="contact_f1_ratio",
        formula="2 x precision x recall / (precision + recall); 0 where nothing is right",
        unit="ratio",
        source="ours",
        nullable=True,
        larger_is_better=True,
    ),
    Metric(
        name="trunk_within_30_ratio",
        formula="share of images with trunk_angle_deg at most 30",
        unit="ratio",
        source="ours",
        larger_is_better=True,
        of_frame=False,
    ),
    Metric(
        name="trunk_within_30_sitting_lying_ratio",
        formula="the same of images whose posture is sitting or lying",
        unit="ratio",
        source="ours",
        nullable=True,
        larger_is_better=True,
        of_frame=False,
    ),
)
METRIC_NAMES = tuple(metric.name for metric in METRICS if metric.of_frame)
SHARE_NAMES = tuple(metric.name for metric in METRICS if not metric.of_frame)  # of frames: in summaries alone
LARGER_IS_BETTER = tuple(metric.name for metric in METRICS if metric.larger_is_better)

METRIC_SCHEMA = schema(
    "metric",
    (
        column("key", pa.string()),
        column("predictor", pa.string(), note="whose table: sahmr | baseline | another method; or an oracle"),
        column("sequence", pa.string()),
        column("scene", pa.string()),
        column("camera", pa.int32(), nullable=True, note="as the frame table numbers them; null: not known"),
        *(
            column(
                metric.name,
                pa.float64(),
                nullable=metric.nullable,
                unit="" if metric.unit == "ratio" else metric.unit,
                note=metric.formula,
            )
            for metric in METRICS
            if metric.of_frame
        ),
        column("posture", pa.string(), note="of the true body: standing | crouching | sitting | lying"),
        column("distance_m", pa.float64(), unit="m", note="from the camera to the true pelvis"),
        column("occluded_ratio", pa.float64(), note="share of true vertices that the scan hides from the camera"),
    ),
    version="4.0",
    stage="evaluate",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricRecord:
    """Scores of one predictor on one person-image; see ``METRICS`` for formulas and units."""

    key: str
    predictor: str
    sequence: str
    scene: str
    camera: int | None
    global_mpjpe_mm: float
    global_mpve_mm: float
    mpjpe_mm: float
    mpve_mm: float
    pa_mpjpe_mm: float
    initial_root_mm: float | None
    root_mm: float
    penetration_m: float
    contact_m: float
    penetration_mean_mm: float
    penetrating_ratio: float
    edge_error_ratio: float
    trunk_angle_deg: float
    contact_precision_ratio: float | None
    contact_recall_ratio: float | None
    contact_f1_ratio: float | None
    posture: str
    distance_m: float
    occluded_ratio: float
