"""From scored trajectories to the advantage of each sampled token.

The return is a named mixture of the environment's R, success and ICS; the baseline is read before any token it is
subtracted for, so that the gradient stays unbiased.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sage_gym.distill.estimators import leave_one_out
from sage_gym.distill.hints import has_own_end
from sage_gym.distill.rows import Example, rows_of
from sage_gym.distill.states import state_baselines
from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import Trajectory

__all__ = ["ReturnSettings", "Returns", "examples_for_distillation", "examples_for_gradient", "returns_of"]


@dataclass(frozen=True, slots=True)
class ReturnSettings:
    """What an episode is worth, and what is subtracted.

    Args:
        success_share: weight of success; R has the rest.
        eta_ics: weight of the Inverse Consistency Score, added.
        baseline: `group` (mean of the task's other episodes), `state` (mean of those that came to the same state),
            `forecast` (V of the first prompt), `turn` (V of each decision's own prompt), or `none`.
    """

    success_share: float = 0.5
    eta_ics: float = 0.0
    baseline: str = "group"


@dataclass(frozen=True, slots=True)
class Returns:
    """Return and baseline of each of B trajectories; `baselines_BK` one for each turn."""

    returns_B: NDArray[np.float64]
    baselines_BK: tuple[NDArray[np.float64], ...]
    scale: float
    """Standard deviation of all advantages, which they are divided by; one number a round keeps the direction."""


def returns_of(
    trajectories: Sequence[Trajectory], settings: ReturnSettings, ics: Mapping[str, float] | None = None
) -> Returns:
    """Value each trajectory and its turns' baselines.

    Args:
        trajectories: of one round, those of a task anywhere among them.
        settings: what counts, and what is subtracted.
        ics: Inverse Consistency Scores by trajectory id, in nats a token; those that are missing count 0.

    Raises:
        ValueError: a baseline from forecasts, and a decision without one.
    """
    share = settings.success_share
    returns_B = np.array([(1 - share) * t.reward + share * has_succeeded(t) for t in trajectories])
    added_B = settings.eta_ics * np.array([(ics or {}).get(t.id, 0.0) for t in trajectories])
    returns_B = returns_B + added_B
    baselines = _baselines(trajectories, returns_B, added_B, settings.baseline)
    advantages = np.concatenate([value - base for value, base in zip(returns_B, baselines, strict=True)])
    return Returns(returns_B, baselines, float(advantages.std()) or 1.0)


def _baselines(
    trajectories: Sequence[Trajectory],
    returns_B: NDArray[np.float64],
    added_B: NDArray[np.float64],
    kind: str,
) -> tuple[NDArray[np.float64], ...]:
    """Return each turn's baseline; a forecast knows nothing of `added_B`, whose mean in the task's others is added."""
    if kind in ("forecast", "turn"):
        others_B = _mean_of_others(trajectories, added_B)
        values = [_values(t) + other for t, other in zip(trajectories, others_B, strict=True)]
        return tuple(v if kind == "turn" else np.full(len(v), v[0] if len(v) else 0.0) for v in values)
    constant_B = np.zeros(len(trajectories)) if kind == "none" else _mean_of_others(trajectories, returns_B)
    if kind == "state":
        return state_baselines(trajectories, returns_B, constant_B)
    return tuple(np.full(len(t.turns), b) for t, b in zip(trajectories, constant_B, strict=True))


def _mean_of_others(trajectories: Sequence[Trajectory], values_B: NDArray[np.float64]) -> NDArray[np.float64]:
    names = {key: index for index, key in enumerate(dict.fromkeys(t.task.key for t in trajectories))}
    group_B = torch.tensor([names[t.task.key] for t in trajectories])
    means_B: NDArray[np.float64] = leave_one_out(torch.from_numpy(values_B), group_B).numpy()
    return means_B


def _values(trajectory: Trajectory) -> NDArray[np.float64]:
    """Return V = 1 - p_fail at each decision's last prompt token; a turn in which nothing was sampled needs none."""
    decisions = [turn.decision for turn in trajectory.turns]
    if any(decision.p_fail_before is None and decision.ledger is not None for decision in decisions):
        raise ValueError(f"{trajectory.id}: a baseline from forecasts needs p_fail_before on every decision")
    return np.array([0.0 if d.p_fail_before is None else 1.0 - d.p_fail_before for d in decisions], dtype=np.float64)


def examples_for_gradient(
    trajectories: Sequence[Trajectory], returns: Returns, *, tolerance: float = 1e-6
) -> list[Example]:
    """Make the second stage's examples; rows whose advantages are all 0 still train the forecast, with weight 0."""
    examples = []
    for trajectory, value, base_K in zip(trajectories, returns.returns_B, returns.baselines_BK, strict=True):
        failed = float(not has_succeeded(trajectory))
        rows = list(rows_of(trajectory))
        for row in rows:
            advantage_N = ((value - base_K[row.turn_N]) / returns.scale).astype(np.float32)
            moves = bool(len(advantage_N) and np.abs(advantage_N).max() > tolerance)
            examples.append(Example(row, float(moves), advantage_N, failed, 1.0 / len(rows)))
    return examples


def examples_for_distillation(trajectories: Sequence[Trajectory], weights: Mapping[str, float]) -> list[Example]:
    """Make the first stage's examples: selected ones with their weight, all others with weight 0 for the forecast.

    An episode whose end says nothing about the states that its rows show is of no use to the forecast.
    """
    examples = []
    for trajectory in trajectories:
        rows, failed = list(rows_of(trajectory)), float(not has_succeeded(trajectory))
        weight, counts = weights.get(trajectory.id, 0.0), float(has_own_end(trajectory))
        if weight or counts:
            examples += [Example(row, weight, None, failed, counts / len(rows)) for row in rows]
    return examples
