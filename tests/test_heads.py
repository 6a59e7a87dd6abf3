"""The forecast head fitted alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from sage_gym.distill.heads import fit_forecasts
from sage_gym.types import Trajectory
from tests.nano_toys import play, tiny_student


def labelled(found: list[Trajectory]) -> list[Trajectory]:
    """Tasks of an odd number fail: to be told from the words of the opening."""
    return [replace(t, reward=float(i % 2 == 0), success=i % 2 == 0) for i, t in enumerate(found)]


def test_the_fit_tells_apart_what_its_penalty_lets_it_and_says_how_well() -> None:
    torch.set_num_threads(1)
    student = tiny_student(scale=1.0)
    head: Any = student.head
    found = labelled(play(student, episodes=6))
    fitted = fit_forecasts(student, found, penalty=1e-4)
    again = labelled(play(student, episodes=6))
    for name in ("p_fail_before", "p_fail"):
        failed, succeeded = (
            [getattr(t.turns[0].decision, name) for t in again if t.success is wanted] for wanted in (False, True)
        )
        assert min(failed) > 0.6 > 0.4 > max(succeeded)
    assert 0.0 < fitted["forecast/nll_before"] < 0.3
    assert 0.0 < fitted["forecast/nll_after"] < 0.3
    with torch.no_grad():
        head.openings["before"].weight.zero_()
    blind = [t.turns[0].decision.p_fail_before for t in play(student, episodes=6)]
    assert blind != [t.turns[0].decision.p_fail_before for t in again]


def test_a_stronger_penalty_forecasts_closer_to_the_base_rate() -> None:
    student = tiny_student(scale=1.0)
    found = labelled(play(student, episodes=5))
    weak, strong = (fit_forecasts(student, found, penalty=penalty)["forecast/nll_before"] for penalty in (1e-4, 1e3))
    assert weak < 0.3
    assert strong == pytest.approx(-(0.6 * math.log(0.6) + 0.4 * math.log(0.4)), abs=0.02)


def test_episodes_that_all_failed_leave_a_finite_forecast() -> None:
    student = tiny_student(scale=1.0)
    found = [replace(t, reward=0.0, success=False) for t in play(student, episodes=5)]
    fit_forecasts(student, found)
    for t in play(student, episodes=5):
        assert t.turns[0].decision.p_fail_before == pytest.approx(6 / 7, abs=0.01)


def test_a_student_without_a_head_is_refused() -> None:
    student = tiny_student()
    found = play(student)
    student.head = None
    with pytest.raises(ValueError, match="expected a student with a meta-cognition head"):
        fit_forecasts(student, found)


def test_what_is_not_read_whole_and_what_is_earlier_counts_by_its_first_decision() -> None:
    def fit(*, cut: bool = False, share: float = 1.0, earlier: bool = False) -> dict[str, float]:
        student = tiny_student(scale=1.0)
        found = labelled(play(student, episodes=6))
        given = [replace(t, turns=t.turns[:1]) for t in found] if cut else found
        return fit_forecasts(student, [] if earlier else given, earlier=[given] if earlier else (), share=share)

    assert fit(cut=True) == fit(share=0.0)
    assert fit(cut=True, earlier=True) == fit(earlier=True)
    assert fit() != fit(cut=True)


def test_an_earlier_rounds_base_rate_is_not_that_of_this_one() -> None:
    student = tiny_student(scale=1.0)
    found = labelled(play(student, episodes=6))
    lost = [replace(t, reward=0.0, success=False) for t in found]
    fit_forecasts(student, found, earlier=[lost, lost], penalty=1e3)
    for t in play(student, episodes=6):
        assert t.turns[0].decision.p_fail_before == pytest.approx(0.5, abs=0.1)


def test_of_two_rounds_that_contradict_each_other_the_later_one_is_believed() -> None:
    student = tiny_student(scale=1.0)
    found = labelled(play(student, episodes=6))
    turned = [replace(t, reward=1 - t.reward, success=not t.success) for t in found]
    fit_forecasts(student, found, earlier=[turned], share=0.0)
    for t, now in zip(found, play(student, episodes=6), strict=True):
        assert (now.turns[0].decision.p_fail_before > 0.5) is not t.success


def test_nothing_to_fit_on_is_refused() -> None:
    with pytest.raises(ValueError, match="expected at least one finished episode"):
        fit_forecasts(tiny_student(), [])
