"""The environment's own reward R, with its components."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

from rewards.scoring import has_failed, score_each, unscored
from sage_gym.types import Score, Trajectory

__all__ = ["Outcome"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """R in [0, 1]; components: `success` (0 where truncated), and the numbers in the environment's last info.

    Args:
        name: what the scores are called.
        components_key: where in `Trajectory.info` the environment puts its reward's components.
    """

    name: str = "outcome"
    components_key: str = "reward_components"

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        """Return one score a trajectory; a reward outside [0, 1] is unscored, since the environment broke its word."""
        return score_each(self.name, trajectories, self._judge)

    def _judge(self, trajectory: Trajectory) -> Score:
        if not 0.0 <= trajectory.reward <= 1.0:
            return unscored(self.name, f"expected a reward in [0, 1], got {trajectory.reward}")
        stated = trajectory.info.get(self.components_key)
        found = stated if isinstance(stated, Mapping) else {}
        components = {str(key): float(value) for key, value in found.items() if isinstance(value, Real)}
        return Score(self.name, trajectory.reward, {**components, "success": 0.0 if has_failed(trajectory) else 1.0})
