"""The Brier reward: what an honest forecast earns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rewards.scoring import has_failed, score_each, unscored
from sage_gym.types import Score, Trajectory

__all__ = ["Calibration"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """-(p_fail - failed)^2, in [-1, 0]: a proper score, highest in expectation at the true probability.

    The value is the mean over the forecasts at the decisions' ends; components are `brier` and, where the forecasts
    before the decisions are there too, `brier_before` (both positive, lower is better) and `brier_first` (the first
    one before, the primary forecast). After RLCR, arXiv 2507.16806, with the head's forecast for the spoken one.
    """

    name: str = "calibration"

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Return one score a trajectory; unscored where a forecast is missing or no probability."""
        return score_each(self.name, trajectories, self._judge)

    def _judge(self, trajectory: Trajectory) -> Score:
        failed = float(has_failed(trajectory))
        after = [turn.decision.p_fail for turn in trajectory.turns]
        before = [turn.decision.p_fail_before for turn in trajectory.turns]
        if not after or None in after:
            return unscored(self.name, "expected a forecast at every decision's end, got fewer")
        wrong = [p for p in (*before, *after) if p is not None and not 0.0 <= p <= 1.0]
        if wrong:
            return unscored(self.name, f"expected forecasts in [0, 1], got {wrong[0]}")
        squares = [(p - failed) ** 2 for p in after if p is not None]
        components = {"brier": fmean(squares)}
        early = [(p - failed) ** 2 for p in before if p is not None]
        if len(early) == len(before):
            components |= {"brier_before": fmean(early), "brier_first": early[0]}
        return Score(self.name, -fmean(squares), components, tuple(-square for square in squares))
