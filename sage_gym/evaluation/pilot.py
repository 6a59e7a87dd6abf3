"""The intervention pilot: does re-planning rescue more than it disrupts, on the same tasks?

A forecaster of AUROC 0.94 has been seen to cost an agent 26 points when allowed to intervene (arXiv 2602.03338),
so re-planning stays off until a paired pilot shows that it does not hurt.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from sage_gym.evaluation.promotion import lower_bound
from sage_gym.evaluation.significance import PairedTest, compare, pair
from sage_gym.types import Trajectory

__all__ = ["Pilot", "PilotSettings", "judge_pilot"]


class PilotSettings(BaseModel):
    """How large the pilot is, and what counts as not hurting."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: int = Field(default=50, ge=1)
    """Of the select split."""
    margin: float = Field(default=0.02, ge=0.0, le=1.0)
    confidence: float = Field(default=0.9, gt=0.5, lt=1.0)


class Pilot(BaseModel):
    """The two-by-two table of a pilot and its decision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tasks: int
    both: int
    rescued: int
    """Succeeded only with interventions."""
    disrupted: int
    """Succeeded only without."""
    neither: int
    intervened: int
    """Episodes of the intervening arm in which anything was changed."""
    lower: float
    test: PairedTest
    replanning: bool
    reason: str


def judge_pilot(
    without: Sequence[Trajectory],
    intervening: Sequence[Trajectory],
    settings: PilotSettings | None = None,
    *,
    seed: int = 0,
) -> Pilot:
    """Decide whether re-planning is switched on: the lower bound of its paired difference is above the margin.

    Args:
        without: the select tasks without interventions.
        intervening: the same tasks with.
        settings: margin and confidence.
        seed: of the bootstrap.

    Raises:
        ValueError: the arms are not of the same tasks.
    """
    settings = settings or PilotSettings()
    pairs = pair(without, intervening)
    test = compare("without", "intervening", pairs, seed=seed)
    lower = lower_bound(pairs, settings.confidence, seed=seed)
    replanning = lower > -settings.margin
    return Pilot(
        tasks=test.tasks,
        both=test.both,
        rescued=test.gained,
        disrupted=test.lost,
        neither=test.neither,
        intervened=sum(t.is_intervened for t in intervening if t.task.key in set(pairs.keys)),
        lower=lower,
        test=test,
        replanning=replanning,
        reason=(
            f"{test.gained} rescued, {test.lost} disrupted of {test.tasks}: lower "
            f"{100 * settings.confidence:.0f} % bound {100 * lower:+.1f} points is "
            f"{'above' if replanning else 'not above'} {-100 * settings.margin:+.1f}: "
            f"re-planning {'on' if replanning else 'off'}"
        ),
    )
