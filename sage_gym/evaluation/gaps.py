"""How much worse a student does on what is held out more strictly: success on one list of tasks against another."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict
from statsmodels.stats.proportion import confint_proportions_2indep

from sage_gym.evaluation.intervals import Interval

__all__ = ["Gap", "gap_between", "success_gap"]


class Gap(BaseModel):
    """Success on the test split minus success on another, for both students, in shares."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str
    other: str
    decoding: str
    before: Interval
    after: Interval


def success_gap(successes: int, n: int, other_successes: int, other_n: int, level: float = 0.95) -> Interval:
    """Return the difference of two independent shares with Newcombe's interval (Stat. in Medicine 1998, method 10).

    Raises:
        ValueError: one of them is a share of nothing.
    """
    if n < 1 or other_n < 1:
        raise ValueError(f"expected tasks on both sides, got {n} and {other_n}")
    low, high = confint_proportions_2indep(
        successes, n, other_successes, other_n, method="newcomb", compare="diff", alpha=1 - level
    )
    return Interval(
        value=successes / n - other_successes / other_n,
        low=float(low),
        high=float(high),
        level=level,
        n=n + other_n,
        method="Newcombe",
    )


def gap_between(
    split: str, other: str, decoding: str, before: tuple[Sequence[bool], ...], after: tuple[Sequence[bool], ...]
) -> Gap | None:
    """Return the gap of both students; None where one side has no task.

    Args:
        split: whose success is reduced.
        other: by that of this one.
        decoding: of all, in words.
        before: success of the first student on the tasks of `split` and of `other`.
        after: of the second student.
    """
    if not all((*before, *after)):
        return None
    sides = [success_gap(sum(ours), len(ours), sum(others), len(others)) for ours, others in (before, after)]
    return Gap(split=split, other=other, decoding=decoding, before=sides[0], after=sides[1])
