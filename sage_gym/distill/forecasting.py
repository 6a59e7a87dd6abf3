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

__all__ = ["calibrate", "cross_calibrated", "halves", "report_forecasts", "report_while_fitting"]

CROSS_FITTED = "Calibrated in two halves of the tasks, each by the scaling of the other"
NUMBERS = ("temperature", "shift", "floor", "ceiling")


def calibrate(student: Student, played: Sequence[Trajectory]) -> dict[str, float]:
    """Fit both places' scaling on first decisions; the episodes must have been played uncalibrated.

    Returns:
        temperatures, shifts, floors and ceilings, as metrics; empty without a head.
    """
    if student.head is None:
        return {}
    fits = _fit(student.head, played)
    return {f"forecast/{name}_{place}": float(getattr(fit, name)) for name in NUMBERS for place, fit in fits.items()}


def cross_calibrated(student: Student, played: Sequence[Trajectory]) -> list[Trajectory]:
    """Return the episodes with calibrated forecasts, each by the scaling of the half of the tasks it is not in.

    Halves are drawn by lot from the tasks' families, so that what is much alike lies in one half. The episodes must
    have been played uncalibrated; the head stays as it was.
    """
    head: Any = student.head
    state = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    half_of = halves(played)
    fits = [_fit(head, [t for t in played if half_of[family_of(t)] != half]) for half in (0, 1)]
    head.load_state_dict(state)
    return [_scale(t, fits[half_of[family_of(t)]]) for t in played]


def halves(played: Sequence[Trajectory]) -> dict[str, int]:
    """Draw by lot which half (0 or 1) each family of the episodes' tasks is in."""
    families = sorted({family_of(t) for t in played})
    order = np.random.default_rng(len(families)).permutation(len(families))
    return {families[int(index)]: place % 2 for place, index in enumerate(order)}


def report_while_fitting(student: Student, played: Sequence[Trajectory], *, split: str) -> ForecastReport | None:
    """Judge the head on the very split that it is calibrated on, cross-fitted; None without forecasts.

    AUROC is over both halves together, whose scalings differ a little.
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


def _fit(head: Any, played: Sequence[Trajectory]) -> dict[str, Any]:
    """Calibrate the head on first decisions, and return its scaling by place."""
    judged = [t for t in played if t.turns and not t.is_infrastructure and not t.is_intervened]
    fitted = {}
    for place in ("before", "after"):
        pairs = [(_forecast(t, place), float(not has_succeeded(t))) for t in judged]
        known = [(p, failed) for p, failed in pairs if p is not None]
        logits = torch.logit(torch.tensor([p for p, _ in known], dtype=torch.float64), eps=1e-6)
        fitted[place] = head.calibrate(
            place, logits, torch.tensor([failed for _, failed in known], dtype=torch.float64)
        )
    return fitted


def _scale(trajectory: Trajectory, scaling: Mapping[str, Any]) -> Trajectory:
    """Return the trajectory with each forecast calibrated by its place's scaling."""
    turns = []
    for turn in trajectory.turns:
        decision = turn.decision
        before, after = _scaled(decision.p_fail_before, scaling["before"]), _scaled(decision.p_fail, scaling["after"])
        turns.append(replace(turn, decision=replace(decision, p_fail_before=before, p_fail=after)))
    return replace(trajectory, turns=tuple(turns))


def _scaled(p_fail: float | None, fit: Any) -> float | None:
    if p_fail is None:
        return None
    return float(fit.scaled(torch.logit(torch.tensor(p_fail, dtype=torch.float64), eps=1e-6)))


def _has_forecasts(played: Sequence[Trajectory]) -> bool:
    return any(t.turns and t.turns[0].decision.p_fail is not None for t in played)


def _forecast(trajectory: Trajectory, place: str) -> float | None:
    decision = trajectory.turns[0].decision
    return decision.p_fail_before if place == "before" else decision.p_fail
