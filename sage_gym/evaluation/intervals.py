"""Intervals: Wilson for a share, bootstrap by cluster for a mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from scipy.stats import binomtest

__all__ = ["Floats", "Interval", "cluster_bootstrap", "cluster_mean", "resampled_means", "wilson"]

Floats = NDArray[np.float64]


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
    """Return a mean with a percentile bootstrap interval that draws whole clusters, None for no values.

    Args:
        values: one a task.
        clusters: the family of each value's task; values of one cluster are drawn together.
        seed: of the resampling.
        level: of the interval.
        resamples: how many.
    """
    if not values:
        return None
    means = resampled_means(values, clusters, seed, resamples)
    method = f"bootstrap of {len(set(clusters))} clusters"
    return _percentile(float(np.mean(values)), means, level, len(values), method)


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
    """Return any statistic of weighted rows with a percentile bootstrap interval that draws whole clusters.

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
    _, codes = np.unique(np.asarray(clusters), return_inverse=True)
    size = int(codes.max()) + 1
    draws = np.random.default_rng(seed).integers(0, size, size=(resamples, size))
    drawn = (statistic(np.bincount(draw, minlength=size)[codes].astype(float)) for draw in draws)
    found = [one for one in drawn if one is not None]
    if len(found) * 2 < resamples:
        return None
    return _percentile(value, np.array(found), level, len(clusters), f"bootstrap of {size} clusters")


def _percentile(value: float, draws: Floats, level: float, n: int, method: str) -> Interval:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value=value, low=float(low), high=float(high), level=level, n=n, method=method)
