"""One setting a rule; each can be switched off alone, by `selection.<rule>.enabled=false` or by None."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "BestOfGroup",
    "Decontamination",
    "NearDuplicates",
    "Outcome",
    "ScoreWeights",
    "SelectionSettings",
    "TaskWeights",
]


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True


class Outcome(_Rule):
    """Keeps successes, or trajectories with R at or above a bound."""

    r_min: float | None = Field(default=None, ge=0.0, le=1.0)
    """None keeps successes alone; a number keeps R >= r_min, whether the environment calls that success or not."""


class Decontamination(_Rule):
    """Drops training text that overlaps a benchmark or another environment's held-out text."""

    n: int = Field(default=8, ge=2)
    """Words in a shared n-gram."""
    common_share: float = Field(default=0.01, gt=0.0, le=1.0)
    """N-grams in more than this share of training tasks, and in more than one, say nothing and are ignored."""
    near_duplicate: float = Field(default=0.8, gt=0.0, le=1.0)
    """Jaccard similarity of an instruction's word triples to a held-out text's from which it counts as a copy."""
    parts: tuple[Literal["instruction", "decisions", "observations"], ...] = ("instruction", "decisions")
    """What of a trajectory is compared. Observations are context without loss, and are long: add them by name."""


class NearDuplicates(_Rule):
    """Drops all but the best of trajectories that do almost the same."""

    threshold: float = Field(default=0.9, gt=0.0, le=1.0)
    """Jaccard similarity of the actions' word n-grams; between tasks, the instructions' as well."""
    n: int = Field(default=3, ge=1)


class BestOfGroup(_Rule):
    """Keeps the best of each group, compared by the first name of `order`, ties by the next, and so on."""

    keep: int = Field(default=1, ge=1)
    order: tuple[str, ...] = ("reward", "critic", "ics")
    """`reward` is the environment's R; the others are names of scores. An unscored one stands at its group's mean."""


class ScoreWeights(_Rule):
    """Weighs a kept trajectory by exp(s / temperature), at most `cap`; s is the named sum over standardised scores."""

    temperature: float = Field(default=1.0, gt=0.0)
    cap: float = Field(default=4.0, gt=0.0)
    coefficients: dict[str, float] = Field(default_factory=lambda: {"reward": 1.0, "critic": 1.0, "ics": 0.5})


class TaskWeights(_Rule):
    """Weighs a task by how learnable its forecast says it is: 4 p (1 - p), never below `floor`."""

    floor: float = Field(default=0.1, gt=0.0, le=1.0)


class SelectionSettings(BaseModel):
    """Every rule of selection. That infrastructure failures go and that injected actions carry no loss is no option."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    decontamination: Decontamination | None = Decontamination()
    outcome: Outcome | None = Outcome()
    near_duplicates: NearDuplicates | None = NearDuplicates()
    best_of_group: BestOfGroup | None = BestOfGroup()
    score_weights: ScoreWeights | None = ScoreWeights()
    task_weights: TaskWeights | None = TaskWeights()
    normalise: bool = True
    """Scale the kept weights to a mean of 1, so that a rule does not also change the learning rate."""

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
