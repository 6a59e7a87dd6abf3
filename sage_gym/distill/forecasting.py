"""The head's calibration on the select split, and what is reported of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from sage_gym.evaluation.forecasts import ForecastReport, judge_head
from sage_gym.protocols import Student
from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import Trajectory

__all__ = ["calibrate", "report_forecasts"]


def calibrate(student: Student, played: Sequence[Trajectory]) -> dict[str, float]:
    """Fit both places' temperatures on first decisions; the episodes must have been played at temperature 1.

    Returns:
        the temperatures, as metrics; empty without a head.
    """
    head: Any = student.head
    if head is None:
        return {}
    judged = [t for t in played if t.turns and not t.is_infrastructure and not t.is_intervened]
    metrics = {}
    for place in ("before", "after"):
        pairs = [(_forecast(t, place), float(not has_succeeded(t))) for t in judged]
        known = [(p, failed) for p, failed in pairs if p is not None]
        logits = torch.logit(torch.tensor([p for p, _ in known], dtype=torch.float64), eps=1e-6)
        fit = head.calibrate(place, logits, torch.tensor([failed for _, failed in known], dtype=torch.float64))
        metrics[f"forecast/temperature_{place}"] = float(fit.temperature)
    return metrics


def report_forecasts(
    played: Sequence[Trajectory], *, split: str, fitted_on: Sequence[Trajectory] = ()
) -> ForecastReport | None:
    """Judge the head on a split, beside baselines fitted on another; None where no decision has a forecast."""
    if not any(t.turns and t.turns[0].decision.p_fail is not None for t in played):
        return None
    return judge_head(played, fitted_on, split=split, fitted_on="select")


def _forecast(trajectory: Trajectory, place: str) -> float | None:
    decision = trajectory.turns[0].decision
    return decision.p_fail_before if place == "before" else decision.p_fail
