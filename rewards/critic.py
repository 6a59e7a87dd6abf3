"""Per-turn credit: learned (the forecasts before and after a decision), or by rule (what the environment noted)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from rewards.scoring import score_each, unscored
from sage_gym.types import Origin, Score, Trajectory, Turn

__all__ = ["LearnedCritic", "RuleCritic"]


@dataclass(frozen=True, slots=True)
class LearnedCritic:
    """c_t = Q(s_t, a_t) - V(s_t), with Q = 1 - p_fail and V = 1 - p_fail_before; so in [-1, 1].

    The value is the mean of c_t over the policy's own turns (an injected action is no credit of its own); a mean, so
    that a long episode is no better for being long. Components: `first_value` (V of the first turn), `last_value` (Q
    of the last) and `lowest`, the worst c_t among the policy's own turns.
    """

    name: str = "critic"

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Return one score a trajectory; unscored where a turn carries no forecast."""
        return score_each(self.name, trajectories, self._judge)

    def _judge(self, trajectory: Trajectory) -> Score:
        values = []
        for index, turn in enumerate(trajectory.turns):
            before, after = turn.decision.p_fail_before, turn.decision.p_fail
            if before is None or after is None:
                return unscored(self.name, f"turn {index}: expected a forecast before and after the decision, got none")
            values.append((1.0 - before, 1.0 - after))
        credits = [q - v for v, q in values]
        own = _own(trajectory, credits)
        if not own:
            return unscored(self.name, "expected at least one turn of the policy's own, got none")
        components = {"first_value": values[0][0], "last_value": values[-1][1], "lowest": min(own)}
        return Score(self.name, fmean(own), components, tuple(credits))


@dataclass(frozen=True, slots=True)
class RuleCritic:
    """Credit from what the environment noted of each turn; needs no model.

    Args:
        name: what the scores are called.
        invalid: credit of an action that the environment could not take.
        repeated: credit of an action that was already taken on the same observation.
        info: credit per unit of a number that the environment puts in `Turn.info`, by its name; a flag counts 1.

    The value is the mean over the policy's own turns; components are the counts (`invalid`, `repeated`) and the sums
    (`info.<name>`) over those turns, before any credit is applied.
    """

    name: str = "rule"
    invalid: float = -1.0
    repeated: float = -0.5
    info: Mapping[str, float] = field(default_factory=dict)

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Return one score a trajectory; unscored where an info entry is not a number."""
        return score_each(self.name, trajectories, self._judge)

    def _judge(self, trajectory: Trajectory) -> Score:
        seen: set[tuple[str, str]] = set()
        notes = []
        for turn in trajectory.turns:
            state = (turn.observation, turn.decision.action)
            notes.append(self._note(turn, is_repeated=state in seen))
            seen.add(state)
        rates = {"invalid": self.invalid, "repeated": self.repeated, **{f"info.{k}": v for k, v in self.info.items()}}
        credits = [sum(rates[name] * amount for name, amount in note.items()) for note in notes]
        own = _own(trajectory, credits)
        if not own:
            return unscored(self.name, "expected at least one turn of the policy's own, got none")
        components = {name: sum(_own(trajectory, [note[name] for note in notes])) for name in rates}
        return Score(self.name, fmean(own), components, tuple(credits))

    def _note(self, turn: Turn, is_repeated: bool) -> dict[str, float]:
        stated = {f"info.{name}": float(turn.info.get(name, 0.0)) for name in self.info}
        return {"invalid": float(turn.is_invalid), "repeated": float(is_repeated), **stated}


def _own(trajectory: Trajectory, amounts: Sequence[float]) -> list[float]:
    pairs = zip(trajectory.turns, amounts, strict=True)
    return [amount for turn, amount in pairs if turn.decision.origin is not Origin.INJECTED]
