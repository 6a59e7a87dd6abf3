"""Paired differences with intervals and signed-rank tests, and rank correlations within places."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, spearmanr, wilcoxon

from sage_gym.evaluation.intervals import cluster_mean
from sage_gym.evaluation.introspection.records import Difference, PlaceRank

__all__ = ["FEWEST_AT_PLACE", "FEWEST_FAMILIES", "difference", "families_needed", "place_rank", "rank_correlation"]

Floats = NDArray[np.float64]
FEWEST_FAMILIES = 6
"""Below, no signed-rank test can come under 0.05."""
FEWEST_AT_PLACE = 8
"""Turns of one place for a rank correlation among them."""
LEVEL, POWER = 0.01, 0.8
EFFICIENCY = 3 / math.pi
"""Of the signed-rank test relative to the t-test, under a normal distribution."""


def difference(values: Sequence[float], families: Sequence[str], seed: int) -> Difference | None:
    """Return the mean of paired differences with its interval and test, None where there are none.

    The test has one value a family, the mean of its own: episodes of one family are not independent.
    """
    mean = cluster_mean(values, families, seed=seed)
    if mean is None:
        return None
    found: dict[str, list[float]] = defaultdict(list)
    for value, family in zip(values, families, strict=True):
        found[family].append(value)
    means = np.array([np.mean(own) for own in found.values()])
    has_test = np.count_nonzero(means) >= FEWEST_FAMILIES
    p = float(wilcoxon(means).pvalue) if has_test else None
    is_settled = (p is not None and p < LEVEL) or mean.value <= 0
    return Difference(mean=mean, p=p, needed=None if is_settled else families_needed(means))


def families_needed(means: Floats) -> int | None:
    """Return how many families a signed-rank test needs for p < 0.01 with a power of 0.8, at this mean and spread.

    n = ((z_{0.995} + z_{0.8}) · s / mean)² · π / 3, the t-test's count over the asymptotic relative efficiency
    (Lehmann, Nonparametrics, 1975, section 2.4). None where there is no spread to go by.
    """
    spread = float(np.std(means, ddof=1)) if len(means) > 1 else 0.0
    center = float(np.mean(means))
    if spread == 0.0 or center == 0.0:
        return None
    quantiles = float(norm.ppf(1 - LEVEL / 2) + norm.ppf(POWER))
    return math.ceil((quantiles * spread / center) ** 2 / EFFICIENCY)


def rank_correlation(a: Floats, b: Floats) -> float:
    """Return Spearman's, 0 where either does not vary."""
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return float(spearmanr(a, b).statistic)


def place_rank(places: Mapping[tuple[int, int], Sequence[tuple[float, float]]]) -> PlaceRank | None:
    """Pool rank correlations over places by Fisher's z, each weighed by its count less three; None without any.

    Args:
        places: of each place the pairs (weight, effect) of its turns.
    """
    parts = []
    for pairs in places.values():
        weights, effects = np.array(pairs).T
        if len(pairs) >= FEWEST_AT_PLACE and np.ptp(weights) > 0 and np.ptp(effects) > 0:
            rho = float(np.clip(spearmanr(weights, effects).statistic, -0.999, 0.999))
            parts.append((math.atanh(rho), len(pairs)))
    total = sum(count - 3 for _, count in parts)
    if not total:
        return None
    z = sum(value * (count - 3) for value, count in parts) / total
    # 1.06: the variance of a rank correlation's z (Fieller, Hartley and Pearson 1957)
    deviation = math.sqrt(1.06 / total)
    low, high = (math.tanh(z + sign * float(norm.ppf(0.975)) * deviation) for sign in (-1, 1))
    return PlaceRank(
        rho=math.tanh(z),
        low=low,
        high=high,
        p=float(2 * norm.sf(abs(z) / deviation)),
        turns=sum(count for _, count in parts),
    )
