"""Critics and rewards applied to a round's groups; one that fails leaves its trajectories unscored, never at zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from types import MappingProxyType

from sage_gym.protocols import Reward
from sage_gym.types import Group, Score, Trajectory

__all__ = ["Scores", "Standing", "apply_critics", "has_succeeded", "standings"]

Scores = Mapping[str, Mapping[str, Score]]
"""Score name -> trajectory id -> score."""


def has_succeeded(trajectory: Trajectory) -> bool:
    """Whether the episode ended by itself and well; truncation counts as not succeeded."""
    return trajectory.success and not trajectory.stop_reason.is_truncation and not trajectory.is_infrastructure


def apply_critics(groups: Sequence[Group], critics: Sequence[Reward]) -> Scores:
    """Score every trajectory that is not an infrastructure failure with every critic.

    A critic that raises, or returns another number of scores than it was given trajectories, marks all of them
    unscored with the cause as the reason.

    Raises:
        ValueError: two critics share a name.
    """
    names = [critic.name for critic in critics]
    if len(set(names)) != len(names):
        raise ValueError(f"expected critics with distinct names, got {names}; rename one")
    trajectories = [t for group in groups for t in group.trajectories if not t.is_infrastructure]
    return {critic.name: _apply(critic, trajectories) for critic in critics}


def _apply(critic: Reward, trajectories: Sequence[Trajectory]) -> dict[str, Score]:
    try:
        scores = critic.score(trajectories)
        return {t.id: score for t, score in zip(trajectories, scores, strict=True)}
    except Exception as error:  # a critic is foreign code: whatever it raises, the round goes on without it
        reason = f"{critic.name} failed: {type(error).__name__}: {error}"
        return {t.id: Score(critic.name, None, reason=reason) for t in trajectories}


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a trajectory stands in its group: standardised scores by name, 0 (the mean) where unscored."""

    standardised: Mapping[str, float]
    unscored: tuple[str, ...] = ()


def standings(groups: Sequence[Group], scores: Scores, names: Sequence[str]) -> dict[str, Standing]:
    """Standardise each named score within each group: (v - mean) / population deviation, 0 where that is 0.

    The group is all its trajectories bar infrastructure failures, whatever other rules keep, so that switching
    a rule does not move another's numbers.
    """
    found: dict[str, Standing] = {}
    for group in groups:
        members = [t for t in group.trajectories if not t.is_infrastructure]
        columns = {name: _standardise([_value(t, name, scores) for t in members]) for name in names}
        for index, trajectory in enumerate(members):
            row = {name: columns[name][index] for name in names}
            found[trajectory.id] = Standing(
                MappingProxyType({name: value or 0.0 for name, value in row.items()}),
                tuple(name for name, value in row.items() if value is None),
            )
    return found


def _value(trajectory: Trajectory, name: str, scores: Scores) -> float | None:
    if name == "reward":
        return trajectory.reward
    score = scores.get(name, {}).get(trajectory.id)
    return None if score is None else score.value


def _standardise(values: Sequence[float | None]) -> list[float | None]:
    known = [value for value in values if value is not None]
    if not known:
        return list(values)
    mean, deviation = fmean(known), pstdev(known)
    scale = deviation if deviation > 1e-12 else 0.0
    return [None if value is None else (value - mean) / scale if scale else 0.0 for value in values]
