"""What a round collects: its tasks, and the student's episodes on them, amplified where a pilot lets it.

For distillation, two kinds of episodes more may be made of these: second attempts at failures, with a critique in the
prompt, and successes with a mistake forced into them. Both carry marks (`hints`, an injected turn, `is_intervened`)
that keep them out of the policy gradient, and each kind has its journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np

from sage_gym.config import TrainConfig
from sage_gym.distill.arena import Arena
from sage_gym.distill.piloting import run_pilot
from sage_gym.distill.standing import RunFolder, round_seed
from sage_gym.evaluation.metrics import measure
from sage_gym.evaluation.pilot import Pilot
from sage_gym.evaluation.recovery import measure_recovery
from sage_gym.protocols import Policy, Student
from sage_gym.registry import resolve
from sage_gym.rollout import (
    FactualCritique,
    ReplayedChoices,
    Request,
    recorded_candidates,
    recovery_requests,
    second_attempts,
)
from sage_gym.rollout.seeds import BITS as SEED_BITS
from sage_gym.rollout.seeds import derive_seed
from sage_gym.selection import has_succeeded, next_tasks
from sage_gym.selection.spread import draw_tasks
from sage_gym.types import Context, Decision, Task, Trajectory

__all__ = ["Collected", "Collector"]


@dataclass(frozen=True, slots=True)
class Collected:
    """A round's episodes, and the pilot that let amplification in or kept it out."""

    episodes: list[Trajectory]
    """The policy's own tries at the round's tasks."""
    second_attempts: list[Trajectory] = field(default_factory=list)
    recovery_traces: list[Trajectory] = field(default_factory=list)
    pilot: Pilot | None = None

    @property
    def everything(self) -> list[Trajectory]:
        """All of these."""
        return [*self.episodes, *self.second_attempts, *self.recovery_traces]

    def numbers(self) -> dict[str, float]:
        """Say what became of the further episodes, as `reflection/success` and so on; nothing where there are none."""
        found = measure(self.second_attempts).numbers("reflection") if self.second_attempts else {}
        return {**found, **(measure_recovery(self.recovery_traces).numbers() if self.recovery_traces else {})}


def _unscored(context: Context, decisions: Sequence[Decision]) -> list[float | None]:
    """Choose without a critic: where none is scored, the amplified student takes the first that is left."""
    return [None] * len(decisions)


class Collector:
    """Collects for one round after the other, each on record in the round's folder.

    Args:
        config: of the run.
        student: plays with the weights of the moment.
        arena: where it plays.
        pilot_tasks: of the select split, for the pilot of re-planning.
    """

    def __init__(self, config: TrainConfig, student: Student, arena: Arena, pilot_tasks: Sequence[Task]) -> None:
        self._config, self._student, self._arena, self._pilot_tasks = config, student, arena, pilot_tasks
        self._folder = RunFolder(config.run_folder)

    def collect(self, number: int) -> Collected:
        """Play the round's tasks, with the amplified student where the pilot lets it."""
        rollout = self._config.rollout
        policy = self._student.with_decoding(temperature=rollout.temperature, restricted=rollout.restricted)
        if self._share("second_attempts"):
            policy = resolve("policy", "reflective")(policy)
        policy, pilot = self._amplify(policy, number)
        episodes = self._arena.play(
            policy,
            self._next_tasks(number),
            self._folder.round(number) / "collect.jsonl",
            title=f"round {number}: collect",
            round=number,
            attempts=rollout.group_size,
        )
        second = self._try_again(policy, episodes, number)
        return Collected(episodes, second, self._recover(policy, episodes, number), pilot)

    def _try_again(self, policy: Policy, episodes: Sequence[Trajectory], number: int) -> list[Trajectory]:
        """Have some of the failures tried once more, a critique of what the attempt itself showed in the prompt."""
        share = self._share("second_attempts")
        if not share:
            return []
        failed = [t for t in episodes if not has_succeeded(t) and self._is_drawn(t, share, number)]
        wanted = second_attempts(failed, FactualCritique.of(self._arena.listing))
        return self._play_further(policy, wanted, "reflection", number)

    def _recover(self, policy: Policy, episodes: Sequence[Trajectory], number: int) -> list[Trajectory]:
        """Have some of the successes played again, with a mistake forced at one turn."""
        share = self._share("recovery_traces")
        if not share:
            return []
        succeeded = [t for t in episodes if has_succeeded(t) and self._is_drawn(t, share, number)]
        listing = self._arena.listing
        alternatives = ReplayedChoices(listing) if hasattr(listing, "view") else recorded_candidates
        wanted = recovery_requests(succeeded, seed=self._seed(number), alternatives=alternatives)
        return self._play_further(policy, wanted, "recovery", number)

    def _play_further(self, policy: Policy, wanted: Sequence[Request], name: str, number: int) -> list[Trajectory]:
        journal = self._folder.round(number) / f"{name}.jsonl"
        return self._arena.play_requests(policy, wanted, journal, title=f"round {number}: {name}", round=number)

    def _share(self, name: Literal["second_attempts", "recovery_traces"]) -> float:
        """Read a share; nothing is made of what nothing would be trained on."""
        return float(getattr(self._config.rollout, name)) if "distil" in self._config.rounds.stages else 0.0

    def _is_drawn(self, trajectory: Trajectory, share: float, number: int) -> bool:
        """Draw an episode's lot, which depends on nothing but the episode and the round's seed."""
        return derive_seed("further", self._seed(number), trajectory.id) < share * (1 << SEED_BITS)

    def _amplify(self, policy: Policy, number: int) -> tuple[Policy, Pilot | None]:
        """Put search and re-planning around the student, if a paired pilot on select tasks shows no harm."""
        settings = self._config.amplify
        if not settings.enabled or self._student.head is None:
            return policy, None
        make = partial(
            resolve("policy", "amplified"),
            policy,
            candidates=settings.candidates,
            tau=settings.tau,
            replans=settings.replans,
            seed=self._seed(number),
            **({"chooser": _unscored} if settings.chooser == "first" else {}),
        )
        amplified: Policy = make(untouched_share=settings.untouched_share)
        if not settings.pilot_tasks:
            return amplified, None
        tasks = self._pilot_tasks[: settings.pilot_tasks]
        pilot = run_pilot(
            self._arena, policy, make(untouched_share=0.0), tasks, self._folder.round(number), round=number,
            seed=self._config.run.seed,
        )  # fmt: skip
        return (amplified if pilot.replanning else policy), pilot

    def _next_tasks(self, number: int) -> list[Task]:
        """Draw a pool of training tasks, forecast each before anything is played, and take the learnable ones."""
        rollout, everything = self._config.rollout, self._arena.tasks(self._config.rollout.split)
        rng = np.random.default_rng([self._config.run.seed, number, 1])
        size = min(len(everything), max(1, rollout.pool) * rollout.tasks_per_round)
        pool = {task.key: task for task in draw_tasks(everything, size, rng, rollout.draw)}
        forecasts: dict[str, float] = {}
        if rollout.pool > 1 and self._student.head is not None:
            contexts = self._arena.first_contexts(list(pool.values()))
            forecasts = dict(zip(pool, self._student.foresee(contexts), strict=True))
        drawn = next_tasks(list(pool), forecasts, rollout.tasks_per_round, self._seed(number))
        return [pool[key] for key in drawn]

    def _seed(self, number: int) -> int:
        return round_seed(self._config.run.seed, number)
