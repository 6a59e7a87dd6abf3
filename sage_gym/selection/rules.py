"""Each rule as a pure function: which of the surviving trajectories it drops and why, or what weight it gives."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean

from sage_gym.selection.curriculum import learnability
from sage_gym.selection.scoring import Standing, has_succeeded
from sage_gym.selection.settings import BestOfGroup, NearDuplicates, Outcome, ScoreWeights, TaskWeights
from sage_gym.selection.similarity import NearIndex, jaccard, shingles
from sage_gym.types import Origin, Trajectory

__all__ = [
    "drop_all_but_best",
    "drop_infrastructure",
    "drop_near_duplicates",
    "drop_outcomes",
    "first_forecast",
    "task_forecasts",
    "turn_weights",
    "weigh_by_score",
    "weigh_by_task",
]

Dropped = dict[str, str]
"""Trajectory id -> why."""
Weights = dict[str, tuple[float, str]]
"""Trajectory id -> factor and how it came about."""


def drop_infrastructure(trajectories: Sequence[Trajectory]) -> Dropped:
    """Drop what the policy could not have caused."""
    return {t.id: t.failure.message if t.failure else "no cause recorded" for t in trajectories if t.is_infrastructure}


def drop_outcomes(trajectories: Sequence[Trajectory], rule: Outcome) -> Dropped:
    """Drop failures, truncated episodes among them; or R below the bound."""
    if rule.r_min is not None:
        return {t.id: f"R = {t.reward:.3f} < {rule.r_min}" for t in trajectories if t.reward < rule.r_min}
    return {t.id: f"did not succeed: {t.stop_reason}, R = {t.reward:.3f}" for t in trajectories if not has_succeeded(t)}


def drop_near_duplicates(
    trajectories: Sequence[Trajectory], standings: Mapping[str, Standing], rule: NearDuplicates
) -> Dropped:
    """Drop each trajectory that a better one resembles; the first is kept among equals.

    Within a task, resemblance is of the actions; between tasks, of actions and instructions alike.
    """
    dropped: Dropped = {}
    seen = {t.id: t for t in trajectories}
    index = NearIndex(rule.threshold)
    for trajectory in sorted(trajectories, key=lambda t: (-t.reward, -sum(standings[t.id].standardised.values()))):
        actions = shingles("\n".join(turn.decision.action for turn in trajectory.turns), rule.n)
        for key, similarity in index.near(actions):
            if _is_same_request(trajectory, seen[key], rule):
                dropped[trajectory.id] = f"actions {similarity:.2f} similar to {key}"
                break
        else:
            index.add(trajectory.id, actions)
    return dropped


def _is_same_request(a: Trajectory, b: Trajectory, rule: NearDuplicates) -> bool:
    if a.task.key == b.task.key:
        return True
    return jaccard(shingles(a.task.instruction, rule.n), shingles(b.task.instruction, rule.n)) >= rule.threshold


def drop_all_but_best(
    trajectories: Sequence[Trajectory], standings: Mapping[str, Standing], rule: BestOfGroup
) -> Dropped:
    """Drop all but the best `keep` of each group; what `order` leaves equal, the lower attempt wins."""
    members: defaultdict[str, list[Trajectory]] = defaultdict(list)
    for trajectory in trajectories:
        members[trajectory.task.key].append(trajectory)
    dropped: Dropped = {}
    for group in members.values():
        ranked = sorted(
            group, key=lambda t: (*(-standings[t.id].standardised[name] for name in rule.order), t.attempt, t.id)
        )
        for rank, trajectory in enumerate(ranked[rule.keep :], start=rule.keep + 1):
            dropped[trajectory.id] = f"rank {rank} of {len(ranked)} by {_show(standings[trajectory.id], rule.order)}"
    return dropped


def weigh_by_score(
    trajectories: Sequence[Trajectory], standings: Mapping[str, Standing], rule: ScoreWeights
) -> Weights:
    """Weigh by min(cap, exp(s / T)) with s = sum of coefficient x standardised score."""
    weights: Weights = {}
    for trajectory in trajectories:
        standing = standings[trajectory.id]
        s = sum(c * standing.standardised[name] for name, c in rule.coefficients.items())
        # compared before exponentiating, so that a low temperature cannot overflow
        exponent = s / rule.temperature
        weight = rule.cap if exponent >= math.log(rule.cap) else math.exp(exponent)
        weights[trajectory.id] = (weight, f"s = {s:+.3f} from {_show(standing, tuple(rule.coefficients))}")
    return weights


def weigh_by_task(trajectories: Sequence[Trajectory], forecasts: Mapping[str, float], rule: TaskWeights) -> Weights:
    """Weigh by the task's learnability; a task without a forecast weighs 1, and says so."""
    return {
        t.id: (learnability(p, rule.floor), f"p_fail = {p:.3f}")
        if (p := forecasts.get(t.task.key)) is not None
        else (1.0, "no forecast: not weighed")
        for t in trajectories
    }


def first_forecast(trajectory: Trajectory) -> float | None:
    """Return the forecast before the first decision was sampled, None without one."""
    return trajectory.turns[0].decision.p_fail_before if trajectory.turns else None


def task_forecasts(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Return each task's mean forecast before the first decision, hinted attempts left out, and tasks without one."""
    found: defaultdict[str, list[float]] = defaultdict(list)
    for trajectory in trajectories:
        if (p := first_forecast(trajectory)) is not None and not (trajectory.is_infrastructure or trajectory.hints):
            found[trajectory.task.key].append(p)
    return {key: fmean(values) for key, values in found.items()}


def turn_weights(trajectory: Trajectory) -> tuple[float, ...]:
    """Return 0 for turns whose action was injected, 1 for the others: a forced mistake is never imitated."""
    return tuple(0.0 if turn.decision.origin is Origin.INJECTED else 1.0 for turn in trajectory.turns)


def _show(standing: Standing, names: Sequence[str]) -> str:
    return ", ".join(
        f"{name} {'unscored' if name in standing.unscored else format(standing.standardised[name], '+.2f')}"
        for name in names
    )
