"""Promotion: the new student must not be worse than the incumbent, nor than the best so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from sage_gym.evaluation.intervals import cluster_mean
from sage_gym.evaluation.significance import PairedTest, Pairs, compare, pair, tango_lower
from sage_gym.types import Trajectory

__all__ = ["Promotion", "PromotionSettings", "Rival", "lower_bound", "promote"]


class PromotionSettings(BaseModel):
    """What counts as not worse."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin: float = Field(default=0.02, ge=0.0, le=1.0)
    """The lower bound of the difference in success must be above minus this (0.02 is two points)."""
    confidence: float = Field(default=0.9, gt=0.5, lt=1.0)
    """Of the one-sided lower bound."""


class Rival(BaseModel):
    """The comparison with one earlier student."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str
    """`incumbent` or `best`."""
    test: PairedTest
    lower: float
    """One-sided lower bound of the paired difference in success."""
    passed: bool


class Promotion(BaseModel):
    """Whether a student was promoted, with the numbers that decided."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    promoted: bool
    margin: float
    confidence: float
    rivals: tuple[Rival, ...]
    reason: str


def promote(
    candidate: tuple[str, Sequence[Trajectory]],
    rivals: Mapping[str, tuple[str, Sequence[Trajectory]]],
    settings: PromotionSettings | None = None,
    *,
    seed: int = 0,
) -> Promotion:
    """Compare a candidate's evaluation on the select split with each rival's, paired by task.

    Args:
        candidate: its name and trajectories.
        rivals: role (`incumbent`, `best`) -> name and trajectories, of the same tasks.
        settings: margin and confidence.
        seed: of the bootstrap.

    Raises:
        ValueError: no rival, or evaluations of different tasks.
    """
    settings = settings or PromotionSettings()
    if not rivals:
        raise ValueError("expected at least the incumbent to compare with, got no rival")
    name, trajectories = candidate
    compared = []
    for role, (rival, theirs) in rivals.items():
        pairs = pair(theirs, trajectories)
        lower = lower_bound(pairs, settings.confidence, seed=seed)
        test = compare(rival, name, pairs, seed=seed)
        compared.append(Rival(role=role, test=test, lower=lower, passed=lower > -settings.margin))
    promoted = all(rival.passed for rival in compared)
    return Promotion(
        promoted=promoted,
        margin=settings.margin,
        confidence=settings.confidence,
        rivals=tuple(compared),
        reason="; ".join(_explain(rival, settings) for rival in compared),
    )


def lower_bound(pairs: Pairs, confidence: float, *, seed: int = 0) -> float:
    """Return the lower of two one-sided bounds of the difference in success.

    The bootstrap by family knows that tasks of one family go together, but is blind where few pairs differ;
    Tango's score bound is the other way round.
    """
    differences = [float(b) - float(a) for a, b in zip(pairs.success_a, pairs.success_b, strict=True)]
    interval = cluster_mean(differences, pairs.families, seed=seed, level=2 * confidence - 1)
    assert interval is not None  # `pair` refuses empty lists
    return min(interval.low, tango_lower(pairs.gained, pairs.lost, len(pairs.keys), confidence))


def _explain(rival: Rival, settings: PromotionSettings) -> str:
    test = rival.test
    return (
        f"{'not worse' if rival.passed else 'perhaps worse'} than the {rival.role} ({test.a}): "
        f"{100 * test.success_difference.value:+.1f} points on {test.tasks} tasks, "
        f"lower {100 * settings.confidence:.0f} % bound {100 * rival.lower:+.1f} "
        f"{'>' if rival.passed else '<='} {-100 * settings.margin:+.1f}"
    )
