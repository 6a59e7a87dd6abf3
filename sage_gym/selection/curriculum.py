"""Which tasks come next, and which episodes the forecast head sees more of: pure functions of a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Draw", "draw_by_surprise", "learnability", "next_tasks", "surprise"]


def learnability(p_fail: float, floor: float = 0.1) -> float:
    """Return max(floor, 4 p (1 - p)): 1 where the outcome is open, the floor where it is settled.

    Raises:
        ValueError: `p_fail` is no probability.
    """
    if not 0.0 <= p_fail <= 1.0:
        raise ValueError(f"expected a forecast in [0, 1], got {p_fail}; pass probabilities, not logits")
    return max(floor, 4.0 * p_fail * (1.0 - p_fail))


def next_tasks(
    tasks: Sequence[str], forecasts: Mapping[str, float], n: int, seed: int, floor: float = 0.1
) -> list[str]:
    """Draw `n` tasks, each with a probability that grows with its learnability.

    Without replacement as long as tasks last: every task comes `n // len(tasks)` times, the rest is drawn. A task
    without a forecast counts as wholly open (weight 1), so that new tasks are tried.

    Args:
        tasks: keys; their order does not matter.
        forecasts: p_fail by key.
        n: how many.
        seed: the same seed, tasks and forecasts give the same list.
        floor: least weight.

    Raises:
        ValueError: no tasks, a key given twice, or a negative `n`.
    """
    keys = sorted(set(tasks))
    if len(keys) != len(tasks) or not keys or n < 0:
        raise ValueError(f"expected distinct tasks and n >= 0, got {len(tasks)} tasks, {len(keys)} distinct, n = {n}")
    weights = np.array([learnability(forecasts[key], floor) if key in forecasts else 1.0 for key in keys])
    generator = np.random.default_rng(seed)
    drawn = generator.choice(len(keys), size=n % len(keys), replace=False, p=weights / weights.sum())
    order = [*np.tile(np.arange(len(keys)), n // len(keys)), *drawn]
    return [keys[index] for index in generator.permutation(order).astype(int)]


def surprise(reward: float, p_fail: float) -> float:
    """Return |(1 - R) - p_fail|: how far the forecast was off."""
    return abs((1.0 - reward) - p_fail)


@dataclass(frozen=True, slots=True)
class Draw:
    """Indices drawn with replacement, and for each the weight 1 / (N q) that undoes the oversampling."""

    indices: tuple[int, ...]
    weights: tuple[float, ...]
    probabilities: tuple[float, ...]
    """q of every item, for the record."""


def draw_by_surprise(surprises: Sequence[float], n: int, seed: int, uniform_share: float = 0.5) -> Draw:
    """Draw `n` items, oversampling surprising ones, with inverse-probability weights.

    q_i = u / N + (1 - u) s_i / sum(s), so no weight exceeds 1 / u. Unweighted, the sample would
    show the head more of its mistakes than happen, and ruin its calibration.

    Args:
        surprises: s_i >= 0.
        n: how many to draw.
        seed: of the draw.
        uniform_share: u, in (0, 1]; 1 is plain resampling.

    Raises:
        ValueError: nothing to draw from, a negative surprise, or `uniform_share` outside (0, 1].
    """
    values = np.asarray(surprises, dtype=float)
    if values.size == 0 or (values < 0).any() or not 0.0 < uniform_share <= 1.0:
        raise ValueError(
            f"expected surprises >= 0 and a uniform share in (0, 1], got {values.size} values "
            f"and {uniform_share}; check that the trajectories have forecasts"
        )
    excess = values / values.sum() if values.sum() > 0 else np.full(values.size, 1.0 / values.size)
    q = uniform_share / values.size + (1.0 - uniform_share) * excess
    indices = np.random.default_rng(seed).choice(values.size, size=n, replace=True, p=q / q.sum())
    return Draw(
        indices=tuple(int(i) for i in indices),
        weights=tuple(float(1.0 / (values.size * q[i])) for i in indices),
        probabilities=tuple(float(value) for value in q),
    )
