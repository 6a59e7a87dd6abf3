"""The Inverse Consistency Score as a reward. Which model computes it is the caller's choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rewards.scoring import checked, score_each, unscored
from sage_gym.types import Score, Trajectory

__all__ = ["InverseConsistency", "Reading", "Scorer"]


class Reading(Protocol):
    """What a scorer says of one trajectory."""

    @property
    def ics(self) -> float:
        """(log P(x | z, y) - log P(x | nothing)) / |x|, nats a token, copied spans left out."""
        ...

    @property
    def log_p_given_trace(self) -> float:
        """Give log P(x | z, y), nats."""
        ...

    @property
    def copy_rate(self) -> float:
        """Share of x that the trace copied."""
        ...


Scorer = Callable[[Sequence[Trajectory]], Sequence[Reading]]


@dataclass(frozen=True, slots=True)
class InverseConsistency:
    """ICS in nats a token; components `log_p_given_trace` (the reconstruction's reward, nats) and `copy_rate`.

    Args:
        scorer: batched. Where it fails on the whole batch each trajectory is tried alone, so that one without a
            ledger leaves the others scored.
        name: what the scores are called.
    """

    scorer: Scorer
    name: str = "ics"

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Return one score a trajectory; unscored, with the scorer's error, where it failed."""
        live = [trajectory for trajectory in trajectories if not trajectory.is_infrastructure]
        try:
            scores = iter([self._score(reading) for reading in self._read(live)])
        except Exception:  # the cause is met again below, and recorded, on the trajectory that has it
            return score_each(self.name, trajectories, lambda trajectory: self._score(self._read([trajectory])[0]))
        left_out = unscored(self.name, "infrastructure: the policy could not have caused how it ended")
        return [left_out if trajectory.is_infrastructure else next(scores) for trajectory in trajectories]

    def _read(self, trajectories: Sequence[Trajectory]) -> Sequence[Reading]:
        readings = self.scorer(trajectories) if trajectories else []
        if len(readings) != len(trajectories):
            raise ValueError(f"expected {len(trajectories)} readings from the scorer, got {len(readings)}")
        return readings

    def _score(self, reading: Reading) -> Score:
        components = {"log_p_given_trace": reading.log_p_given_trace, "copy_rate": reading.copy_rate}
        return checked(Score(self.name, reading.ics, components))
