"""How the student alone is judged: on the select split after every round, on the test split once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Way:
    """A way of decoding."""

    temperature: float
    restricted: bool

    @property
    def name(self) -> str:
        """For file names."""
        return ("restricted" if self.restricted else "free") + ("-greedy" if self.temperature == 0 else "")

    @property
    def words(self) -> str:
        """For readers."""
        return in_words(self.temperature, self.restricted)


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

        The first way is the run's own; then, if `evaluate.other_decodings`, the other as to restriction, and the
        likeliest token where the run samples.
        Further splits are played in the run's own way alone.

        Args:
            incumbent: the last promoted student's round.
            restore: gives the student a round's weights.
            tokens_trained: over all rounds.
            elapsed_s: of all rounds.
        """
        began = time.perf_counter()
        settings = self._config.evaluate
        ways = [Way(settings.temperature, settings.restricted)]
        if settings.other_decodings:
            ways.append(Way(settings.temperature, not settings.restricted))
            ways += [Way(0.0, settings.restricted)] if settings.temperature > 0 else []
        asked = [(settings.test_split, way) for way in ways]
        asked += [(split, ways[0]) for split in settings.further_splits if split != settings.test_split]
        played: dict[tuple[int, str, Way], list[Trajectory]] = {}
        for number in dict.fromkeys((0, incumbent)):
            restore(number)
            for split, way in asked:
                played[number, split, way] = self._play_test(number, split, way)
        tests = [(split, way.words, played[0, split, way], played[incumbent, split, way]) for split, way in asked]
        return account_for_end(
            run=self._config.run_name,
            environment=self._config.env.name,
            policy=self._student.name,
            seed=self._config.run.seed,
            last_promoted=incumbent,
            tests=tests,
            forecast=report_forecasts(
                played[incumbent, settings.test_split, ways[0]],
                split=settings.test_split,
                fitted_on=self._folder.played_select(incumbent),
            ),
            tokens_trained=tokens_trained,
            elapsed_s=elapsed_s + time.perf_counter() - began,
            notes=("no expert demonstrations; the student alone, without amplification",),
        )

    def _play_test(self, number: int, split: str, way: Way) -> list[Trajectory]:
        settings = self._config.evaluate
        tasks = self._arena.fixed_tasks(split, settings.test_tasks, settings.draw)
        policy = self._student.with_decoding(temperature=way.temperature, restricted=way.restricted)
        name = "test" if split == settings.test_split else f"further-{split}"  # a further split may be called `test`
        journal = self._folder.path / "test" / f"{name}-{number:03d}-{way.name}.jsonl"
        title = f"{name}: round {number}, {way.name.replace('-', ', ')} decoding"
        return self._arena.play(policy, tasks, journal, title=title)
