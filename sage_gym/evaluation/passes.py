"""pass@k and pass^k: whether any of k attempts at a task succeeds, and whether all of them do, without bias.

Of n attempts of which c succeeded, drawing k without replacement:

    pass@k = 1 - C(n - c, k) / C(n, k)      Chen et al., arXiv 2107.03374, equation 1
    pass^k = C(c, k) / C(n, k)              Yao et al., tau-bench, arXiv 2406.12045

Both are unbiased for independent attempts; 1 - (1 - c/n)^k and (c/n)^k, which look alike, are not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import comb

from pydantic import BaseModel, ConfigDict

from sage_gym.evaluation.intervals import Interval, cluster_share
from sage_gym.evaluation.metrics import family_of
from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import Trajectory

__all__ = ["PassRate", "pass_all", "pass_any", "pass_rates"]

MOST_ROWS = 8


class PassRate(BaseModel):
    """Both for one k, over the tasks with at least k scored attempts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    k: int
    any: Interval
    """pass@k, bootstrapped by family."""
    all: Interval
    """pass^k, bootstrapped by family."""
    tasks: int
    left_out: int
    """Tasks that infrastructure left with fewer than k attempts."""


def pass_any(attempts: int, successes: int, k: int) -> float:
    """Return pass@k of one task.

    Raises:
        ValueError: counts that do not fit.
    """
    _check(attempts, successes, k)
    return 1.0 - comb(attempts - successes, k) / comb(attempts, k)


def pass_all(attempts: int, successes: int, k: int) -> float:
    """Return pass^k of one task.

    Raises:
        ValueError: counts that do not fit.
    """
    _check(attempts, successes, k)
    return comb(successes, k) / comb(attempts, k)


def pass_rates(trajectories: Sequence[Trajectory], *, seed: int = 0) -> tuple[PassRate, ...]:
    """Return a row for each k from 1 to the most attempts that a task has; of many, powers of two and the last.

    Args:
        trajectories: infrastructure failures are no attempts.
        seed: of the bootstrap.
    """
    families = {t.task.key: family_of(t) for t in trajectories}
    attempts = Counter(t.task.key for t in trajectories if not t.is_infrastructure)
    successes = Counter(t.task.key for t in trajectories if has_succeeded(t))
    rows = []
    for k in _rows(max(attempts.values(), default=0)):
        keys = [key for key in families if attempts[key] >= k]

        def mean(estimate: Callable[[int, int, int], float], k: int = k, keys: Sequence[str] = keys) -> Interval:
            values = [estimate(attempts[key], successes[key], k) for key in keys]
            found = cluster_share(values, [families[key] for key in keys], seed=seed)
            assert found is not None  # some task has that many attempts
            return found

        rows.append(
            PassRate(k=k, any=mean(pass_any), all=mean(pass_all), tasks=len(keys), left_out=len(families) - len(keys))
        )
    return tuple(rows)


def _rows(most: int) -> list[int]:
    if most <= MOST_ROWS:
        return list(range(1, most + 1))
    return [*(1 << power for power in range(most.bit_length()) if 1 << power < most), most]


def _check(attempts: int, successes: int, k: int) -> None:
    if not 0 <= successes <= attempts or not 1 <= k <= attempts:
        raise ValueError(
            f"expected 0 <= successes <= attempts and 1 <= k <= attempts, got {successes}, {attempts}, {k}"
        )
