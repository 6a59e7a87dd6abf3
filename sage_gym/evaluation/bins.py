"""Forecasts in bins: what calibration error and the Brier score's decomposition are sums over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sage_gym.evaluation.intervals import Floats

__all__ = ["Binning", "Codes", "Parts", "bin_error", "brier_bins", "brier_parts", "cut"]

Binning = Literal["equal width", "equal mass"]
Codes = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Parts:
    """mean (p - y)^2 and Murphy's three parts of it."""

    value: float
    reliability: float
    resolution: float
    uncertainty: float


def cut(p: Floats, binning: Binning, bins: int) -> Codes:
    """Return the bin of each forecast.

    Equal mass cuts at quantiles; equal forecasts share a bin, so that the order of tasks does not matter.
    """
    if binning == "equal width":
        return np.minimum((p * bins).astype(np.intp), bins - 1)
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, p, side="right").astype(np.intp)


def bin_error(y: Floats, p: Floats, codes: Codes, weights: Floats) -> float:
    """Return sum_k (n_k / N) |mean p - mean y|, rows counted `weights` times."""
    return float(np.abs(np.bincount(codes, weights=weights * (y - p))).sum() / weights.sum())


def brier_bins(p: Floats, bins: int) -> Codes:
    """Return a bin for each forecast value where there are at most `bins` values, else bins of equal mass."""
    values, codes = np.unique(p, return_inverse=True)
    return codes if len(values) <= bins else cut(p, "equal mass", bins)


def brier_parts(y: Floats, p: Floats, codes: Codes, weights: Floats) -> Parts:
    """Return the Brier score and its parts, rows counted `weights` times."""
    sizes = np.bincount(codes, weights=weights)
    used = sizes > 0
    forecast = np.bincount(codes, weights=weights * p)[used] / sizes[used]
    observed = np.bincount(codes, weights=weights * y)[used] / sizes[used]
    total = weights.sum()
    base, shares = (weights * y).sum() / total, sizes[used] / total
    return Parts(
        value=float((weights * (p - y) ** 2).sum() / total),
        reliability=float((shares * (forecast - observed) ** 2).sum()),
        resolution=float((shares * (observed - base) ** 2).sum()),
        uncertainty=float(base * (1 - base)),
    )
