"""The head's calibration on the select split, and what is reported of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sage_gym.evaluation.forecasts import ForecastReport, judge_head
from sage_gym.evaluation.metrics import family_of
from sage_gym.protocols import Student
from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import Trajectory

__all__ = ["calibrate", "cross_calibrated", "report_forecasts", "report_while_fitting"]

CROSS_FITTED = "Calibrated by temperature in two halves of the tasks, each with the temperatures of the other"


def calibrate(student: Student, played: Sequence[Trajectory]) -> dict[str, float]:
    """Fit both places' temperatures on first decisions; the episodes must have been played at temperature 1.

    Returns:
        the temperatures, as metrics; empty without a head.
    """
    if student.head is None:
        return {}
    return {f"forecast/temperature_{place}": fitted for place, fitted in _fit(student.head, played).items()}


def cross_calibrated(student: Student, played: Sequence[Trajectory]) -> list[Trajectory]:
    """Return the episodes with calibrated forecasts, each by the temperatures of the half of the tasks it is not in.

    Halves are drawn by lot from the tasks' families, so that what is much alike lies in one half. The episodes must
    have been played at temperature 1; the head stays as it was.
    """
    head: Any = student.head
    before = head.temperatures.clone()
    families = sorted({family_of(t) for t in played})
    order = np.random.default_rng(len(families)).permutation(len(families))
    half_of = {families[int(index)]: place % 2 for place, index in enumerate(order)}
    fits = [_fit(head, [t for t in played if half_of[family_of(t)] != half]) for half in (0, 1)]
    with torch.no_grad():
        head.temperatures.copy_(before)
    return [_cool(t, fits[half_of[family_of(t)]]) for t in played]


def report_while_fitting(student: Student, played: Sequence[Trajectory], *, split: str) -> ForecastReport | None:
    """Judge the head on the very split that its temperatures are fitted on, cross-fitted; None without forecasts.

    AUROC is over both halves together, whose temperatures differ a little.
    """
    if student.head is None or not _has_forecasts(played):
        return None
    report = judge_head(cross_calibrated(student, played), (), split=split, fitted_on=f"{split}, its other half")
    return report.model_copy(update={"notes": (CROSS_FITTED, *report.notes)})


def report_forecasts(
    played: Sequence[Trajectory], *, split: str, fitted_on: Sequence[Trajectory] = ()
) -> ForecastReport | None:
    """Judge the head on a split, beside baselines fitted on another; None where no decision has a forecast."""
    if not _has_forecasts(played):
        return None
    return judge_head(played, fitted_on, split=split, fitted_on="select")


def _fit(head: Any, played: Sequence[Trajectory]) -> dict[str, float]:
    """Fit the head's temperatures on first decisions, and return them by place."""
    judged = [t for t in played if t.turns and not t.is_infrastructure and not t.is_intervened]
    fitted = {}
    for place in ("before", "after"):
        pairs = [(_forecast(t, place), float(not has_succeeded(t))) for t in judged]
        known = [(p, failed) for p, failed in pairs if p is not None]
        logits = torch.logit(torch.tensor([p for p, _ in known], dtype=torch.float64), eps=1e-6)
        fit = head.calibrate(place, logits, torch.tensor([failed for _, failed in known], dtype=torch.float64))
        fitted[place] = float(fit.temperature)
    return fitted


def _cool(trajectory: Trajectory, temperatures: Mapping[str, float]) -> Trajectory:
    """Return the trajectory with each forecast's logit divided by its place's temperature."""
    turns = []
    for turn in trajectory.turns:
        decision = turn.decision
        before = _divided(decision.p_fail_before, temperatures["before"])
        turns.append(
            replace(
                turn,
                decision=replace(
                    decision, p_fail_before=before, p_fail=_divided(decision.p_fail, temperatures["after"])
                ),
            )
        )
    return replace(trajectory, turns=tuple(turns))


def _divided(p_fail: float | None, temperature: float) -> float | None:
    if p_fail is None:
        return None
    logit = torch.logit(torch.tensor(p_fail, dtype=torch.float64), eps=1e-6)
    return float(torch.sigmoid(logit / temperature))


def _has_forecasts(played: Sequence[Trajectory]) -> bool:
    return any(t.turns and t.turns[0].decision.p_fail is not None for t in played)


def _forecast(trajectory: Trajectory, place: str) -> float | None:
    decision = trajectory.turns[0].decision
    return decision.p_fail_before if place == "before" else decision.p_fail
