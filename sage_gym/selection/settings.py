"""One setting a rule; each can be switched off alone, by `selection.<rule>.enabled=false` or by None.

A field's docstring is its help text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

__all__ = [
    "BestOfGroup",
    "Decontamination",
    "NearDuplicates",
    "Outcome",
    "ScoreWeights",
    "SelectionSettings",
    "TaskWeights",
]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class _Rule(_Settings):
    enabled: bool = True
    """Whether the rule is applied; null in place of the whole rule is the same as false."""


class Outcome(_Rule):
    """Keeps successes, or trajectories with R at or above a bound."""

    r_min: float | None = Field(default=None, ge=0.0, le=1.0)
    """None keeps successes alone; a number keeps R >= r_min, whether the environment calls that success or not."""


class Decontamination(_Rule):
    """Drops training text that overlaps a benchmark or another environment's held-out text."""

    n: int = Field(default=8, ge=2)
    """Words in a shared n-gram."""
    common_share: float = Field(default=0.01, gt=0.0, le=1.0)
    """N-grams in more than this share of training tasks, and in more than four, say nothing and are ignored."""
    near_duplicate: float = Field(default=0.8, gt=0.0, le=1.0)
    """Share of a held-out text's words, in their order, from which on it counts as repeated."""
    parts: tuple[Literal["instruction", "decisions", "observations"], ...] = ("instruction", "decisions")
    """What of a trajectory decides. Observations are context without loss: their overlap is reported, unless they are
    named here."""


class NearDuplicates(_Rule):
    """Drops all but the best of trajectories that do almost the same."""

    threshold: float = Field(default=0.9, gt=0.0, le=1.0)
    """Jaccard similarity of the actions' word n-grams; between tasks, the instructions' as well."""
    n: int = Field(default=3, ge=1)
    """Words in an n-gram."""


class BestOfGroup(_Rule):
    """Keeps the best of each group, compared by the first name of `order`, ties by the next, and so on."""

    keep: int = Field(default=1, ge=1)
    """Trajectories of each task."""
    order: tuple[str, ...] = ("reward", "critic", "ics")
    """`reward` is the environment's R; the others are names of scores. An unscored one stands at its group's mean."""


class ScoreWeights(_Rule):
    """Weighs a kept trajectory by exp(s / temperature), at most `cap`; s is the named sum over standardised scores."""

    temperature: float = Field(default=1.0, gt=0.0)
    """What the sum is divided by: the higher, the more alike the weights."""
    cap: float = Field(default=4.0, gt=0.0)
    """Largest weight."""
    coefficients: dict[str, float] = Field(default_factory=lambda: {"reward": 1.0, "critic": 1.0, "ics": 0.5})
    """What each score, standardised within its group, counts in the sum."""


class TaskWeights(_Rule):
    """Weighs a task by how learnable its forecast says it is: 4 p (1 - p), never below `floor`."""

    floor: float = Field(default=0.1, gt=0.0, le=1.0)
    """Least weight, so that no task starves."""


class SelectionSettings(_Settings):
    """Every rule of selection. That infrastructure failures go and that injected actions carry no loss is no option."""

    decontamination: Decontamination | None = Decontamination()
    """What must not be trained on because something is judged by it."""
    benchmarks: Path | Literal["auto"] | None = "auto"
    """Folder of benchmarks, a folder each, whose text decontamination keeps out of training; `auto` is
    `$SAGE_GYM_DATA/data/benchmarks` where that is a folder, null compares with none."""
    outcome: Outcome | None = Outcome()
    """What ended well enough."""
    near_duplicates: NearDuplicates | None = NearDuplicates()
    """What is there already."""
    best_of_group: BestOfGroup | None = BestOfGroup()
    """The best of each task."""
    score_weights: ScoreWeights | None = ScoreWeights()
    """More weight for what scores higher."""
    task_weights: TaskWeights | None = TaskWeights()
    """More weight for tasks whose outcome is open."""
    normalise: bool = True
    """Scale the kept weights to a mean of 1, so that a rule does not also change the learning rate."""

    def score_names(self) -> tuple[str, ...]:
        """Name every score that a rule looks at, the reward apart, in the order of their first mention."""
        best, by_score = self.best_of_group, self.score_weights
        ordered = best.order if best is not None and best.enabled else ()
        weighed = by_score.coefficients if by_score is not None and by_score.enabled else {}
        named = [*ordered, *(name for name, coefficient in weighed.items() if coefficient)]
        return tuple(name for name in dict.fromkeys(named) if name != "reward")

    @field_validator("benchmarks")
    @classmethod
    def _is_there(cls, benchmarks: Path | str | None) -> Path | str | None:
        if isinstance(benchmarks, Path) and not benchmarks.is_dir():
            raise PydanticCustomError("folder", "Input should be a folder")
        return benchmarks

    @classmethod
    def yardstick(cls) -> Self:
        """Success-filtered fine-tuning: every success, weight 1; no forecast, critic, ICS or other rule."""
        return cls(
            outcome=Outcome(),
            decontamination=None,
            near_duplicates=None,
            best_of_group=None,
            score_weights=None,
            task_weights=None,
        )
