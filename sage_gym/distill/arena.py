"""Where a run plays: its environment, its budgets, and the journals that make every collection resumable."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from sage_gym.config.sections import Episodes
from sage_gym.errors import UnknownNameError
from sage_gym.protocols import Policy
from sage_gym.rollout import Request, collect, progress_for, recorded, requests_for
from sage_gym.rollout.pool import MakeExpert
from sage_gym.selection import HeldOut, Later
from sage_gym.selection.spread import Draw, draw_tasks
from sage_gym.types import Context, Task, Trajectory

__all__ = ["Arena"]

MOST_HELD_OUT = 10_000
HELD_OUT_WORDS = frozenset({"dev", "eval", "select", "test", "val", "valid", "validation"})
"""A split whose name has one of these among its parts, and not `train`, is one that something is judged by."""


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
        rollout: Episodes,
        seed: int,
        *,
        has_progress: bool = True,
    ) -> None:
        self._make_environment, self._rollout, self._seed = make_environment, rollout, seed
        self._has_progress = has_progress
        self._listing: Any = None

    @property
    def listing(self) -> Any:
        """An environment that no episode is played in: it lists tasks, and what led up to a turn is replayed in it."""
        if self._listing is None:
            self._listing = self._make_environment().unwrapped
        return self._listing

    def tasks(self, split: str) -> Sequence[Task]:
        """List a split's tasks.

        Raises:
            UnknownNameError: the environment has no such split.
        """
        if split not in self.listing.splits():
            raise UnknownNameError("split", split, self.listing.splits())
        tasks: Sequence[Task] = self.listing.tasks(split)
        return tasks

    def fixed_tasks(self, split: str, count: int, draw: Draw = "families") -> list[Task]:
        """Choose the tasks that a split is judged on, the same for every run."""
        return draw_tasks(self.tasks(split), count, np.random.default_rng(20260104), draw)

    def held_out_splits(self, judged: Sequence[str], collected: str) -> list[str]:
        """Name the splits that the run is judged by, and other held-out ones, without the one it collects from."""
        others = [split for split in self.listing.splits() if HELD_OUT_WORDS & {*split.split("_")}]
        found = dict.fromkeys([*judged, *(split for split in others if "train" not in split)])
        return [split for split in found if split != collected]

    def held_out(self, split: str) -> HeldOut:
        """Give what a split's tasks ask for (of very many, some), for comparison with training text.

        Raises:
            UnknownNameError: the environment has no such split.
        """
        listed = self.tasks(split)
        environment = listed[0].environment if len(listed) else ""
        drawn = cache(partial(self.fixed_tasks, split, MOST_HELD_OUT))
        texts, hashes = Later(lambda: (t.instruction for t in drawn())), Later(lambda: (t.hash for t in drawn()))
        return HeldOut(f"{environment} {split}", texts, environment, hashes)

    def first_contexts(self, tasks: Sequence[Task]) -> list[Context]:
        """Give what a policy would be asked first on each task, without playing it."""
        contexts = []
        for task in tasks:
            observation, info = self.listing.reset(seed=task.seed, options={"task": task.key})
            view = self.listing.view() if hasattr(self.listing, "view") else None
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
