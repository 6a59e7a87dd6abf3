"""Forecasts turn by turn: what the head knows at the first decision, at the second, and so on.

An episode counts at each turn that it came to, so later turns are judged on other, longer episodes than earlier ones:
that a figure rises along the turns does not say that the head learns more about the same episodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from sage_gym.evaluation.auroc import auroc
from sage_gym.evaluation.intervals import Interval, cluster_mean
from sage_gym.evaluation.metrics import family_of
from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import Trajectory

__all__ = ["TurnQuality", "is_untouched", "judge_turns"]


class TurnQuality(BaseModel):
    """The forecasts at one turn's decisions, over the episodes that came to it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    turn: int
    """Counted from 1."""
    n: int
    failures: int
    auroc: Interval | None
    """None where all of these failed or none did."""
    brier: Interval
    """Bootstrapped by family."""
    brier_gain: Interval
    """The base rate's Brier, of these very episodes, minus this one."""


def is_untouched(trajectory: Trajectory) -> bool:
    """Whether the episode says what the policy does alone: nothing was changed, and nothing could have been.

    What an amplifier might have changed and happened to leave (`notes["is_untouched"]` is False) is a selection of
    episodes that were going well; those that its lot left alone count.
    """
    if trajectory.is_infrastructure or trajectory.is_intervened:
        return False
    return all(turn.decision.notes.get("is_untouched") is not False for turn in trajectory.turns)


def judge_turns(trajectories: Sequence[Trajectory], *, seed: int = 0) -> tuple[TurnQuality, ...]:
    """Judge each turn at which any decision has a forecast.

    Args:
        trajectories: those that are not untouched are left out.
        seed: of the bootstrap.
    """
    judged = [t for t in trajectories if is_untouched(t)]
    longest = max((len(t.turns) for t in judged), default=0)
    found = (_judge(judged, turn, seed) for turn in range(longest))
    return tuple(quality for quality in found if quality is not None)


def _judge(judged: Sequence[Trajectory], turn: int, seed: int) -> TurnQuality | None:
    known = [(t, p) for t in judged if len(t.turns) > turn and (p := t.turns[turn].decision.p_fail) is not None]
    if not known:
        return None
    failed, families = [not has_succeeded(t) for t, _ in known], [family_of(t) for t, _ in known]
    labels, forecasts = np.array(failed, dtype=float), np.array([forecast for _, forecast in known])
    losses = (forecasts - labels) ** 2
    brier = cluster_mean(losses.tolist(), families, seed=seed)
    gain = cluster_mean(((labels.mean() - labels) ** 2 - losses).tolist(), families, seed=seed)
    assert brier is not None
    assert gain is not None  # there is an episode
    return TurnQuality(
        turn=turn + 1,
        n=len(known),
        failures=sum(failed),
        auroc=auroc(failed, forecasts.tolist()),
        brier=brier,
        brier_gain=gain,
    )
