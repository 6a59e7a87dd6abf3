"""Two policies on the same tasks, split by split, with Holm's correction over the splits.

McNemar's exact test takes the first attempts. Where tasks were tried several times, the differences of the tasks' own
rates are bootstrapped by family beside it, since attempts at one task are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from sage_gym.evaluation.intervals import Interval, cluster_mean
from sage_gym.evaluation.outcomes import TaskOutcomes, check_same_tasks, pair_outcomes
from sage_gym.evaluation.power import FEWEST_DISCORDANT, pairs_needed
from sage_gym.evaluation.significance import PairedTest, compare, holm

__all__ = ["SplitComparison", "compare_splits"]

ALPHA = 0.05


class SplitComparison(BaseModel):
    """b against a on one split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str
    paired: PairedTest
    """Of the first attempts."""
    mcnemar_p_holm: float
    """Adjusted over the splits."""
    score_p_holm: float
    """Adjusted over the splits."""
    success_over_attempts: Interval | None = None
    """Mean difference of the tasks' success rates, bootstrapped by family; None where each was tried once."""
    score_over_attempts: Interval | None = None
    pairs_needed: int | None = None
    """Pairs at which the observed difference would be shown four times in five; None where no test is wanting, or
    where there was no difference."""
    shortfall: str = ""
    """In words, where there were too few pairs: for any significance, or for this difference."""

    @property
    def is_testable(self) -> bool:
        """Whether enough pairs differ for any outcome to be significant."""
        return self.paired.gained + self.paired.lost >= FEWEST_DISCORDANT


def compare_splits(
    a: tuple[str, Mapping[str, Sequence[TaskOutcomes]]],
    b: tuple[str, Mapping[str, Sequence[TaskOutcomes]]],
    *,
    seed: int = 0,
) -> tuple[SplitComparison, ...]:
    """Test b against a on every split that both have.

    Args:
        a: the first policy's name, and its outcomes by split.
        b: the second's.
        seed: of the bootstraps.

    Returns:
        a comparison a split, in the order of `b`'s; splits of which infrastructure left no pair are left out.

    Raises:
        TasksDifferError: a split's tasks differ.
    """
    (name_a, of_a), (name_b, of_b) = a, b
    common = [split for split in of_b if split in of_a]
    for split in common:
        check_same_tasks(f"{name_a} and {name_b} on split {split!r}", of_a[split], of_b[split])
    tests = {}
    for split in common:
        pairs = pair_outcomes(of_a[split], of_b[split])
        if pairs is not None:
            tests[split] = compare(name_a, name_b, pairs, seed=seed)
    success, score = holm({s: t.mcnemar_p for s, t in tests.items()}), holm({s: t.score_p for s, t in tests.items()})
    return tuple(
        _assemble(split, test, success[split], score[split], of_a[split], of_b[split], seed)
        for split, test in tests.items()
    )


def _assemble(
    split: str,
    test: PairedTest,
    success_p: float,
    score_p: float,
    of_a: Sequence[TaskOutcomes],
    of_b: Sequence[TaskOutcomes],
    seed: int,
) -> SplitComparison:
    needed, shortfall = _shortfall(test)
    is_repeated = any(len(one.successes) > 1 for one in (*of_a, *of_b))
    success, score = _over_attempts(of_a, of_b, seed) if is_repeated else (None, None)
    return SplitComparison(
        split=split,
        paired=test,
        mcnemar_p_holm=success_p,
        score_p_holm=score_p,
        success_over_attempts=success,
        score_over_attempts=score,
        pairs_needed=needed,
        shortfall=shortfall,
    )


def _shortfall(test: PairedTest) -> tuple[int | None, str]:
    """Say how many pairs the observed difference would need, where the test did not find it significant."""
    if test.mcnemar_p < ALPHA:
        return None, ""
    discordant, points = test.gained + test.lost, 100 * test.success_difference.value
    needed = pairs_needed(test.gained, test.lost, test.tasks)
    begin = f"{discordant} of {test.tasks} pairs differ"
    if discordant < FEWEST_DISCORDANT:
        begin += f", and with fewer than {FEWEST_DISCORDANT} no outcome is significant at 5 %"
    if needed is None:
        return None, f"{begin}; no difference was observed ({points:+.1f} points), so no number of pairs would show one"
    return needed, f"{begin}; a difference of {points:+.1f} points would take {needed:,} pairs to be shown 4 times in 5"


def _over_attempts(
    of_a: Sequence[TaskOutcomes], of_b: Sequence[TaskOutcomes], seed: int
) -> tuple[Interval | None, Interval | None]:
    theirs = {one.key: one for one in of_b}
    pairs = [(one, theirs[one.key]) for one in of_a if one.key in theirs]
    scored = [(x, y) for x, y in pairs if x.success_rate is not None and y.success_rate is not None]
    families = [x.family for x, _ in scored]
    success = [(y.success_rate or 0.0) - (x.success_rate or 0.0) for x, y in scored]
    score = [(y.mean_reward or 0.0) - (x.mean_reward or 0.0) for x, y in scored]
    return cluster_mean(success, families, seed=seed), cluster_mean(score, families, seed=seed)
