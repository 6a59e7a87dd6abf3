"""Intervals of what is said about forecasts, all from the same draws of whole families.

The Brier score, risks and AURC get expanded percentile intervals. Calibration error and the Brier score's reliability
and resolution are sums of squares or absolute values of noisy means, so they are too large, and a resample's larger
still by as much again: a percentile interval of a calibrated forecaster's error would all but never hold the truth.
They get the basic interval, which turns the percentiles over (2 x - q_high, 2 x - q_low; Davison and Hinkley 1997),
from 0 on; its upper end is at least the upper percentile less what resampling added on average. An error
that a calibrated forecaster would show one time in twenty has 0 inside its interval.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from sage_gym.evaluation.bins import bin_error, brier_bins, brier_parts, cut, membership
from sage_gym.evaluation.intervals import Floats, Interval, percentiles, resampled
from sage_gym.evaluation.risk import COVERAGES, RiskCoverage, RiskPoint, area, best_area, risks

__all__ = ["Doubt", "doubt"]


class Doubt(BaseModel):
    """The intervals of a forecaster's quality."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    brier: Interval
    reliability: Interval
    resolution: Interval
    ece_width: Interval
    ece_mass: Interval
    risk: RiskCoverage


def doubt(
    y: Floats,
    p: Floats,
    families: list[str],
    *,
    bands: tuple[float, float],
    bins: int = 10,
    seed: int = 0,
    resamples: int = 1000,
) -> Doubt:
    """Bootstrap everything by family.

    Args:
        y: 1 where the task failed.
        p: forecasts of that.
        families: clusters that are drawn whole.
        bands: of the calibration errors, equal width and equal mass: what 95 % of calibrated forecasters stay below.
        bins: of the calibration errors and of the decomposition.
        seed: of the resampling.
        resamples: how many.
    """
    wide, massed = membership(cut(p, "equal width", bins)), membership(cut(p, "equal mass", bins))
    values = membership(brier_bins(p, bins))

    def statistics(weights: Floats) -> Floats:
        parts = brier_parts(y, p, values, weights)
        errors = [bin_error(y, p, wide, weights), bin_error(y, p, massed, weights)]
        scalars = [parts.value, area(y, p, weights), parts.reliability, parts.resolution, *errors]
        return np.column_stack([*scalars, risks(y, p, weights)])

    [seen] = statistics(np.ones((1, len(y))))
    drawn = resampled(statistics, families, seed=seed, resamples=resamples)
    count = len(set(families))
    ends, means = [percentiles(column, count) for column in drawn.T], drawn.mean(axis=0)

    def interval(at: int, low: float, high: float, method: str) -> Interval:
        name = f"{method} of {count} clusters"
        return Interval(value=float(seen[at]), low=low, high=high, n=len(y), method=name)

    def percentile(at: int) -> Interval:
        return interval(at, *ends[at], "bootstrap")

    def basic(at: int, band: float | None = None) -> Interval:
        (low, high), value = ends[at], float(seen[at])
        lower = 0.0 if band is not None and value <= band else max(0.0, 2 * value - high)
        upper = max(0.0, 2 * value - low, high - (float(means[at]) - value))
        return interval(at, lower, upper, "basic bootstrap")

    points = [RiskPoint(coverage=float(at), risk=percentile(6 + k)) for k, at in enumerate(COVERAGES)]
    return Doubt(
        brier=percentile(0),
        reliability=basic(2),
        resolution=basic(3),
        ece_width=basic(4, bands[0]),
        ece_mass=basic(5, bands[1]),
        risk=RiskCoverage(
            points=tuple(points), area=percentile(1), base=float(y.mean()), best=best_area(int(y.sum()), len(y))
        ),
    )
