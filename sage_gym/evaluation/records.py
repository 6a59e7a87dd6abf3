"""What an evaluation writes: `evaluation.json`, all that its table and its page are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sage_gym.errors import RecordError
from sage_gym.evaluation.comparison import SplitComparison
from sage_gym.evaluation.critiques import CriticSummary
from sage_gym.evaluation.forecasts import ForecastReport
from sage_gym.evaluation.intervals import Interval
from sage_gym.evaluation.manifest import TaskList, read_manifest, write_manifest
from sage_gym.evaluation.metrics import Metrics
from sage_gym.evaluation.outcomes import TaskOutcomes
from sage_gym.evaluation.passes import PassRate
from sage_gym.evaluation.pilot import Pilot
from sage_gym.evaluation.recovery import RecoveryReport
from sage_gym.evaluation.stored import FileDamage

__all__ = ["EVALUATION_FILE", "Evaluation", "PilotCheck", "SplitResult", "read_evaluation", "write_evaluation"]

EVALUATION_FILE = "evaluation.json"


class SplitResult(BaseModel):
    """One policy on one split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str
    policy: str
    """Its name in this evaluation."""
    decoding: str
    """In words."""
    tasks: TaskList
    attempts: int
    """Episodes a task."""
    metrics: Metrics
    passes: tuple[PassRate, ...] = ()
    recovery: RecoveryReport | None = None
    forecast: ForecastReport | None = None
    critic: CriticSummary | None = None
    outcomes: tuple[TaskOutcomes, ...] = ()

    @property
    def success(self) -> Interval | None:
        """Wilson's where each task was tried once; else by family, since attempts at one task are not independent."""
        return self.metrics.success if self.attempts == 1 else self.metrics.success_clustered


class PilotCheck(BaseModel):
    """The intervention pilot, and what all the tasks of a split then said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pilot: Pilot
    """On the first tasks of the split that forecasts are fitted on."""
    full: dict[str, Pilot]
    """The same table and decision on each split."""

    @property
    def agreed(self) -> dict[str, bool]:
        """Whether each split's decision is the pilot's."""
        return {split: found.replanning == self.pilot.replanning for split, found in self.full.items()}


class Evaluation(BaseModel):
    """Everything that was measured, split by split and policy by policy."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    name: str
    environment: str
    policies: tuple[str, ...]
    """The first is what is evaluated; a second is what it is held against."""
    results: tuple[SplitResult, ...]
    comparisons: tuple[SplitComparison, ...] = ()
    """The first policy against the second."""
    recovery_comparisons: tuple[SplitComparison, ...] = ()
    """The same after forced mistakes."""
    pilot: PilotCheck | None = None
    settings: dict[str, str] = {}
    weights: dict[str, str] = {}
    """Policy -> a hash over its weights, where it has any."""
    damage: tuple[FileDamage, ...] = ()
    notes: tuple[str, ...] = ()
    elapsed_s: float = 0.0

    def of(self, policy: str) -> dict[str, SplitResult]:
        """Return a policy's results by split."""
        return {result.split: result for result in self.results if result.policy == policy}

    def outcomes_of(self, policy: str) -> Mapping[str, Sequence[TaskOutcomes]]:
        """Return what became of each task under a policy, by split."""
        return {split: result.outcomes for split, result in self.of(policy).items()}

    def comparable(self) -> Evaluation:
        """Return it without the clock: equal between an interrupted evaluation and an uninterrupted one."""
        return self.model_copy(update={"elapsed_s": 0.0})


def write_evaluation(folder: Path, evaluation: Evaluation) -> Path:
    """Write `evaluation.json` into a folder, all or nothing, and return its path."""
    path = folder / EVALUATION_FILE
    write_manifest(path, evaluation)
    return path


def read_evaluation(place: Path) -> Evaluation:
    """Read an evaluation from its folder, or from the file itself.

    Raises:
        RecordError: there is none, or it is damaged or of another version; says where.
    """
    path = place / EVALUATION_FILE if place.is_dir() else place
    if not path.is_file():
        raise RecordError(f"expected a finished evaluation's folder, got {place}, which has no {EVALUATION_FILE}")
    try:
        return read_manifest(path, Evaluation)
    except ValueError as error:
        raise RecordError(str(error)) from error
