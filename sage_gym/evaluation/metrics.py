"""How well a policy did on a list of tasks, with intervals; infrastructure failures apart, with their bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from sage_gym.evaluation.intervals import Interval, cluster_share, wilson
from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import StopReason, Trajectory

__all__ = ["Metrics", "family_of", "measure"]


class Metrics(BaseModel):
    """An evaluation in numbers. All but the bounds leave infrastructure failures out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    episodes: int
    """Scored ones."""
    infrastructure: int
    successes: int
    success: Interval | None
    """Wilson; None without a scored episode."""
    success_clustered: Interval | None
    """The same share, bootstrapped by task family."""
    success_if_infrastructure_failed: float
    success_if_infrastructure_passed: float
    score: Interval | None
    """Mean R, bootstrapped by task family."""
    turns: float
    """Mean a scored episode."""
    tokens: float
    """Mean sampled a scored episode."""
    invalid_share: float
    """Of the scored episodes' turns."""
    denied_share: float = 0.0
    """Of the scored episodes' turns: those whose action a guard did not let run (`info["denial"]`)."""
    stop_reasons: dict[str, int]
    """Of all episodes."""

    @property
    def truncations(self) -> dict[str, int]:
        """Episodes that a budget ended, by budget."""
        return {name: n for name, n in self.stop_reasons.items() if StopReason(name).is_truncation}

    def numbers(self, prefix: str) -> dict[str, float]:
        """Flatten for a tracker, as `prefix/success` and so on."""
        flat: dict[str, float] = {
            "episodes": self.episodes,
            "infrastructure": self.infrastructure,
            "turns": self.turns,
            "tokens": self.tokens,
            "invalid_share": self.invalid_share,
            "denied_share": self.denied_share,
        }
        for name, interval in (("success", self.success), ("score", self.score)):
            if interval is not None:
                flat |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        return {f"{prefix}/{name}": value for name, value in flat.items()}


def family_of(trajectory: Trajectory) -> str:
    """What a task is clustered by; itself where it names no family."""
    return trajectory.task.family or trajectory.task.key


def measure(trajectories: Sequence[Trajectory], *, seed: int = 0) -> Metrics:
    """Measure an evaluation.

    Args:
        trajectories: infrastructure failures included.
        seed: of the bootstrap.
    """
    scored = [t for t in trajectories if not t.is_infrastructure]
    lost, n = len(trajectories) - len(scored), len(scored)
    outcomes = [float(has_succeeded(t)) for t in scored]
    successes = int(sum(outcomes))
    families = [family_of(t) for t in scored]
    turns = [turn for t in scored for turn in t.turns]
    everything = max(1, len(trajectories))
    return Metrics(
        episodes=n,
        infrastructure=lost,
        successes=successes,
        success=wilson(successes, n),
        success_clustered=cluster_share(outcomes, families, seed=seed),
        success_if_infrastructure_failed=successes / everything,
        success_if_infrastructure_passed=(successes + lost) / everything,
        score=cluster_share([float(t.reward) for t in scored], families, seed=seed),
        turns=len(turns) / max(1, n),
        tokens=sum(t.token_count for t in scored) / max(1, n),
        invalid_share=sum(turn.is_invalid for turn in turns) / max(1, len(turns)),
        denied_share=sum(bool(turn.info.get("denial")) for turn in turns) / max(1, len(turns)),
        stop_reasons=dict(sorted(Counter(str(t.stop_reason) for t in trajectories).items())),
    )
