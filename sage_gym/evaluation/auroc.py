"""Area under the ROC curve with DeLong's interval, and his test for two forecasts of the same outcomes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.optimize import brentq
from scipy.stats import norm, rankdata

from sage_gym.evaluation.intervals import Floats, Interval

__all__ = ["AurocDifference", "auroc", "auroc_difference", "weighted_auroc"]


class AurocDifference(BaseModel):
    """a - b on the same outcomes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    difference: float
    low: float
    high: float
    p: float | None
    """DeLong's, two-sided; None where the variance is 0 though the areas differ."""


def auroc(labels: Sequence[bool], forecasts: Sequence[float], level: float = 0.95) -> Interval | None:
    """Return how well forecasts rank the true labels above the false ones; None with one class only.

    DeLong, DeLong and Clarke-Pearson, Biometrics 1988, by midranks (Sun and Xu, IEEE SPL 2014). Where its variance
    is 0 (perfect separation) or undefined (one case of a class), Newcombe's score interval
    (Statistics in Medicine 2006, method 5), which does not claim certainty.
    """
    parts = _placements(labels, forecasts)
    if parts is None:
        return None
    area, positives, negatives = parts
    n, variance = len(labels), _covariance(positives, positives, negatives, negatives)
    z = float(norm.ppf((1 + level) / 2))
    if variance is None or variance <= 0.0:
        low, high = _newcombe(area, len(positives), len(negatives), z)
        return Interval(value=area, low=low, high=high, level=level, n=n, method="Newcombe")
    half = z * math.sqrt(variance)
    return Interval(
        value=area, low=max(0.0, area - half), high=min(1.0, area + half), level=level, n=n, method="DeLong"
    )


def auroc_difference(
    labels: Sequence[bool], a: Sequence[float], b: Sequence[float], level: float = 0.95
) -> AurocDifference | None:
    """Return the difference of two areas with DeLong's interval and test; None where either is undefined."""
    of_a, of_b = _placements(labels, a), _placements(labels, b)
    if of_a is None or of_b is None:
        return None
    variance = _covariance(of_a[1] - of_b[1], of_a[1] - of_b[1], of_a[2] - of_b[2], of_a[2] - of_b[2])
    if variance is None:
        return None
    difference, deviation = of_a[0] - of_b[0], math.sqrt(max(0.0, variance))
    half = float(norm.ppf((1 + level) / 2)) * deviation
    if deviation > 1e-12:
        p: float | None = float(2 * norm.sf(abs(difference) / deviation))
    else:
        p = 1.0 if abs(difference) < 1e-12 else None
    return AurocDifference(difference=difference, low=difference - half, high=difference + half, p=p)


def weighted_auroc(labels: Floats, forecasts: Floats, weights: Floats) -> float | None:
    """Return the area with rows counted `weights` times, for resampling; None with one class only."""
    _, codes = np.unique(forecasts, return_inverse=True)
    positives = np.bincount(codes, weights=weights * labels)
    negatives = np.bincount(codes, weights=weights * (1.0 - labels))
    pairs = float(positives.sum() * negatives.sum())
    if pairs == 0.0:
        return None
    below = np.cumsum(negatives) - negatives
    return float((positives * (below + 0.5 * negatives)).sum() / pairs)


def _placements(labels: Sequence[bool], forecasts: Sequence[float]) -> tuple[float, Floats, Floats] | None:
    """Return the area, and for each positive (negative) the share of the other class that it is ranked right of."""
    y, p = np.asarray(labels, dtype=bool), np.asarray(forecasts, dtype=float)
    if len(y) != len(p):
        raise ValueError(f"expected one forecast a label, got {len(p)} forecasts of {len(y)} labels")
    m, n = int(y.sum()), int((~y).sum())
    if m == 0 or n == 0:
        return None
    ranks = rankdata(p)
    positives = (ranks[y] - rankdata(p[y])) / n
    negatives = 1.0 - (ranks[~y] - rankdata(p[~y])) / m
    return float(positives.mean()), positives, negatives


def _covariance(a: Floats, b: Floats, c: Floats, d: Floats) -> float | None:
    if len(a) < 2 or len(c) < 2:
        return None
    return float(np.cov(a, b)[0, 1] / len(a) + np.cov(c, d)[0, 1] / len(c))


def _newcombe(area: float, m: int, n: int, z: float) -> tuple[float, float]:
    """Solve |area - t| = z sqrt(V(t)), V being Hanley and McNeil's variance at t with (m + n) / 2 in each class."""
    half = (m + n) / 2

    def deviation(t: float) -> float:
        factor = 2 * half - 1 - (3 * half - 3) / ((2 - t) * (1 + t))
        return z * math.sqrt(max(0.0, t * (1 - t) / (m * n) * factor))

    low = float(brentq(lambda t: area - t - deviation(t), 0.0, area - 1e-9)) if area > 1e-6 else 0.0
    high = float(brentq(lambda t: t - area - deviation(t), area + 1e-9, 1.0)) if area < 1 - 1e-6 else 1.0
    return low, high
