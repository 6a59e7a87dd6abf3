"""What a run writes about each round and about its end: all that the report is made of.

Layout under a run folder: `rounds/<round:03d>/manifest.json` and `final.json`. Each is written all or nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from sage_gym.evaluation.forecasts import ForecastReport
from sage_gym.evaluation.gaps import Gap
from sage_gym.evaluation.metrics import Metrics
from sage_gym.evaluation.pilot import Pilot
from sage_gym.evaluation.promotion import Promotion
from sage_gym.evaluation.samples import TrajectorySample
from sage_gym.evaluation.significance import PairedTest, Pairs
from sage_gym.evaluation.sources import Composition
from sage_gym.selection.verdicts import SelectionRecord
from sage_gym.types import Task

__all__ = [
    "FinalManifest",
    "RoundManifest",
    "TaskList",
    "TaskOutcome",
    "TestResult",
    "final_path",
    "hash_file",
    "list_tasks",
    "pairs_between",
    "read_final",
    "read_manifest",
    "read_rounds",
    "round_path",
    "write_manifest",
]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskList(_Record):
    """Which tasks were used: how many, and a hash over their keys and contents in order."""

    count: int
    sha256: str


class RoundManifest(_Record):
    """One round. Round 0 is the untrained student: it has an evaluation and nothing else."""

    run: str
    round: int
    stage: str
    """`start` for round 0, then `distil` or `reinforce`."""
    policy: str
    decoding: str = ""
    """In words: whether restricted to admissible actions, and the temperature."""
    seeds: dict[str, int] = {}
    tasks: dict[str, TaskList] = {}
    """By what they were used for (`collect`, `select`, `pilot`)."""
    files: dict[str, str] = {}
    """Path under the run folder -> sha256."""
    metrics: dict[str, float] = {}
    """Of training, `group/name`; those that end in `loss` are drawn as curves."""
    collected: Metrics | None = None
    """Of the episodes that were collected for training."""
    select: Metrics | None = None
    """Of the student alone on the select split, after the round's training."""
    selection: SelectionRecord | None = None
    composition: Composition | None = None
    """Of the training text: sources, and overlap with held-out text."""
    promotion: Promotion | None = None
    pilot: Pilot | None = None
    forecast: ForecastReport | None = None
    """On the select split."""
    checkpoint: str | None = None
    tokens_trained: int = 0
    """With a loss weight above 0, in this round alone."""
    elapsed_s: float = 0.0

    @property
    def promoted(self) -> bool:
        """Whether this round's student became the incumbent; round 0 is it from the start."""
        return self.promotion.promoted if self.promotion is not None else self.round == 0

    def numbers(self) -> dict[str, float]:
        """Flatten for a tracker: `select/success`, `selection/kept`, `forecast/auroc`, `round/promoted` and so on."""
        flat = dict(self.metrics)
        for name, measured in (("collect", self.collected), ("select", self.select)):
            flat |= measured.numbers(name) if measured is not None else {}
        if self.selection is not None:
            flat |= {"selection/kept": self.selection.kept, "selection/effective": self.selection.effective}
        if self.forecast is not None and (quality := self.forecast.decision) is not None:
            flat |= {"forecast/brier": quality.brier.value, "forecast/ece": quality.ece_width.value}
            flat |= {"forecast/auroc": quality.auroc.value} if quality.auroc is not None else {}
        return flat | {
            "round/promoted": float(self.promoted),
            "round/tokens_trained": self.tokens_trained,
            "round/elapsed_s": self.elapsed_s,
        }

    def comparable(self) -> RoundManifest:
        """Return it without the clock: equal between an interrupted run and an uninterrupted one."""
        metrics = {name: value for name, value in self.metrics.items() if not name.endswith(("_s", "_ms"))}
        return self.model_copy(update={"elapsed_s": 0.0, "metrics": metrics})


class TaskOutcome(_Record):
    """One test task under both students; kept so that runs can be compared task by task."""

    key: str
    family: str
    hash: str
    before: bool
    after: bool
    before_reward: float
    after_reward: float


class TestResult(_Record):
    """Round 0 against the last promoted student on one list of held-out tasks, under one way of decoding."""

    __test__ = False  # no test class, whatever pytest reads into the name

    split: str
    decoding: str
    before: Metrics
    after: Metrics
    paired: PairedTest
    mcnemar_p_holm: float
    """Adjusted over all results of the final manifest."""
    outcomes: tuple[TaskOutcome, ...]


class FinalManifest(_Record):
    """The end of a run: the test split, run once for round 0 and the last promoted student."""

    run: str
    environment: str
    policy: str
    seed: int
    last_promoted: int
    """Its round; 0 where no round was promoted."""
    tests: tuple[TestResult, ...]
    """The primary one first."""
    gaps: tuple[Gap, ...] = ()
    """Between the primary one's split and the others."""
    forecast: ForecastReport | None = None
    samples: tuple[TrajectorySample, ...] = ()
    tokens_trained: int = 0
    elapsed_s: float = 0.0
    notes: tuple[str, ...] = ()
    """What the reader must know: demonstrations used, amplification in the evaluation, and the like."""

    def comparable(self) -> FinalManifest:
        """Return it without the clock."""
        return self.model_copy(update={"elapsed_s": 0.0})


def round_path(run_folder: Path, number: int) -> Path:
    """Where a round's manifest lies."""
    return run_folder / "rounds" / f"{number:03d}" / "manifest.json"


def final_path(run_folder: Path) -> Path:
    """Where the final manifest lies."""
    return run_folder / "final.json"


def write_manifest(path: Path, manifest: BaseModel) -> None:
    """Write a manifest, all or nothing: a killed process leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(manifest.model_dump_json(indent=1) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def read_rounds(run_folder: Path) -> list[RoundManifest]:
    """Read the manifests of all finished rounds, in order.

    Raises:
        ValueError: a manifest is damaged or of another version; says which and where.
    """
    return [read_manifest(path, RoundManifest) for path in sorted(run_folder.glob("rounds/*/manifest.json"))]


def read_final(run_folder: Path) -> FinalManifest | None:
    """Read the final manifest, None where the run has not come that far.

    Raises:
        ValueError: it is damaged or of another version.
    """
    path = final_path(run_folder)
    return read_manifest(path, FinalManifest) if path.exists() else None


M = TypeVar("M", bound=BaseModel)


def read_manifest(path: Path, model: type[M]) -> M:
    """Read what `write_manifest` wrote.

    Raises:
        ValueError: it is damaged or of another version; says which and where.
    """
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ValueError(
            f"{path}: expected a {model.__name__}, got a problem at {where}: {first['msg']}; "
            f"delete the file and run the same command again to have it rewritten"
        ) from error


def list_tasks(tasks: Sequence[Task]) -> TaskList:
    """Count and hash tasks, in order."""
    digest = hashlib.sha256()
    for task in tasks:
        digest.update(f"{task.key}\0{task.hash}\n".encode())
    return TaskList(count=len(tasks), sha256=digest.hexdigest())


def hash_file(path: Path) -> str:
    """Return a file's sha256."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def pairs_between(a: TestResult, b: TestResult) -> Pairs:
    """Put the last students of two runs side by side on the test tasks that both were scored on.

    Raises:
        ValueError: no common task, or one whose content differs.
    """
    of_a, of_b = ({outcome.key: outcome for outcome in result.outcomes} for result in (a, b))
    keys = sorted(of_a.keys() & of_b.keys())
    if not keys:
        raise ValueError("expected two runs tested on common tasks, got none in common; test both on one split")
    changed = [key for key in keys if of_a[key].hash != of_b[key].hash]
    if changed:
        raise ValueError(f"task {changed[0]!r} has another content in each run; run both on the same data")
    return Pairs(
        keys=tuple(keys),
        families=tuple(of_a[key].family for key in keys),
        success_a=tuple(of_a[key].after for key in keys),
        success_b=tuple(of_b[key].after for key in keys),
        score_a=tuple(of_a[key].after_reward for key in keys),
        score_b=tuple(of_b[key].after_reward for key in keys),
        left_out=len(of_a.keys() | of_b.keys()) - len(keys),
    )
