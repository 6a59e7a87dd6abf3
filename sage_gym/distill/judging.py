"""How the student alone is judged: on the select split after every round, on the test split once."""

from __future__ import annotations

import time
from collections.abc import Callable

from sage_gym.config import TrainConfig
from sage_gym.distill.arena import Arena
from sage_gym.distill.forecasting import report_forecasts
from sage_gym.distill.standing import RunFolder
from sage_gym.evaluation.accounts import account_for_end
from sage_gym.evaluation.manifest import FinalManifest
from sage_gym.evaluation.sides import in_words
from sage_gym.protocols import Student
from sage_gym.types import Task, Trajectory

__all__ = ["Judge"]


class Judge:
    """Plays held-out tasks with the student's weights of the moment, on record.

    Args:
        config: of the run.
        student: who is judged.
        arena: where it plays.
    """

    def __init__(self, config: TrainConfig, student: Student, arena: Arena) -> None:
        self._config, self._student, self._arena = config, student, arena
        self._folder = RunFolder(config.run_folder)
        judged = config.evaluate
        self.select_tasks: list[Task] = arena.fixed_tasks(judged.select_split, judged.select_tasks, judged.draw)

    @property
    def decoding(self) -> str:
        """How the student decodes when it is judged, in words."""
        return in_words(self._config.evaluate.temperature, self._config.evaluate.restricted)

    def play_select(self, number: int) -> list[Trajectory]:
        """Play a round's student on the select tasks."""
        settings = self._config.evaluate
        policy = self._student.with_decoding(temperature=settings.temperature, restricted=settings.restricted)
        journal = self._folder.select_journal(number)
        return self._arena.play(policy, self.select_tasks, journal, title=f"round {number}: select", round=number)

    def test(
        self, incumbent: int, restore: Callable[[int], None], *, tokens_trained: int, elapsed_s: float
    ) -> FinalManifest:
        """Play the test split for round 0 and the last promoted student, with every way of decoding.

        The first way is the run's own; then the other as to restriction, and the likeliest token where the run samples.

        Args:
            incumbent: the last promoted student's round.
            restore: gives the student a round's weights.
            tokens_trained: over all rounds.
            elapsed_s: of all rounds.
        """
        began = time.perf_counter()
        settings = self._config.evaluate
        tasks = self._arena.fixed_tasks(settings.test_split, settings.test_tasks, settings.draw)
        ways = [(settings.temperature, settings.restricted), (settings.temperature, not settings.restricted)]
        if settings.temperature > 0:
            ways.append((0.0, settings.restricted))
        played: dict[tuple[int, float, bool], list[Trajectory]] = {}
        for number in dict.fromkeys((0, incumbent)):
            restore(number)
            for temperature, restricted in ways:
                policy = self._student.with_decoding(temperature=temperature, restricted=restricted)
                way = ("restricted" if restricted else "free") + ("-greedy" if temperature == 0 else "")
                journal = self._folder.path / "test" / f"test-{number:03d}-{way}.jsonl"
                title = f"test: round {number}, {way.replace('-', ', ')} decoding"
                played[number, temperature, restricted] = self._arena.play(policy, tasks, journal, title=title)
        tests = [
            (
                settings.test_split,
                in_words(temperature, way),
                played[0, temperature, way],
                played[incumbent, temperature, way],
            )
            for temperature, way in ways
        ]
        return account_for_end(
            run=self._config.run_name,
            environment=self._config.env.name,
            policy=self._student.name,
            seed=self._config.run.seed,
            last_promoted=incumbent,
            tests=tests,
            forecast=report_forecasts(
                played[incumbent, *ways[0]],
                split=settings.test_split,
                fitted_on=self._folder.played_select(incumbent),
            ),
            tokens_trained=tokens_trained,
            elapsed_s=elapsed_s + time.perf_counter() - began,
            notes=("no expert demonstrations; the student alone, without amplification",),
        )
