"""Success after a forced mistake: how often a policy mends what it did not do itself."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from sage_gym.evaluation.metrics import Metrics, measure
from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import Origin, Trajectory

__all__ = ["RecoveryReport", "measure_recovery"]


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
    reached = [t for t in trajectories if t.is_infrastructure or _mistake_turn(t) is not None]
    after = [len(t.turns) - 1 - turn for t in reached if has_succeeded(t) and (turn := _mistake_turn(t)) is not None]
    return RecoveryReport(
        metrics=measure(reached, seed=seed),
        unreached=len(trajectories) - len(reached),
        turns_to_recover=sum(after) / len(after) if after else None,
    )


def _mistake_turn(trajectory: Trajectory) -> int | None:
    """Return the last turn whose action was injected."""
    injected = [i for i, turn in enumerate(trajectory.turns) if turn.decision.origin is Origin.INJECTED]
    return injected[-1] if injected else None
