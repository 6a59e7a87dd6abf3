"""What became of each task, attempt by attempt: enough to compare two evaluations without their trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from sage_gym.errors import TasksDifferError
from sage_gym.evaluation.metrics import family_of
from sage_gym.evaluation.significance import Pairs
from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import Trajectory

__all__ = ["TaskOutcomes", "check_same_tasks", "list_outcomes", "pair_outcomes"]


class TaskOutcomes(BaseModel):
    """One task's attempts, in order; None for one that infrastructure took."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    family: str
    hash: str
    successes: tuple[bool | None, ...]
    rewards: tuple[float | None, ...]

    @property
    def success_rate(self) -> float | None:
        """Share of the scored attempts that succeeded; None without one."""
        scored = [float(success) for success in self.successes if success is not None]
        return fmean(scored) if scored else None

    @property
    def mean_reward(self) -> float | None:
        """Mean reward of the scored attempts; None without one."""
        scored = [reward for reward in self.rewards if reward is not None]
        return fmean(scored) if scored else None


def list_outcomes(trajectories: Sequence[Trajectory]) -> tuple[TaskOutcomes, ...]:
    """Gather attempts by task, ordered by key."""
    by_task: dict[str, list[Trajectory]] = {}
    for trajectory in sorted(trajectories, key=lambda t: (t.task.key, t.attempt)):
        by_task.setdefault(trajectory.task.key, []).append(trajectory)
    return tuple(
        TaskOutcomes(
            key=key,
            family=family_of(own[0]),
            hash=own[0].task.hash,
            successes=tuple(None if t.is_infrastructure else has_succeeded(t) for t in own),
            rewards=tuple(None if t.is_infrastructure else t.reward for t in own),
        )
        for key, own in by_task.items()
    )


def check_same_tasks(what: str, a: Sequence[TaskOutcomes], b: Sequence[TaskOutcomes]) -> None:
    """See that two evaluations are of the same tasks.

    Args:
        what: is compared, for the message.
        a: the first.
        b: the second.

    Raises:
        TasksDifferError: with the keys that differ.
    """
    of_a, of_b = {one.key: one for one in a}, {one.key: one for one in b}
    changed = [key for key in of_a if key in of_b and of_a[key].hash != of_b[key].hash]
    only_a, only_b = sorted(of_a.keys() - of_b.keys()), sorted(of_b.keys() - of_a.keys())
    if only_a or only_b or changed:
        raise TasksDifferError(what, only_a, only_b, sorted(changed))


def pair_outcomes(a: Sequence[TaskOutcomes], b: Sequence[TaskOutcomes]) -> Pairs | None:
    """Put the first attempts side by side, ordered by key; None where infrastructure left no pair.

    Raises:
        TasksDifferError: the two are not of the same tasks.
    """
    check_same_tasks("comparison", a, b)
    of_b = {one.key: one for one in b}
    rows = [
        (one.key, one.family, one.successes[0], other.successes[0], one.rewards[0], other.rewards[0])
        for one in sorted(a, key=lambda found: found.key)
        if (other := of_b[one.key]).successes[0] is not None and one.successes[0] is not None
    ]
    if not rows:
        return None
    keys, families, success_a, success_b, score_a, score_b = zip(*rows, strict=True)
    return Pairs(keys, families, success_a, success_b, score_a, score_b, left_out=len(a) - len(rows))
