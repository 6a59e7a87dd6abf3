"""What selection decided on each trajectory and why, and what each rule dropped."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sage_gym.types import Group, Trajectory

__all__ = [
    "Overlap",
    "Reason",
    "RuleRow",
    "Selected",
    "Selection",
    "SelectionRecord",
    "Specimen",
    "Verdict",
    "write_verdicts",
]


@dataclass(frozen=True, slots=True)
class Reason:
    """A rule and what it found."""

    rule: str
    detail: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision on one trajectory. `turn_weights` is 0 where a turn's action carries no loss (injected ones)."""

    trajectory_id: str
    kept: bool
    weight: float
    """0.0 where dropped. The forecast head learns from dropped trajectories too."""
    reasons: tuple[Reason, ...]
    turn_weights: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Selected:
    """A kept trajectory with its weight in the loss."""

    trajectory: Trajectory
    weight: float
    turn_weights: tuple[float, ...]


class RuleRow(BaseModel):
    """A line of the selection table: what a rule saw and dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    enabled: bool
    examined: int
    dropped: int
    note: str = ""


class Specimen(BaseModel):
    """A case of overlap: both texts, cut, and how the one repeats the other (`sage_gym.selection.likeness`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    part: str
    """Of the trajectory: instruction, decisions or observations."""
    task: str
    training: str
    held_out: str
    words: int
    """In common: in a row, or in order."""
    share: float
    """Of the held-out text's words."""


class Overlap(BaseModel):
    """How much of the training text one source of held-out text shares."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    held_out_texts: int
    training_tasks: int
    overlapping_tasks: int
    dropped: bool
    """False within the training tasks' own environment: reported, not dropped."""
    example: str = ""
    short_texts: int = 0
    """Held-out texts that are looked for as a whole instruction alone."""
    digest: str = ""
    """SHA-256 over the held-out texts."""
    same_tasks: int = 0
    """Training tasks that are tasks of the held-out split: has to be 0."""
    sharing_tasks: dict[int, int] = {}
    """Words of an n-gram -> training tasks that share one, common ones counted as well."""
    episodes: int = 0
    """Trajectories that overlap."""
    dropped_episodes: int = 0
    context_episodes: int = 0
    """Further trajectories, in which only what is read and not learnt to write repeats held-out text."""
    unread: tuple[str, ...] = ()
    """Files of a benchmark that are of no kind that is read."""
    worst: tuple[Specimen, ...] = ()

    @property
    def share(self) -> float:
        """Of training tasks that overlap."""
        return self.overlapping_tasks / self.training_tasks if self.training_tasks else 0.0


class SelectionRecord(BaseModel):
    """A round's selection in numbers, for its manifest and the report."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trajectories: int
    kept: int
    tasks: int
    tasks_kept: int
    effective: float
    """(sum w)^2 / sum w^2: how many equally weighted trajectories the kept ones are worth."""
    rows: tuple[RuleRow, ...]
    overlaps: tuple[Overlap, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """Verdicts in the groups' order, the table, and the overlap with held-out text."""

    verdicts: tuple[Verdict, ...]
    rows: tuple[RuleRow, ...]
    overlaps: tuple[Overlap, ...]
    groups: tuple[Group, ...]

    def verdict_of(self) -> Mapping[str, Verdict]:
        """Verdicts by trajectory id."""
        return {verdict.trajectory_id: verdict for verdict in self.verdicts}

    def kept(self) -> list[Selected]:
        """Return what goes on to distillation, in the groups' order."""
        trajectories = {t.id: t for group in self.groups for t in group.trajectories}
        return [Selected(trajectories[v.trajectory_id], v.weight, v.turn_weights) for v in self.verdicts if v.kept]

    def record(self) -> SelectionRecord:
        """Put the selection in numbers."""
        kept = self.kept()
        weights = [item.weight for item in kept]
        squares = sum(w * w for w in weights)
        return SelectionRecord(
            trajectories=len(self.verdicts),
            kept=len(kept),
            tasks=len(self.groups),
            tasks_kept=len({item.trajectory.task.key for item in kept}),
            effective=sum(weights) ** 2 / squares if squares else 0.0,
            rows=self.rows,
            overlaps=self.overlaps,
        )


def write_verdicts(path: Path, verdicts: Iterable[Verdict]) -> None:
    """Write one JSON line a verdict, all or nothing."""
    partial = path.with_suffix(path.suffix + ".partial")
    with partial.open("w", encoding="utf-8") as stream:
        for verdict in verdicts:
            stream.write(json.dumps(asdict(verdict), ensure_ascii=False) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
