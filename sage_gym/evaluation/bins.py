"""Forecasts in bins: what calibration error and the Brier score's decomposition are sums over.

Rows are counted by weights, so that one call serves a sample (weights N) and its resamples (weights R x N) alike.
Shapes: N rows, K bins, R resamples; figures have the weights' shape without its last axis.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sage_gym.evaluation.intervals import Floats

__all__ = ["Binning", "Parts", "bin_error", "brier_bins", "brier_parts", "cut", "membership"]

Binning = Literal["equal width", "equal mass"]
Codes = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Parts:
    """mean (p - y)^2 and Murphy's three parts of it."""

    value: Floats
    reliability: Floats
    resolution: Floats
    uncertainty: Floats


def cut(p: Floats, binning: Binning, bins: int) -> Codes:
    """Return the bin of each forecast.

    Equal mass cuts at quantiles; equal forecasts share a bin, so that the order of tasks does not matter.
    """
    if binning == "equal width":
        return np.minimum((p * bins).astype(np.intp), bins - 1)
    edges = np.unique(np.quantile(p, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, p, side="right").astype(np.intp)


def brier_bins(p: Floats, bins: int) -> Codes:
    """Return a bin for each forecast value where there are at most `bins` values, else bins of equal mass."""
    values, codes = np.unique(p, return_inverse=True)
    return codes if len(values) <= bins else cut(p, "equal mass", bins)


def membership(codes: Codes) -> Floats:
    """Return which bin each row is in, as ones and zeros (N x K)."""
    return np.eye(int(codes.max()) + 1)[codes]


def bin_error(y: Floats, p: Floats, member_NK: Floats, weights: Floats) -> Floats:
    """Return sum_k (n_k / N) |mean p - mean y|."""
    return np.asarray(np.abs((weights * (y - p)) @ member_NK).sum(-1) / weights.sum(-1))


def brier_parts(y: Floats, p: Floats, member_NK: Floats, weights: Floats) -> Parts:
    """Return the Brier score and its parts; bins that no row is drawn from count for nothing."""
    sizes, total = weights @ member_NK, weights.sum(-1)
    drawn = np.maximum(sizes, 1e-300)
    forecast, observed = (weights * p) @ member_NK / drawn, (weights * y) @ member_NK / drawn
    base, shares = weights @ y / total, sizes / total[..., None]
    return Parts(
        value=np.asarray(weights @ (p - y) ** 2 / total),
        reliability=np.asarray((shares * (forecast - observed) ** 2).sum(-1)),
        resolution=np.asarray((shares * (observed - base[..., None]) ** 2).sum(-1)),
        uncertainty=np.asarray(base * (1 - base)),
    )
