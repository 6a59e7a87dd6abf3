"""Forecasts on the split that the head is calibrated on: each half of the tasks by the other half's fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from policies.metacognition import MetacognitionHead, fit_scaling
from sage_gym.distill.forecasting import CROSS_FITTED, calibrate, cross_calibrated, halves, report_while_fitting
from sage_gym.evaluation.forecasts import judge_head
from sage_gym.evaluation.manifest import read_rounds
from sage_gym.types import Trajectory
from tests.scripted_student import SIZES, scripted_loop
from tests.trajectories import make_task, make_trajectory, make_turn

EXCESS = 3.0
"""How many times too large the head's logits are."""


def a_student() -> Any:
    return SimpleNamespace(head=MetacognitionHead(4))


def logit(p: float) -> float:
    return float(torch.logit(torch.tensor(p, dtype=torch.float64), eps=1e-6))


def overconfident(count: int = 300, families: int = 150) -> list[Trajectory]:
    """Episodes whose forecasts say what will happen, too loudly; the places differ in how loudly."""
    generator = np.random.default_rng(0)
    made = []
    for i in range(count):
        z = float(generator.normal())
        p, q = (float(torch.sigmoid(torch.tensor(scale * z))) for scale in (EXCESS, 2 * EXCESS))
        turn = make_turn(p_fail_before=p, p_fail=q)
        failed = bool(generator.random() < 1 / (1 + np.exp(-z)))
        task = make_task(f"shop/{i:03d}", family=f"product {i % families}")
        made.append(make_trajectory(task, success=not failed, turns=(turn, turn)))
    return made


def test_forecasts_that_are_too_sure_are_reported_as_calibrated() -> None:
    played = overconfident()
    report = report_while_fitting(a_student(), played, split="select")
    assert report is not None
    assert report.decision is not None
    assert report.state is not None
    raw = judge_head(played, ()).decision
    assert raw is not None
    assert not raw.ece_width.is_within_band
    assert report.decision.ece_width.is_within_band
    assert report.state.ece_width.is_within_band
    assert report.decision.brier.value < raw.brier.value
    assert (report.split, report.notes, report.baselines) == ("select", (CROSS_FITTED,), ())


@pytest.mark.parametrize("name", ["p_fail_before", "p_fail"])
def test_each_half_is_scaled_as_is_best_for_the_other(name: str) -> None:
    played = overconfident()
    half_of = halves(played)
    scaled = dict(zip([t.id for t in played], cross_calibrated(a_student(), played), strict=True))
    for half in (0, 1):
        own = [t for t in played if half_of[t.task.family] == half]
        others = [t for t in played if half_of[t.task.family] != half]
        assert 0.4 < len(own) / len(played) < 0.6
        logits = torch.tensor([logit(getattr(t.turns[0].decision, name)) for t in others])
        fit = fit_scaling(logits, torch.tensor([float(not t.success) for t in others]))
        for trajectory in own:
            raw, found = (getattr(t.turns[0].decision, name) for t in (trajectory, scaled[trajectory.id]))
            assert found == pytest.approx(float(fit.scaled(torch.tensor(logit(raw)))), rel=1e-3, abs=1e-4)


def test_a_family_lies_in_one_half_and_every_decision_is_scaled() -> None:
    played = overconfident(families=20)
    assert sorted(halves(played).values()) == [0] * 10 + [1] * 10
    assert all(t.turns[0].decision == t.turns[1].decision for t in cross_calibrated(a_student(), played))


def test_the_head_stays_as_it_was_and_is_fitted_on_everything_afterwards() -> None:
    student, played = a_student(), overconfident()
    student.head.temperatures.fill_(1.5)
    student.head.shifts.fill_(-0.5)
    student.head.floors.fill_(0.25)
    before = {name: tensor.clone() for name, tensor in student.head.state_dict().items()}
    cross_calibrated(student, played)
    assert all(torch.equal(tensor, before[name]) for name, tensor in student.head.state_dict().items())
    fits = calibrate(student, played)
    assert [round(t, 4) for t in student.head.temperatures.tolist()] == [
        round(fits["forecast/temperature_before"], 4),
        round(fits["forecast/temperature_after"], 4),
    ]
    for name in ("shift", "floor", "ceiling"):
        kept = getattr(student.head, f"{name}s").tolist()
        assert kept == pytest.approx([fits[f"forecast/{name}_before"], fits[f"forecast/{name}_after"]])


def test_without_a_head_or_forecasts_there_is_no_report() -> None:
    assert report_while_fitting(a_student(), [make_trajectory()], split="select") is None
    assert report_while_fitting(SimpleNamespace(head=None), overconfident(), split="select") is None  # type: ignore[arg-type]
    silent = [replace(t, turns=()) for t in overconfident(4)]
    assert cross_calibrated(a_student(), silent) == silent


def test_a_rounds_report_is_of_calibrated_forecasts(tmp_path: Path) -> None:
    """The forecasts know nothing and are sure of it: calibrated, they are near the base rate."""
    forecasts = {f"select/{i}": 0.001 if i % 2 else 0.999 for i in range(SIZES["select"])}
    loop = scripted_loop(tmp_path, {0: 0.5, 1: 0.5}, has_head=True, forecasts=forecasts)
    loop.run()
    for manifest in read_rounds(loop.folder):
        assert manifest.forecast is not None
        assert manifest.forecast.decision is not None
        assert manifest.forecast.decision.brier.value < 0.35
        assert CROSS_FITTED in manifest.forecast.notes
