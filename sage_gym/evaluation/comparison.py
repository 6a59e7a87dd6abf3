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
from sage_gym.evaluation.significance import PairedTest, bootstrap_p, compare, holm

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
    score_p: float
    """Of the bootstrap, over all attempts."""
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
    found = [_compare(split, name_a, name_b, of_a[split], of_b[split], seed) for split in common]
    tested = {one.split: one for one in found if one is not None}
    success = holm({split: one.paired.mcnemar_p for split, one in tested.items()})
    score = holm({split: one.score_p for split, one in tested.items()})
    return tuple(
        one.model_copy(update={"mcnemar_p_holm": success[split], "score_p_holm": score[split]})
        for split, one in tested.items()
    )


def _compare(
    split: str, name_a: str, name_b: str, a: Sequence[TaskOutcomes], b: Sequence[TaskOutcomes], seed: int
) -> SplitComparison | None:
    """Test one split, as if it were the only one; None where infrastructure left no pair."""
    pairs = pair_outcomes(a, b)
    if pairs is None:
        return None
    test = compare(name_a, name_b, pairs, seed=seed)
    needed, shortfall = _shortfall(test)
    found = SplitComparison(
        split=split,
        paired=test,
        mcnemar_p_holm=test.mcnemar_p,
        score_p=test.score_p,
        score_p_holm=test.score_p,
        pairs_needed=needed,
        shortfall=shortfall,
    )
    is_repeated = any(len(one.successes) > 1 for one in (*a, *b))
    return found.model_copy(update=_over_attempts(a, b, seed)) if is_repeated else found


def _shortfall(test: PairedTest) -> tuple[int | None, str]:
    """Say how many pairs the observed difference would need, where the test did not find it significant."""
    if test.mcnemar_p < ALPHA:
        return None, ""
    discordant, points = test.gained + test.lost, 100 * test.success_difference.value
    needed = pairs_needed(test.gained, test.lost, test.tasks)
    begin = f"{discordant} of {test.tasks} pairs differ"
    if discordant < FEWEST_DISCORDANT:
        begin += f", and with fewer than {FEWEST_DISCORDANT} no outcome is significant at 5 %"
    if test.gained == test.lost:
        return None, f"{begin}; no difference was observed, so no number of pairs would show one"
    pairs = "more than a million" if needed is None else f"{needed:,}"
    return needed, f"{begin}; a difference of {points:+.1f} points would take {pairs} pairs to be shown 4 times in 5"


def _over_attempts(
    a: Sequence[TaskOutcomes], b: Sequence[TaskOutcomes], seed: int
) -> dict[str, Interval | float | None]:
    """Compare the tasks' means over all their attempts."""
    theirs = {one.key: one for one in b}
    rows = [
        (one.family, other.success_rate - one.success_rate, other.mean_reward - one.mean_reward)
        for one in a
        if one.success_rate is not None
        and one.mean_reward is not None
        and (other := theirs[one.key]).success_rate is not None
        and other.mean_reward is not None
    ]
    families = [family for family, _, _ in rows]
    success, score = [success for _, success, _ in rows], [score for _, _, score in rows]
    return {
        "success_over_attempts": cluster_mean(success, families, seed=seed),
        "score_over_attempts": cluster_mean(score, families, seed=seed),
        "score_p": bootstrap_p(score, families, seed),
    }
