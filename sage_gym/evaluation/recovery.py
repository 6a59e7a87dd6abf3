"""Success after a forced mistake: how often a policy mends what it did not do itself."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from sage_gym.evaluation.intervals import Interval, wilson
from sage_gym.evaluation.metrics import Metrics, measure
from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import Origin, Trajectory

__all__ = ["RecoveryReport", "TurnRecovery", "measure_recovery", "mistake_turn"]


class TurnRecovery(BaseModel):
    """The episodes whose mistake was forced at one turn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    turn: int
    """Of the mistake, counted from 1."""
    success: Interval
    """Share that recovered, Wilson."""


class RecoveryReport(BaseModel):
    """What became of the episodes in which a mistake was forced.

    All were taken from successes: without the mistake, the policy that made them succeeds in every one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics: Metrics
    """Of the episodes in which the mistake was reached; `metrics.success` is the share that recovered."""
    unreached: int
    """Scored episodes that ended before their mistake; in none of the numbers above."""
    turns_to_recover: float | None
    """Mean number of turns after the mistake, of those that recovered; None where none did."""
    by_turn: tuple[TurnRecovery, ...] = ()

    def numbers(self, prefix: str = "recovery") -> dict[str, float]:
        """Flatten for a tracker."""
        flat = {**self.metrics.numbers(prefix), f"{prefix}/unreached": float(self.unreached)}
        return flat if self.turns_to_recover is None else {**flat, f"{prefix}/turns_to_recover": self.turns_to_recover}


def measure_recovery(trajectories: Sequence[Trajectory], *, seed: int = 0) -> RecoveryReport:
    """Measure what `forced_mistakes` or `recovery_requests` led to.

    Args:
        trajectories: infrastructure failures included.
        seed: of the bootstrap.
    """
    reached = [t for t in trajectories if t.is_infrastructure or mistake_turn(t) is not None]
    after = [len(t.turns) - 1 - turn for t in reached if has_succeeded(t) and (turn := mistake_turn(t)) is not None]
    return RecoveryReport(
        metrics=measure(reached, seed=seed),
        unreached=len(trajectories) - len(reached),
        turns_to_recover=sum(after) / len(after) if after else None,
        by_turn=_by_turn([t for t in reached if not t.is_infrastructure]),
    )


def _by_turn(trajectories: Sequence[Trajectory]) -> tuple[TurnRecovery, ...]:
    outcomes: dict[int, list[bool]] = {}
    for trajectory in trajectories:
        turn = mistake_turn(trajectory)
        assert turn is not None  # it was reached
        outcomes.setdefault(turn, []).append(has_succeeded(trajectory))
    shares = {turn: wilson(sum(found), len(found)) for turn, found in sorted(outcomes.items())}
    return tuple(TurnRecovery(turn=turn + 1, success=share) for turn, share in shares.items() if share is not None)


def mistake_turn(trajectory: Trajectory) -> int | None:
    """Return the last turn whose action was injected, counted from 0; None where none was."""
    injected = [i for i, turn in enumerate(trajectory.turns) if turn.decision.origin is Origin.INJECTED]
    return injected[-1] if injected else None
