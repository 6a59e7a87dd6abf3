"""An evaluation that is played: policies on the same tasks, split by split, every episode on record.

Each kind of episode has its journal, `episodes/<split>/<side>.jsonl` with `-fit`, `-recovery` and `-pilot` beside it,
so that an evaluation that was killed goes on where it stopped, and one that is done is only read and measured again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sage_gym.config import EvaluateConfig
from sage_gym.config.saved import flatten
from sage_gym.errors import ConfigError, UnknownNameError
from sage_gym.evaluation.comparison import SplitComparison, compare_splits
from sage_gym.evaluation.critiques import score_episodes
from sage_gym.evaluation.measuring import has_forecasts, measure_split
from sage_gym.evaluation.outcomes import TaskOutcomes, list_outcomes
from sage_gym.evaluation.pilot import Pilot, judge_pilot
from sage_gym.evaluation.records import Evaluation, PilotCheck, SplitResult
from sage_gym.evaluation.sides import Side
from sage_gym.protocols import Reward
from sage_gym.rollout import BorrowedActions, ReplayedChoices, Request, forced_mistakes, recorded_candidates
from sage_gym.rollout.recovery import Alternatives
from sage_gym.rollout.seeds import derive_seed
from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import Task, Trajectory

if TYPE_CHECKING:
    from sage_gym.distill.arena import Arena

__all__ = ["Trial"]


class Trial:
    """Plays and measures.

    Args:
        config: resolved.
        folder: where the journals lie.
        arena: where is played.
        sides: what is evaluated first, then what it is held against, if anything.
        critic: scores every episode too.

    Raises:
        ConfigError: a split that the environment does not have, or a fit split that shares tasks with one of them.
    """

    def __init__(
        self, config: EvaluateConfig, folder: Path, arena: Arena, sides: Sequence[Side], critic: Reward | None = None
    ) -> None:
        self._config, self._folder, self._arena, self._sides, self._critic = config, folder, arena, sides, critic
        known = arena.listing.splits()
        named = config.splits or tuple(split for split in known if split == "test" or split.startswith("test_"))
        self._check(known, named)
        self._tasks = {split: arena.fixed_tasks(split, config.tasks, config.draw) for split in named}
        self._fit_tasks: list[Task] = []
        if config.fit_split is not None:
            self._fit_tasks = arena.fixed_tasks(config.fit_split, config.fit_tasks, config.draw)
        self._check_fit()

    def _check(self, known: Sequence[str], named: Sequence[str]) -> None:
        asked = [("splits", split) for split in named]
        asked += [("fit_split", self._config.fit_split)] if self._config.fit_split is not None else []
        advice = {"splits": "", "fit_split": "; null fits nothing"}
        problems = [
            f"{key}: {UnknownNameError('split', split, known)}{advice[key]}"
            for key, split in asked
            if split not in known
        ]
        if not named:
            problems.append(f"splits: the environment has no split named test; give some of {', '.join(known)}")
        if problems:
            raise ConfigError(problems)

    def _check_fit(self) -> None:
        fitted = {task.key for task in self._fit_tasks}
        shared = {split: fitted & {task.key for task in tasks} for split, tasks in self._tasks.items()}
        problems = [
            f"fit_split={self._config.fit_split}: shares {len(keys)} tasks with {split} (first: {min(keys)}); what is "
            "fitted on a task cannot be judged on it: give another fit_split, or null"
            for split, keys in shared.items()
            if keys
        ]
        if problems:
            raise ConfigError(problems)

    def run(self) -> Evaluation:
        """Play what is missing, and measure everything."""
        began = time.perf_counter()
        played = {split: self._play_split(split, tasks) for split, tasks in self._tasks.items()}
        fits = {side.file: self._play_fit(side, played) for side in self._sides}
        recovered = {split: self._recover(split, of_sides) for split, of_sides in played.items()}
        results = [
            self._measure(split, side, played[split][side.file], fits[side.file], recovered[split].get(side.file))
            for split in played
            for side in self._sides
        ]
        return Evaluation(
            name=self._config.evaluation_name,
            environment=self._config.env.name,
            policies=tuple(side.label for side in self._sides),
            results=tuple(results),
            comparisons=self._compare(played),
            recovery_comparisons=self._compare(recovered),
            pilot=self._judge_pilot(played),
            settings={key: str(value) for key, value in flatten(self._config.model_dump(mode="json")).items()},
            weights={side.label: side.weights for side in self._sides if side.weights},
            elapsed_s=time.perf_counter() - began,
        )

    # Playing

    def _play_split(self, split: str, tasks: Sequence[Task]) -> dict[str, list[Trajectory]]:
        return {side.file: self._play(side, split, tasks, "", self._config.attempts) for side in self._sides}

    def _play_fit(self, side: Side, played: Mapping[str, Mapping[str, Sequence[Trajectory]]]) -> list[Trajectory]:
        """Play the fit split, where there are forecasts to fit anything to."""
        forecasts = any(has_forecasts(of_sides[side.file]) for of_sides in played.values())
        split = self._config.fit_split
        return self._play(side, split, self._fit_tasks, "-fit") if split is not None and forecasts else []

    def _play(self, side: Side, split: str, tasks: Sequence[Task], kind: str, attempts: int = 1) -> list[Trajectory]:
        title = f"{split}{kind.replace('-', ', ')}: {side.label}"
        return self._arena.play(side.policy, tasks, self._journal(split, side, kind), title=title, attempts=attempts)

    def _recover(self, split: str, played: Mapping[str, Sequence[Trajectory]]) -> dict[str, list[Trajectory]]:
        """Put every side into the same states after the same mistakes, and let it go on."""
        if not self._config.recovery.tasks:
            return {}
        wanted = self._mistakes(played)
        return {
            side.file: self._arena.play_requests(
                side.policy, wanted, self._journal(split, side, "-recovery"), title=f"{split}, recovery: {side.label}"
            )
            for side in self._sides
        }

    def _mistakes(self, played: Mapping[str, Sequence[Trajectory]]) -> list[Request]:
        """Take one success of each task, by lot of whichever side, up to the number that is asked for."""
        settings, seed = self._config.recovery, self._config.seed
        found: dict[str, list[tuple[int, Trajectory]]] = {}
        for file, trajectories in played.items():
            for trajectory in trajectories:
                if has_succeeded(trajectory):
                    lot = derive_seed("side", seed, trajectory.task.key, file)
                    found.setdefault(trajectory.task.key, []).append((lot, trajectory))
        # in the order in which the tasks were drawn, which is by lot
        order = list(dict.fromkeys(t.task.key for trajectories in played.values() for t in trajectories))
        chosen = [key for key in order if key in found][: settings.tasks]
        successes = [t for key in chosen for _, t in sorted(found[key], key=lambda pair: pair[0])]
        return forced_mistakes(
            successes,
            seed=seed,
            alternatives=self._alternatives([t for trajectories in played.values() for t in trajectories]),
            turn=None if settings.turn is None else settings.turn - 1,
        )

    def _alternatives(self, episodes: Sequence[Trajectory]) -> Alternatives:
        """Give what else was open at a turn; where that cannot be listed, what was done there on other tasks."""
        borrowed, listing = BorrowedActions(episodes), self._arena.listing
        opened: Alternatives = ReplayedChoices(listing) if hasattr(listing, "view") else recorded_candidates
        return lambda trajectory, turn: opened(trajectory, turn) or borrowed(trajectory, turn)

    def _journal(self, split: str, side: Side, kind: str) -> Path:
        return self._folder / "episodes" / split / f"{side.file}{kind}.jsonl"

    # Measuring

    def _measure(
        self,
        split: str,
        side: Side,
        trajectories: Sequence[Trajectory],
        fit: Sequence[Trajectory],
        recovery: Sequence[Trajectory] | None,
    ) -> SplitResult:
        critic = self._critic
        return measure_split(
            trajectories,
            split=split,
            policy=side.label,
            decoding=side.decoding,
            fit=fit,
            fit_split=self._config.fit_split or "",
            recovery=recovery,
            critic=None if critic is None else (critic.name, score_episodes(critic, trajectories)),
            seed=self._config.seed,
        )

    def _compare(self, played: Mapping[str, Mapping[str, Sequence[Trajectory]]]) -> tuple[SplitComparison, ...]:
        """Test the first side against the second on every split."""
        if len(self._sides) < 2:
            return ()
        ours, theirs = self._sides
        outcomes: dict[str, dict[str, tuple[TaskOutcomes, ...]]] = {
            side.file: {
                split: list_outcomes(sides[side.file]) for split, sides in played.items() if sides.get(side.file)
            }
            for side in self._sides
        }
        return compare_splits(
            (theirs.label, outcomes[theirs.file]), (ours.label, outcomes[ours.file]), seed=self._config.seed
        )

    # The intervention pilot

    def _judge_pilot(self, played: Mapping[str, Mapping[str, Sequence[Trajectory]]]) -> PilotCheck | None:
        """Hold the pilot's decision on re-planning against that of all tasks of each split."""
        settings, split = self._config.amplify, self._config.fit_split
        if not settings.enabled or not settings.pilot_tasks or split is None:
            return None
        tasks = self._fit_tasks[: settings.pilot_tasks]
        pilot = self._judge({side.file: self._play(side, split, tasks, "-pilot") for side in self._sides})
        return PilotCheck(pilot=pilot, full={name: self._judge(of_sides) for name, of_sides in played.items()})

    def _judge(self, of_sides: Mapping[str, Sequence[Trajectory]]) -> Pilot:
        first = {file: [t for t in played if t.attempt == 0] for file, played in of_sides.items()}
        return judge_pilot(first["against"], first["policy"], seed=self._config.seed)
