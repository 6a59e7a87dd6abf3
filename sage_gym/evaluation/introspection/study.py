"""A run looked into: one task's episodes in words, or many episodes with the test of faithfulness, all on record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sage_gym.errors import ConfigError, RecordError, UnknownNameError
from sage_gym.evaluation.introspection.attention import attention_obstacle
from sage_gym.evaluation.introspection.faithfulness import judge_faithfulness
from sage_gym.evaluation.introspection.naming import Signal
from sage_gym.evaluation.introspection.points import introspect
from sage_gym.evaluation.introspection.reading import Measured, Watch, measure_all
from sage_gym.evaluation.introspection.records import (
    Faithfulness,
    Introspection,
    faithfulness_path,
    introspection_path,
)
from sage_gym.evaluation.introspection.sources import Played, Source
from sage_gym.evaluation.introspection.traces import obstacle, trace_of
from sage_gym.evaluation.manifest import write_manifest
from sage_gym.protocols import Student

__all__ = ["Study"]

FROM_ATTENTION: tuple[Signal, ...] = ("attention", "flow", "unusual", "positive", "rollout")
EXAMPLES = 2
"""Of those that succeeded, and as many of those that did not."""
MOST_OTHERS = 100
"""Episodes that are read for what is usual at each place, beside a task's own."""
LEAST_AGREEMENT = 0.9
"""Rank correlation of the forecasts on record with those read again; calibration does not change ranks."""
NOTHING = 1e-6
"""Nats: what the arithmetic's rounding is below."""


@dataclass(frozen=True, slots=True)
class Study:
    """What is looked into, and how.

    Args:
        source: the run.
        student: with the weights of the source's round.
        signal: what names decision points.
        longest: tokens of a trajectory, at most.
        step_tokens: of one forward pass.
        seed: of draws and bootstraps.
    """

    source: Source
    student: Student
    signal: Signal
    longest: int = 16_384
    step_tokens: int = 8192
    seed: int = 0

    def check(self) -> None:
        """Find out whether the student can be looked into as asked.

        Raises:
            ConfigError: it forecasts nothing, or its attention weights are not to be had.
        """
        if self.student.head is None:
            raise ConfigError([f"run: expected a student with a meta-cognition head, got {self.student.name} without"])
        reason = attention_obstacle(self.student.model)
        if reason is not None and self.signal in FROM_ATTENTION:
            raise ConfigError(
                [f"signal={self.signal}: its attention weights are not to be had: {reason}; give signal=leave_one_out"]
            )

    def explain(self, task: str, watch: Watch) -> tuple[list[Introspection], list[str]]:
        """Return every episode of a task that can be looked into, explained; and of the others why not.

        Raises:
            ConfigError: the files hold no episode of that task (the nearest key is given), or of no other.
        """
        played = list(self.source.trajectories())
        chosen = [one for one in played if one.trajectory.task.key == task]
        if not chosen:
            raise ConfigError([f"task: {self._unknown(task, played)}"])
        reasons = [(one, obstacle(one.trajectory, self.longest)) for one in chosen]
        able = [one for one, reason in reasons if reason is None]
        left_out = [f"{one.trajectory.id} in {one.file}: {reason}" for one, reason in reasons if reason is not None]
        others = [one for one in played if one.trajectory.task.key != task] if self.signal == "unusual" else []
        others = [one for one in self._draw(others, len(others)) if obstacle(one.trajectory, self.longest) is None]
        if self.signal == "unusual" and not others:
            raise ConfigError(
                [f"signal=unusual: {self._names()} hold no other task's episodes to compare with; give signal=flow"]
            )
        measured = self._measure(able, others[:MOST_OTHERS], watch, is_whole_test=False)
        return [self._record(one, m) for one, m in zip(able, measured, strict=True)], left_out

    def test(self, count: int, watch: Watch) -> tuple[list[Introspection], Faithfulness]:
        """Return so many episodes, drawn by lot, explained; and whether what names their decision points is faithful.

        Raises:
            RecordError: no episode can be looked into, another student played them, or the forecaster looks at none.
        """
        played = list(self.source.trajectories())
        reasons = [obstacle(one.trajectory, self.longest) for one in played]
        able = [one for one, reason in zip(played, reasons, strict=True) if reason is None]
        left_out = {reason: reasons.count(reason) for reason in sorted({r for r in reasons if r is not None})}
        if not able:
            why = "; ".join(f"{reason}: {n}" for reason, n in left_out.items()) or "no trajectories"
            raise RecordError(f"{self._names()}: expected trajectories that can be looked into, got none ({why})")
        drawn = self._draw(able, count)
        measured = self._measure(drawn, [], watch, is_whole_test=True)
        if all(np.abs(one.effects_N).max() < NOTHING for one in measured):
            raise RecordError(
                f"{self._names()}: expected forecasts that depend on what was played, got a head in round "
                f"{self.source.round} that says the same whatever is taken away: is it trained? give round=…"
            )
        found = judge_faithfulness(
            measured,
            signal=self.signal,
            run=self.source.folder.name,
            round=self.source.round,
            files=[self.source.name_of(file) for file in self.source.files],
            left_out=left_out,
            notes=self._notes(len(drawn), len(able)),
            seed=self.seed,
        )
        if found.recorded is not None and found.recorded < LEAST_AGREEMENT:
            raise RecordError(
                f"{self._names()}: expected trajectories that the student of round {self.source.round} played, got "
                f"forecasts on record whose rank correlation with its own is {found.recorded:.2f}; give round=…"
            )
        records = [self._record(one, m) for one, m in zip(drawn, measured, strict=True)]
        return records, found.model_copy(update={"examples": _examples(records)})

    def write(self, records: Sequence[Introspection], found: Faithfulness | None = None) -> None:
        """Write decision points, and the test where there is one, into the run's folder."""
        for record in records:
            write_manifest(introspection_path(self.source.folder, record.trajectory, record.file), record)
        if found is not None:
            write_manifest(faithfulness_path(self.source.folder), found)

    def _draw(self, played: Sequence[Played], count: int) -> list[Played]:
        """Draw so many by lot."""
        lot = np.random.default_rng([self.seed, 23]).permutation(len(played))[:count]
        return [played[index] for index in lot.tolist()]

    def _measure(
        self, played: Sequence[Played], others: Sequence[Played], watch: Watch, *, is_whole_test: bool
    ) -> list[Measured]:
        return measure_all(
            self.student,
            [trace_of(one.trajectory) for one in played],
            [trace_of(one.trajectory) for one in others],
            seed=self.seed,
            is_whole_test=is_whole_test,
            step_tokens=self.step_tokens,
            watch=watch,
        )

    def _record(self, played: Played, measured: Measured) -> Introspection:
        return introspect(measured, signal=self.signal, file=played.file, round=self.source.round)

    def _notes(self, drawn: int, able: int) -> list[str]:
        reason = attention_obstacle(self.student.model)
        notes = [] if reason is None else [f"attention weights are not to be had: {reason}"]
        return [*notes, f"{drawn} of {able} trajectories drawn by lot"] if drawn < able else notes

    def _names(self) -> str:
        return ", ".join(self.source.name_of(file) for file in self.source.files)

    def _unknown(self, task: str, played: Sequence[Played]) -> str:
        keys = sorted({one.trajectory.task.key for one in played})
        error = str(UnknownNameError(f"task in {self._names()}", task, keys))
        head, _, listed = error.partition("; known: ")
        return f"{head}; {len(keys)} tasks were played, such as {', '.join(listed.split(', ')[:3])}"


def _examples(records: Sequence[Introspection]) -> tuple[Introspection, ...]:
    """Take the first that did not succeed and the first that did: they were drawn by lot."""
    by_outcome = [[record for record in records if record.success is outcome] for outcome in (False, True)]
    return tuple(record for records in by_outcome for record in records[:EXAMPLES])
