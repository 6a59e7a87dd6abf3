"""Intervals: Wilson for a share, bootstrap by cluster for all else.

A percentile interval of few clusters is too narrow: the resamples' variance lacks a factor G / (G - 1), and a normal
quantile stands where Student's belongs. Both are made up for in which percentiles are taken (Hesterberg, "What Teachers
Should Know About the Bootstrap", The American Statistician 2015: the expanded percentile interval).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest, norm
from scipy.stats import t as student

__all__ = [
    "Floats",
    "Interval",
    "cluster_bootstrap",
    "cluster_mean",
    "cluster_share",
    "percentiles",
    "resampled",
    "resampled_means",
    "wilson",
]

Floats = NDArray[np.float64]
MOST_NUMBERS = 2_000_000
"""Weights that are held at a time."""


class Interval(BaseModel):
    """An estimate with its interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: float
    low: float
    high: float
    level: float = 0.95
    n: int
    method: str

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def wilson(successes: int, n: int, level: float = 0.95) -> Interval | None:
    """Return a share with Wilson's score interval (JASA 1927, without continuity correction), None for n = 0.

    Raises:
        ValueError: more successes than trials, or a negative count.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"expected 0 <= successes <= n, got {successes} of {n}")
    if n == 0:
        return None
    bounds = binomtest(successes, n).proportion_ci(level, method="wilson")
    return Interval(
        value=successes / n, low=float(bounds.low), high=float(bounds.high), level=level, n=n, method="Wilson"
    )


def cluster_mean(
    values: Sequence[float], clusters: Sequence[str], *, seed: int, level: float = 0.95, resamples: int = 2000
) -> Interval | None:
    """Return a mean with an expanded percentile bootstrap interval that draws whole clusters, None for no values.

    Args:
        values: one a task.
        clusters: the family of each value's task; values of one cluster are drawn together.
        seed: of the resampling.
        level: of the interval.
        resamples: how many.
    """
    if not values:
        return None
    means, count = resampled_means(values, clusters, seed, resamples), len(set(clusters))
    low, high = percentiles(means, count, level)
    return Interval(
        value=float(np.mean(values)),
        low=low,
        high=high,
        level=level,
        n=len(values),
        method=f"bootstrap of {count} clusters",
    )


def cluster_share(
    values: Sequence[float], clusters: Sequence[str], *, seed: int, level: float = 0.95, resamples: int = 2000
) -> Interval | None:
    """Return the mean of values in [0, 1] as `cluster_mean` does; where all are 0, or all are 1, without certainty.

    A bootstrap of equal values has no width. Wilson's interval of one trial a cluster stands in for it, which for so
    many clusters is as wide as any values in [0, 1] could ask for.
    """
    found = cluster_mean(values, clusters, seed=seed, level=level, resamples=resamples)
    if found is None or set(values) not in ({0.0}, {1.0}):
        return found
    count = len(set(clusters))
    stand_in = wilson(count * int(values[0]), count, level)
    assert stand_in is not None  # there is a value
    method = f"Wilson, {count} clusters"
    return stand_in.model_copy(update={"n": len(values), "method": method})


def resampled_means(
    values: Sequence[float], clusters: Sequence[str], seed: int | tuple[int, ...], resamples: int
) -> Floats:
    """Return the means of `resamples` draws of whole clusters with replacement."""
    _, codes = np.unique(np.asarray(clusters), return_inverse=True)
    sums, sizes = np.bincount(codes, weights=np.asarray(values, dtype=float)), np.bincount(codes)
    draws = np.random.default_rng(seed).integers(0, len(sums), size=(resamples, len(sums)))
    means: Floats = sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    return means


def cluster_bootstrap(
    statistic: Callable[[Floats], float | None],
    clusters: Sequence[str],
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = 1000,
) -> Interval | None:
    """Return any statistic of weighted rows with an expanded percentile interval that draws whole clusters.

    Args:
        statistic: of the rows' weights (how often each was drawn); None where they do not define it
            (one class only, say): such a resample is passed over.
        clusters: of each row.
        seed: of the resampling.
        level: of the interval.
        resamples: how many.

    Returns:
        None where the statistic is undefined on all rows, or on more than half of the resamples.
    """
    value = statistic(np.ones(len(clusters)))
    if value is None:
        return None

    def column(weights_RN: Floats) -> Floats:
        found = [statistic(weights) for weights in weights_RN]
        return np.array([[np.nan if one is None else one] for one in found])

    drawn = resampled(column, clusters, seed=seed, resamples=resamples)[:, 0]
    found, count = drawn[~np.isnan(drawn)], len(set(clusters))
    if len(found) * 2 < resamples:
        return None
    low, high = percentiles(found, count, level)
    return Interval(
        value=value, low=low, high=high, level=level, n=len(clusters), method=f"bootstrap of {count} clusters"
    )


def resampled(
    statistics: Callable[[Floats], Floats], clusters: Sequence[str], *, seed: int, resamples: int = 1000
) -> Floats:
    """Return several statistics of weighted rows on the same draws of whole clusters, one draw a row.

    Args:
        statistics: of weights of many resamples (R x N), a row of figures for each; NaN where one is undefined.
        clusters: of each row.
        seed: of the resampling.
        resamples: how many.
    """
    _, codes = np.unique(np.asarray(clusters), return_inverse=True)
    size = int(codes.max()) + 1
    draws = np.random.default_rng(seed).integers(0, size, size=(resamples, size))
    step = max(1, MOST_NUMBERS // len(codes))
    blocks = (draws[start : start + step] for start in range(0, resamples, step))
    return np.concatenate([statistics(_times_drawn(block, size)[:, codes]) for block in blocks])


def _times_drawn(draws: NDArray[np.int64], size: int) -> Floats:
    """Count how often each cluster was drawn, a row a resample."""
    shifted = draws + size * np.arange(len(draws))[:, None]
    return np.bincount(shifted.ravel(), minlength=size * len(draws)).reshape(-1, size).astype(float)


def percentiles(draws: Floats, clusters: int, level: float = 0.95) -> tuple[float, float]:
    """Return the ends of the expanded percentile interval of a statistic's resamples, drawn from so many clusters."""
    tail = (1 - level) / 2
    if clusters > 1:
        tail = float(norm.cdf(math.sqrt(clusters / (clusters - 1)) * student.ppf(tail, clusters - 1)))
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)
