"""Risk over coverage: how often a policy fails on the share of tasks that its forecasts are most confident of.

Tasks are answered from the lowest forecast of failure on; the risk at coverage c is the share of failures among the
first c of them (El-Yaniv and Wiener, JMLR 2010). The area under the curve (AURC; Geifman, Uziel and El-Yaniv,
arXiv 1805.08206) is (1/n) sum_i risk(i/n). Of equal forecasts every order counts alike, so each risk is the mean over
them: failures are spread evenly over the tie.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict

from sage_gym.evaluation.intervals import Floats, Interval

__all__ = ["COVERAGES", "RiskCoverage", "RiskPoint", "area", "best_area", "risks"]

COVERAGES: Floats = np.linspace(0.05, 1.0, 20)


class RiskPoint(BaseModel):
    """The risk at one coverage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    coverage: float
    risk: Interval


class RiskCoverage(BaseModel):
    """The curve with its area; between `best` (failures last) and `base` (forecasts that say nothing) lies the room."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    points: tuple[RiskPoint, ...]
    area: Interval
    """AURC; less is better."""
    base: float
    """The share of failures, which a random order has at every coverage."""
    best: float
    """AURC of a perfect order with as many failures."""


def risks(y: Floats, p: Floats, weights: Floats, coverages: Floats = COVERAGES) -> Floats:
    """Return the risk at each coverage, rows counted `weights` times.

    Args:
        y: 1 where the task failed.
        p: forecasts of that.
        weights: how often each row counts.
        coverages: shares of all rows, above 0.
    """
    answered, failures = _cumulative(y, p, weights)
    at = coverages * answered[-1]
    found: Floats = np.interp(at, answered, failures) / at
    return found


def area(y: Floats, p: Floats, weights: Floats) -> float:
    """Return AURC, rows counted `weights` times."""
    answered, failures = _cumulative(y, p, weights)
    at = np.arange(1, round(answered[-1]) + 1, dtype=float)
    return float((np.interp(at, answered, failures) / at).mean())


def best_area(failures: int, n: int) -> float:
    """Return AURC of an order in which every failure comes last."""
    at = np.arange(1, n + 1)
    return float((np.maximum(0, at - (n - failures)) / at).mean())


def _cumulative(y: Floats, p: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return how many rows, and how many failures, lie at or below each forecast value; both begin at 0."""
    _, codes = np.unique(p, return_inverse=True)
    rows, failed = np.bincount(codes, weights=weights), np.bincount(codes, weights=weights * y)
    return np.concatenate([[0.0], np.cumsum(rows)]), np.concatenate([[0.0], np.cumsum(failed)])
