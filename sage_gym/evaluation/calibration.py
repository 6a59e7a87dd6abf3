"""Whether forecasts mean what they say: Brier with its decomposition, calibration error with its band, reliability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from sage_gym.evaluation.auroc import auroc
from sage_gym.evaluation.bins import Binning, bin_error, brier_bins, brier_parts, cut, membership
from sage_gym.evaluation.doubt import Doubt, doubt
from sage_gym.evaluation.intervals import Floats, Interval, cluster_mean, wilson

__all__ = [
    "Binning",
    "Brier",
    "CalibrationError",
    "ForecastQuality",
    "ReliabilityRow",
    "calibration_error",
    "decompose_brier",
    "judge_forecasts",
    "reliability_table",
]


class Brier(BaseModel):
    """mean (p - y)^2 = reliability - resolution + uncertainty + within_bins (Murphy, J. Appl. Meteor. 1973).

    `within_bins` is what binning leaves over; 0 where each bin holds one forecast value (Stephenson et al. 2008).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    reliability: float
    resolution: float
    uncertainty: float
    """Also the Brier score of always forecasting these very tasks' base rate."""
    within_bins: float


class CalibrationError(BaseModel):
    """Expected calibration error, and what a calibrated forecaster would show on as many tasks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    band: float
    """95 % of calibrated forecasters, simulated with these forecasts, are at or below this."""
    expected: float
    """Their mean."""
    bins: int
    binning: Binning

    @property
    def is_within_band(self) -> bool:
        """Whether this error is compatible with being calibrated."""
        return self.value <= self.band


class ReliabilityRow(BaseModel):
    """One bin of the reliability diagram."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: float
    high: float
    forecast: float
    """Mean of the bin."""
    observed: Interval
    """Share that failed, Wilson."""


class ForecastQuality(BaseModel):
    """The quality of failure forecasts on one sample: `n` tasks or turns of which `failures` failed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    n: int
    failures: int
    left_out: int = 0
    """Infrastructure failures, episodes intervened upon, and those without a forecast."""
    auroc: Interval | None
    """None where all failed or none did."""
    brier: Brier
    brier_gain: Interval
    """The base rate's Brier minus this one, bootstrapped by family; above 0 is better than the base rate."""
    ece_width: CalibrationError
    ece_mass: CalibrationError
    reliability: tuple[ReliabilityRow, ...]
    doubt: Doubt | None = None
    """The intervals of Brier score, decomposition and calibration errors, and the risk-coverage curve; None in records
    that were written before there were any."""


def judge_forecasts(
    name: str,
    failed: Sequence[bool],
    forecasts: Sequence[float],
    families: Sequence[str],
    *,
    left_out: int = 0,
    bins: int = 10,
    seed: int = 0,
) -> ForecastQuality | None:
    """Judge forecasts against what happened; None for an empty sample.

    Args:
        name: of the forecaster, for the record.
        failed: what happened, one a task.
        forecasts: p_fail in [0, 1].
        families: clusters for the bootstrap.
        left_out: how many were not judged, for the record.
        bins: of the calibration errors.
        seed: of the simulation and the bootstrap.

    Raises:
        ValueError: a forecast that is no probability, or lists of different lengths.
    """
    y, p = np.asarray(failed, dtype=float), np.asarray(forecasts, dtype=float)
    if y.shape != p.shape or len(families) != len(y):
        raise ValueError(f"expected one forecast and family a label, got {len(y)}, {len(p)} and {len(families)}")
    if not np.isfinite(p).all() or (p < 0).any() or (p > 1).any():
        raise ValueError("expected forecasts in [0, 1], got others; pass probabilities, not logits")
    if len(y) == 0:
        return None
    gains = (y.mean() - y) ** 2 - (p - y) ** 2
    gain = cluster_mean(gains.tolist(), families, seed=seed)
    assert gain is not None
    by_width = calibration_error(y, p, "equal width", bins=bins, seed=seed)
    by_mass = calibration_error(y, p, "equal mass", bins=bins, seed=seed)
    bands = (by_width.band, by_mass.band)
    return ForecastQuality(
        name=name,
        n=len(y),
        failures=int(y.sum()),
        left_out=left_out,
        auroc=auroc([bool(label) for label in failed], forecasts),
        brier=decompose_brier(y, p, bins),
        brier_gain=gain,
        ece_width=by_width,
        ece_mass=by_mass,
        reliability=reliability_table(y, p, bins),
        doubt=doubt(y, p, list(families), bands=bands, bins=bins, seed=seed),
    )


def decompose_brier(y: Floats, p: Floats, bins: int = 10) -> Brier:
    """Decompose the Brier score by forecast value where there are at most `bins` values, else by equal-mass bins."""
    parts = brier_parts(y, p, membership(brier_bins(p, bins)), np.ones(len(y)))
    value, explained = float(parts.value), float(parts.reliability - parts.resolution + parts.uncertainty)
    return Brier(
        value=value,
        reliability=float(parts.reliability),
        resolution=float(parts.resolution),
        uncertainty=float(parts.uncertainty),
        within_bins=value - explained,
    )


def calibration_error(
    y: Floats, p: Floats, binning: Binning, *, bins: int = 10, seed: int = 0, simulations: int = 2000
) -> CalibrationError:
    """Return sum_k (n_k / N) |mean p - mean y| over bins, with the band of a calibrated forecaster.

    The band draws outcomes from the forecasts themselves: with few tasks even a perfect forecaster has an error,
    and one number without it says nothing.
    """
    member = membership(cut(p, binning, bins))
    generator = np.random.default_rng(seed)
    simulated = (generator.random((simulations, len(p))) < p).astype(float)
    errors = np.abs((simulated - p) @ member).sum(axis=1) / len(p)
    return CalibrationError(
        value=float(bin_error(y, p, member, np.ones(len(p)))),
        band=float(np.quantile(errors, 0.95)),
        expected=float(errors.mean()),
        bins=bins,
        binning=binning,
    )


def reliability_table(y: Floats, p: Floats, bins: int = 10) -> tuple[ReliabilityRow, ...]:
    """Return the bins of equal width that hold anything."""
    codes = cut(p, "equal width", bins)
    rows = []
    for k in np.unique(codes):
        inside = codes == k
        observed = wilson(int(y[inside].sum()), int(inside.sum()))
        assert observed is not None
        rows.append(
            ReliabilityRow(low=k / bins, high=(k + 1) / bins, forecast=float(p[inside].mean()), observed=observed)
        )
    return tuple(rows)
