"""How far a mean can be trusted: 95 % intervals of means over sequences drawn again."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from numpy import ndarray

from sahmr.scores.summary import NAMES, add_cells

DRAWS, SEED, LEVEL = 2000, 66, 0.95
_FEWEST = 2  # sequences: drawing one again and again says nothing

Interval = list[float | None]  # mean, lower and upper end, to four digits; None: not known


def intervals(cells: pa.Table) -> dict[str, dict[str, Interval]]:
    """Mean and interval of every score of every predictor, as far as it is known of any frame.

    The sequences are drawn with replacement, as many as there are, 2000 times; a mean of a draw is over all frames of
    the sequences drawn, so that images of one sequence, which resemble each other, do not count as independent. All
    predictors and scores share the draws. The interval is from the 2.5th to the 97.5th percentile of the means.

    Args:
        cells: as :meth:`sahmr.scores.summary.Tally.cells`, of all or some images.

    Source: percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13), over clusters.
    """
    sums = add_cells(cells, "predictor", "sequence").sort_by([("sequence", "ascending")])
    sequences = sums.column("sequence").unique()
    place = {name: number for number, name in enumerate(sequences.to_pylist())}
    rows = np.array([place[name] for name in sums.column("sequence").to_pylist()])
    predictors = np.array(sums.column("predictor").to_pylist())
    draws = _draw(len(sequences)) if len(sequences) >= _FEWEST else None
    values = np.stack([sums.column(name).to_numpy() for name in NAMES], axis=1)  # [rows, names], NaN where null
    counts = np.stack([sums.column(f"{name}:count").to_numpy() for name in NAMES], axis=1).astype(np.float64)
    found = {}
    for predictor in dict.fromkeys(cells.column("predictor").to_pylist()):
        ours = predictors == predictor
        total, known = (np.zeros((len(sequences), len(NAMES))) for _ in range(2))
        total[rows[ours]], known[rows[ours]] = np.nan_to_num(values[ours]), counts[ours]
        found[str(predictor)] = _of_predictor(total, known, draws)
    return found


def _draw(count: int) -> Float[ndarray, "draws sequences"]:
    """How often each sequence is in each draw; the same for the same number of sequences."""
    times: Float[ndarray, "draws sequences"] = (
        np.random.default_rng(SEED).multinomial(count, [1 / count] * count, size=DRAWS).astype(np.float64)
    )
    return times


def _of_predictor(
    total: Float[ndarray, "sequences names"],
    known: Float[ndarray, "sequences names"],
    draws: Float[ndarray, "draws sequences"] | None,
) -> dict[str, Interval]:
    found: dict[str, Interval] = {}
    for number, name in enumerate(NAMES):
        frames = known[:, number]
        if not frames.sum():
            continue
        mean, ends = total[:, number].sum() / frames.sum(), [np.nan, np.nan]
        if draws is not None and (frames > 0).sum() >= _FEWEST:
            of_draws = np.einsum("ds,s->d", draws, frames)
            means = np.einsum("ds,s->d", draws, total[:, number])[of_draws > 0] / of_draws[of_draws > 0]
            ends = list(np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
        found[name] = [None if np.isnan(value) else round(float(value), 4) for value in (mean, *ends)]
    return found
