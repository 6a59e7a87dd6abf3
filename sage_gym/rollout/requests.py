"""What to play: which task, which attempt, with which seed, and what is forced on the policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sage_gym.rollout.seeds import episode_seed
from sage_gym.types import Origin, Task

__all__ = ["Injection", "Request", "requests_for"]


@dataclass(frozen=True, slots=True)
class Injection:
    """An action put in at a turn (counted from 0) in place of the policy's."""

    turn: int
    action: str
    origin: Origin = Origin.INJECTED


@dataclass(frozen=True, slots=True)
class Request:
    """One episode to be played.

    Attributes:
        task: what to do.
        attempt: index within the task's group.
        seed: of the episode; the same request gives the same episode.
        prefix: actions forced at given turns. The seed being the same, what comes before them is as it was.
        expert_from: the turn from which the environment's expert plays; None means never.
        label: told apart in the trajectory's id, where one task and attempt is played in several ways.
        hints: critiques of earlier attempts, shown to the policy.
    """

    task: Task
    attempt: int
    seed: int
    prefix: tuple[Injection, ...] = ()
    expert_from: int | None = None
    label: str = ""
    hints: tuple[str, ...] = ()

    def trajectory_id(self, round: int) -> str:
        """Name the trajectory that comes of it: `r0/webshop/synthetic/00042#1`."""
        return f"r{round}/{self.task.key}#{self.attempt}{self.label and '/' + self.label}"


def requests_for(
    tasks: Iterable[Task], *, run_seed: int, round: int = 0, attempts: int = 1, label: str = ""
) -> Sequence[Request]:
    """List `attempts` requests for each task, those of one task side by side."""
    return [
        Request(task, attempt, episode_seed(run_seed, round, task.key, attempt), label=label)
        for task in tasks
        for attempt in range(attempts)
    ]
