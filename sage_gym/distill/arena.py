"""Where a run plays: its environment, its budgets, and the journals that make every collection resumable."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from sage_gym.config.sections import Rollout
from sage_gym.errors import UnknownNameError
from sage_gym.protocols import Policy
from sage_gym.rollout import Request, collect, progress_for, recorded, requests_for
from sage_gym.rollout.pool import MakeExpert
from sage_gym.types import Context, Task, Trajectory

__all__ = ["Arena"]


class Arena:
    """Plays lists of tasks with policies, on record.

    Args:
        make_environment: makes one environment.
        rollout: budgets and concurrency.
        seed: of the run.
        has_progress: whether a progress bar is shown.
    """

    def __init__(
        self,
        make_environment: Callable[[], gymnasium.Env[str, str]],
        rollout: Rollout,
        seed: int,
        *,
        has_progress: bool = True,
    ) -> None:
        self._make_environment, self._rollout, self._seed = make_environment, rollout, seed
        self._has_progress = has_progress
        self._listing: Any = None

    def tasks(self, split: str) -> Sequence[Task]:
        """List a split's tasks.

        Raises:
            UnknownNameError: the environment has no such split.
        """
        if self._listing is None:
            self._listing = self._make_environment().unwrapped
        if split not in self._listing.splits():
            raise UnknownNameError("split", split, self._listing.splits())
        tasks: Sequence[Task] = self._listing.tasks(split)
        return tasks

    def fixed_tasks(self, split: str, count: int) -> list[Task]:
        """Choose the tasks that a split is judged on: the same for every run, spread over the families."""
        tasks = self.tasks(split)
        order = np.random.default_rng(20260104).permutation(len(tasks))
        return [tasks[int(index)] for index in order[:count]]

    def first_contexts(self, tasks: Sequence[Task]) -> list[Context]:
        """Give what a policy would be asked first on each task, without playing it."""
        self.tasks(tasks[0].split)
        contexts = []
        for task in tasks:
            observation, info = self._listing.reset(seed=task.seed, options={"task": task.key})
            view = self._listing.view() if hasattr(self._listing, "view") else None
            actions = info.get("admissible_actions")
            admissible = None if actions is None else tuple(actions)
            contexts.append(
                Context(
                    f"first/{task.key}",
                    task,
                    observation,
                    (),
                    task.seed,
                    admissible,
                    view,
                    self._rollout.turn_tokens,
                    self._rollout.episode_tokens,
                )
            )
        return contexts

    def play(
        self, policy: Policy, tasks: Sequence[Task], journal: Path, *, title: str, round: int = 0, attempts: int = 1
    ) -> list[Trajectory]:
        """Play each task `attempts` times; what `journal` already holds is read, not played."""
        requests = requests_for(tasks, run_seed=self._seed, round=round, attempts=attempts)
        return self.play_requests(policy, requests, journal, title=title, round=round)

    def play_requests(
        self,
        policy: Policy,
        requests: Sequence[Request],
        journal: Path,
        *,
        title: str,
        round: int = 0,
        make_expert: MakeExpert | None = None,
    ) -> list[Trajectory]:
        """Play these episodes (second attempts, forced mistakes); what `journal` already holds is read, not played.

        Raises:
            RecordError: the journal holds other episodes than these.
        """
        progress = progress_for(title) if self._has_progress else None

        def play_missing(missing: Sequence[Request]) -> Generator[list[Trajectory], None, None]:
            return collect(
                self._make_environment,
                policy,
                missing,
                budget=self._rollout.budget(),
                concurrency=self._rollout.concurrency,
                retries=self._rollout.retries,
                max_failure_share=self._rollout.max_failure_share,
                make_expert=make_expert,
                progress=progress,
                round=round,
            )

        chunks = recorded(journal, requests, partial(play_missing), concurrency=self._rollout.concurrency, round=round)
        return [trajectory for chunk in chunks for trajectory in chunk]
