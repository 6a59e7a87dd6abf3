"""From a judgement of one trajectory to a list of scores in which a failure stands as unscored, never as zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sage_gym.types import Score, Trajectory

__all__ = ["checked", "has_failed", "score_each", "unscored"]


def has_failed(trajectory: Trajectory) -> bool:
    """Whether the episode did not succeed; truncation counts as not succeeded."""
    return not trajectory.success or trajectory.stop_reason.is_truncation


def unscored(name: str, reason: str) -> Score:
    """Return a score without a value, and why."""
    return Score(name, None, reason=reason)


def checked(score: Score) -> Score:
    """Return the score, or an unscored one where a number in it is not finite."""
    if score.value is None:
        return score
    numbers = {"value": score.value, **score.components, **{f"turn {i}": c for i, c in enumerate(score.per_turn)}}
    wrong = {name: number for name, number in numbers.items() if not math.isfinite(number)}
    return unscored(score.name, f"expected finite numbers, got {wrong}") if wrong else score


def score_each(name: str, trajectories: Sequence[Trajectory], judge: Callable[[Trajectory], Score]) -> list[Score]:
    """Apply `judge` to each trajectory; what it cannot score, and what was infrastructure, comes back unscored."""
    return [_attempt(name, trajectory, judge) for trajectory in trajectories]


def _attempt(name: str, trajectory: Trajectory, judge: Callable[[Trajectory], Score]) -> Score:
    if trajectory.is_infrastructure:
        return unscored(name, "infrastructure: the policy could not have caused how it ended")
    try:
        return checked(judge(trajectory))
    except Exception as error:  # whatever one trajectory does to a scorer, the others keep their scores
        return unscored(name, f"{type(error).__name__}: {error}")
