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
    """Return the risk at each coverage: for weights of shape N one for each, for R x N such a row for each resample.

    Args:
        y: 1 where the task failed.
        p: forecasts of that.
        weights: how often each row counts.
        coverages: shares of all rows, above 0.
    """
    answered, failures = _cumulative(y, p, np.atleast_2d(weights))
    at = coverages * answered[:, -1:]
    found = np.stack([np.interp(*row) for row in zip(at, answered, failures, strict=True)]) / at
    return found if weights.ndim > 1 else found[0]


def area(y: Floats, p: Floats, weights: Floats) -> Floats:
    """Return AURC, one for weights of shape N, R of them for R x N; weights are whole numbers.

    In a tie from row a to row b failures rise from F_a by s a row, so its rows sum to
    (F_a - s a) (H_b - H_a) + F_b - F_a, with H the harmonic numbers.
    """
    answered, failures = _cumulative(y, p, np.atleast_2d(weights))
    total = int(answered[:, -1].max())
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, total + 1))])[answered.astype(np.intp)]
    rows, failed = np.diff(answered), np.diff(failures)
    slope = failed / np.maximum(rows, 1.0)
    sums = (failures[:, :-1] - slope * answered[:, :-1]) * np.diff(harmonic) + failed
    found = sums.sum(-1) / answered[:, -1]
    return np.asarray(found if weights.ndim > 1 else found[0])


def best_area(failures: int, n: int) -> float:
    """Return AURC of an order in which every failure comes last."""
    at = np.arange(1, n + 1)
    return float((np.maximum(0, at - (n - failures)) / at).mean())


def _cumulative(y: Floats, p: Floats, weights_RN: Floats) -> tuple[Floats, Floats]:
    """Return how many rows, and how many failures, lie at or below each forecast value; both begin at 0."""
    order = np.argsort(p, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(p[order]) > 0, True))
    rows = np.cumsum(weights_RN[:, order], axis=1)[:, ends]
    failed = np.cumsum(weights_RN[:, order] * y[order], axis=1)[:, ends]
    zero = np.zeros((len(weights_RN), 1))
    return np.concatenate([zero, rows], axis=1), np.concatenate([zero, failed], axis=1)
