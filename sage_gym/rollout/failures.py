"""Where an exception becomes data, and when there are too many of them."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from sage_gym.errors import DeadlineError, InfrastructureError, TooManyFailuresError
from sage_gym.types import Failure, Trajectory

__all__ = ["FailureTally", "Side", "describe"]

Side = Literal["environment", "policy"]
MESSAGE_CHARACTERS = 2000
MIN_EPISODES = 10


def describe(error: BaseException, side: Side, attempts: int = 1) -> Failure:
    """Turn an exception raised by an environment or a policy into a record.

    `where` is `deadline` for a wait that was cut, `sandbox` for any other `InfrastructureError` of an environment.
    """
    where: str = side
    if isinstance(error, DeadlineError):
        where = "deadline"
    elif isinstance(error, InfrastructureError) and side == "environment":
        where = "sandbox"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (at {PurePath(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name})" if frames else ""
    return Failure(where, type(error).__name__, str(error)[:MESSAGE_CHARACTERS] + place, attempts)


@dataclass(slots=True)
class FailureTally:
    """Counts episodes lost to infrastructure, and stops the run when they are too many.

    Attributes:
        max_share: of episodes that may be lost, in [0, 1].
        min_episodes: seen before the share is judged.
    """

    max_share: float
    min_episodes: int = MIN_EPISODES
    seen: int = 0
    failed: int = 0
    first: Trajectory | None = None

    def add(self, trajectories: Iterable[Trajectory]) -> None:
        """Count finished episodes.

        Raises:
            TooManyFailuresError: the share of lost ones is above `max_share`; names the first cause.
        """
        for trajectory in trajectories:
            self.seen += 1
            if trajectory.is_infrastructure:
                self.failed += 1
                self.first = self.first or trajectory
        if self.seen >= self.min_episodes and self.failed > self.max_share * self.seen:
            raise TooManyFailuresError(self._message())

    def _message(self) -> str:
        assert self.first is not None
        assert self.first.failure is not None
        cause = self.first.failure
        return (
            f"expected at most {self.max_share:.0%} of episodes to fail for reasons outside the policy, "
            f"got {self.failed} of {self.seen} ({self.failed / self.seen:.0%}); first cause, in {cause.where}, "
            f"task {self.first.task.key}, after {cause.attempts} attempts: {cause.error}: {cause.message}. "
            f"Mend it and run the same command again: finished chunks are kept"
        )
