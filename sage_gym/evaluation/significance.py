"""Paired tests on the same tasks: exact McNemar, Tango's score bound, bootstrap by family, Holm, seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict
from scipy.optimize import brentq
from scipy.stats import binomtest, norm

from sage_gym.evaluation.intervals import Floats, Interval, cluster_mean, percentiles, resampled_means
from sage_gym.evaluation.metrics import family_of
from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import Trajectory

__all__ = [
    "PairedTest",
    "Pairs",
    "SeedsTest",
    "across_seeds",
    "bootstrap_p",
    "compare",
    "holm",
    "mcnemar_p",
    "pair",
    "tango_lower",
]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two evaluations of the same tasks side by side; tasks that infrastructure took from either are left out."""

    keys: tuple[str, ...]
    families: tuple[str, ...]
    success_a: tuple[bool, ...]
    success_b: tuple[bool, ...]
    score_a: tuple[float, ...]
    score_b: tuple[float, ...]
    left_out: int

    @property
    def gained(self) -> int:
        """Tasks in which b succeeded and a did not."""
        return sum(b and not a for a, b in zip(self.success_a, self.success_b, strict=True))

    @property
    def lost(self) -> int:
        """Tasks in which a succeeded and b did not."""
        return sum(a and not b for a, b in zip(self.success_a, self.success_b, strict=True))


class PairedTest(BaseModel):
    """b against a on the same tasks; differences are b - a, in shares (0.02 is two points)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    a: str
    b: str
    tasks: int
    left_out: int
    both: int
    gained: int
    lost: int
    neither: int
    success_difference: Interval
    """Bootstrapped by family; Tango's where no pair differs."""
    mcnemar_p: float
    """Two-sided, exact."""
    score_difference: Interval
    """Bootstrapped by family."""
    score_p: float
    """Two-sided, of the bootstrap: twice the smaller share of resamples on either side of 0, at most 1."""


class SeedsTest(BaseModel):
    """One comparison over several seeds: a claim needs the signs to agree."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    differences: dict[int, float]
    """Success, by seed."""
    mean: Interval
    """Tasks bootstrapped within each seed."""
    signs_agree: bool
    """All differences above 0, or all below."""
    p: float
    """Two-sided, of the same resamples as the interval: twice the smaller share on either side of 0, at most 1."""


def pair(a: Sequence[Trajectory], b: Sequence[Trajectory]) -> Pairs:
    """Put two evaluations side by side, ordered by task key.

    Raises:
        ValueError: the two are not of the same tasks, once each, or none is left.
    """
    of_a, of_b = _by_task(a), _by_task(b)
    if of_a.keys() != of_b.keys():
        odd = sorted(of_a.keys() ^ of_b.keys())
        raise ValueError(
            f"expected both evaluations on the same tasks, got {len(odd)} in one alone (first: {odd[0]!r}); "
            f"evaluate both on one list of tasks"
        )
    changed = [key for key in of_a if of_a[key].task.hash != of_b[key].task.hash]
    if changed:
        raise ValueError(f"task {changed[0]!r} has another content in each evaluation; run both on the same data")
    keys = sorted(key for key in of_a if not (of_a[key].is_infrastructure or of_b[key].is_infrastructure))
    if not keys:
        raise ValueError(f"no task is left to compare of {len(of_a)}; expected at least one scored on both sides")
    return Pairs(
        keys=tuple(keys),
        families=tuple(family_of(of_a[key]) for key in keys),
        success_a=tuple(has_succeeded(of_a[key]) for key in keys),
        success_b=tuple(has_succeeded(of_b[key]) for key in keys),
        score_a=tuple(of_a[key].reward for key in keys),
        score_b=tuple(of_b[key].reward for key in keys),
        left_out=len(of_a) - len(keys),
    )


def _by_task(trajectories: Sequence[Trajectory]) -> dict[str, Trajectory]:
    found = {t.task.key: t for t in trajectories}
    if len(found) != len(trajectories):
        raise ValueError(f"expected one trajectory a task, got {len(trajectories)} of {len(found)} tasks")
    return found


def compare(a: str, b: str, pairs: Pairs, *, seed: int = 0, level: float = 0.95) -> PairedTest:
    """Test b against a.

    Args:
        a: name of the first evaluation, for the record.
        b: name of the second.
        pairs: from `pair`.
        seed: of the bootstrap.
        level: of the intervals.
    """
    success = [float(y) - float(x) for x, y in zip(pairs.success_a, pairs.success_b, strict=True)]
    score = [y - x for x, y in zip(pairs.score_a, pairs.score_b, strict=True)]
    both = sum(x and y for x, y in zip(pairs.success_a, pairs.success_b, strict=True))
    difference = cluster_mean(success, pairs.families, seed=seed, level=level)
    score_difference = cluster_mean(score, pairs.families, seed=seed, level=level)
    assert difference is not None
    assert score_difference is not None  # `pair` refuses empty lists
    if pairs.gained == pairs.lost == 0:
        # a bootstrap of equal values has no width
        half = -tango_lower(0, 0, len(set(pairs.families)), (1 + level) / 2)
        difference = difference.model_copy(update={"low": -half, "high": half, "method": "Tango, one pair a cluster"})
    return PairedTest(
        a=a,
        b=b,
        tasks=len(pairs.keys),
        left_out=pairs.left_out,
        both=both,
        gained=pairs.gained,
        lost=pairs.lost,
        neither=len(pairs.keys) - both - pairs.gained - pairs.lost,
        success_difference=difference,
        mcnemar_p=mcnemar_p(pairs.gained, pairs.lost),
        score_difference=score_difference,
        score_p=bootstrap_p(score, pairs.families, seed),
    )


def mcnemar_p(gained: int, lost: int) -> float:
    """Return the exact two-sided p of McNemar's test; 1 where nothing changed."""
    return float(binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def tango_lower(gained: int, lost: int, n: int, confidence: float = 0.9) -> float:
    """Return the one-sided lower bound of a paired difference of shares, by Tango's score statistic.

    Unlike a bootstrap it does not collapse where few pairs, or none, differ: with none it is -z^2 / (n + z^2).
    (Tango, Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design, Statistics in Medicine 1998, equations 8 to 10.)

    Raises:
        ValueError: counts that do not fit.
    """
    if min(gained, lost) < 0 or gained + lost > n or n == 0:
        raise ValueError(f"expected gained + lost <= n, none negative, n > 0; got {gained}, {lost}, {n}")
    z = float(norm.ppf(confidence))
    estimate = (gained - lost) / n
    if estimate <= -1.0:
        return -1.0

    def excess(delta: float) -> float:
        b = -gained - lost + (2 * n - gained + lost) * delta
        c = -lost * delta * (1 - delta)
        q = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        variance = n * (2 * q + delta * (1 - delta))
        return (gained - lost - n * delta) - z * math.sqrt(max(0.0, variance))

    # the variance vanishes at -1, and at an estimate of 0 or 1: both ends are kept a hair off
    return float(brentq(excess, -1.0 + 1e-12, estimate - 1e-9))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return Holm's step-down adjusted p-values, by name."""
    # statsmodels imports pandas, a second that training need not pay
    from statsmodels.stats.multitest import multipletests

    if not p_values:
        return {}
    adjusted = multipletests(list(p_values.values()), method="holm")[1]
    return {name: float(p) for name, p in zip(p_values, adjusted, strict=True)}


def across_seeds(pairs: Mapping[int, Pairs], *, seed: int = 0, resamples: int = 2000) -> SeedsTest:
    """Pool one comparison over seeds: the mean of the seeds' differences, tasks drawn by family within each seed.

    Raises:
        ValueError: no seed.
    """
    if not pairs:
        raise ValueError("expected the pairs of at least one seed, got none")
    means, differences = np.zeros(resamples), {}
    for index, (run_seed, found) in enumerate(pairs.items()):
        delta = np.array(found.success_b, dtype=float) - np.array(found.success_a, dtype=float)
        differences[run_seed] = float(delta.mean())
        means += resampled_means(delta.tolist(), found.families, (seed, index), resamples) / len(pairs)
    counts = [len(set(found.families)) for found in pairs.values()]
    low, high = percentiles(means, min(counts))
    method = f"bootstrap by family within {len(pairs)} seeds"
    if not any(found.gained or found.lost for found in pairs.values()):  # a bootstrap of equal values has no width
        high, method = -tango_lower(0, 0, sum(counts), 0.975), f"Tango, one pair a family in each of {len(pairs)} seeds"
        low = -high
    values = list(differences.values())
    return SeedsTest(
        differences=differences,
        mean=Interval(
            value=float(np.mean(values)),
            low=low,
            high=high,
            n=sum(len(found.keys) for found in pairs.values()),
            method=method,
        ),
        signs_agree=all(v > 0 for v in values) or all(v < 0 for v in values),
        p=_two_sided(means),
    )


def bootstrap_p(differences: Sequence[float], families: Sequence[str], seed: int, resamples: int = 4000) -> float:
    """Return a mean difference's two-sided p: twice the smaller share of resamples on either side of 0, at most 1."""
    return _two_sided(resampled_means(differences, families, seed, resamples))


def _two_sided(means: Floats) -> float:
    # one added on either side: a resampling p is never 0
    below, above = (1 + np.sum(means <= 0)) / (len(means) + 1), (1 + np.sum(means >= 0)) / (len(means) + 1)
    return float(min(1.0, 2 * min(below, above)))
