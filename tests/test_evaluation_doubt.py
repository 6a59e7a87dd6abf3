"""Intervals of calibration, risk over coverage, temperature, and forecasts turn by turn."""

from __future__ import annotations

import math
from dataclasses import astuple, replace
from itertools import permutations

import numpy as np
import pytest

from sage_gym.evaluation.bins import Parts, bin_error, brier_bins, brier_parts, cut, membership
from sage_gym.evaluation.calibration import calibration_error, decompose_brier, judge_forecasts
from sage_gym.evaluation.doubt import doubt
from sage_gym.evaluation.forecasts import judge_head, scale
from sage_gym.evaluation.risk import COVERAGES, area, best_area, risks
from sage_gym.evaluation.temperature import at_temperature, fit_temperature
from sage_gym.evaluation.turnwise import judge_turns
from sage_gym.types import Trajectory, Turn
from tests.trajectories import make_task, make_trajectory, make_turn


def sample(n: int, seed: int, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes, and forecasts whose logits are `sharpness` times the true ones."""
    generator = np.random.default_rng(seed)
    truth = generator.beta(1.5, 1.5, size=n)
    odds = (truth / (1 - truth)) ** sharpness
    return (generator.random(n) < truth).astype(float), odds / (1 + odds)


def test_risks_by_hand() -> None:
    y, p = np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.1, 0.2, 0.3, 0.9])
    assert risks(y, p, np.ones(4), np.array([0.25, 0.5, 0.75, 1.0])) == pytest.approx([0, 1 / 2, 1 / 3, 1 / 2])
    assert area(y, p, np.ones(4)) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert best_area(2, 4) == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert best_area(2, 4) == pytest.approx(area(np.array([0.0, 0, 1, 1]), p, np.ones(4)))


def test_equal_forecasts_count_as_the_mean_over_every_order() -> None:
    y, p = np.array([0.0, 1.0, 1.0, 0.0, 1.0]), np.array([0.2, 0.5, 0.5, 0.5, 0.7])
    orders = [(0, *middle, 4) for middle in permutations((1, 2, 3))]
    areas = [np.mean(np.cumsum(y[list(order)]) / np.arange(1, 6)) for order in orders]
    assert area(y, p, np.ones(5)) == pytest.approx(np.mean(areas))
    halves = [np.cumsum(y[list(order)])[2] / 3 for order in orders]
    assert risks(y, p, np.ones(5), np.array([0.6]))[0] == pytest.approx(np.mean(halves))


def test_a_weight_is_a_row_that_many_times() -> None:
    y, p = sample(40, 0)
    weights = np.random.default_rng(1).integers(0, 4, size=40)
    y_rows, p_rows, ones = np.repeat(y, weights), np.repeat(p, weights), np.ones(weights.sum())
    assert area(y, p, weights.astype(float)) == pytest.approx(area(y_rows, p_rows, ones))
    assert risks(y, p, weights.astype(float)) == pytest.approx(risks(y_rows, p_rows, ones))
    codes = cut(p, "equal width", 10)
    assert bin_error(y, p, membership(codes), weights.astype(float)) == pytest.approx(
        float(bin_error(y_rows, p_rows, membership(np.repeat(codes, weights)), ones))
    )
    ours = brier_parts(y, p, membership(brier_bins(p, 10)), weights.astype(float))
    rows = brier_parts(y_rows, p_rows, membership(np.repeat(brier_bins(p, 10), weights)), ones)
    assert numbers(ours) == pytest.approx(numbers(rows))


def numbers(parts: Parts) -> list[float]:
    return [float(part) for part in astuple(parts)]


def test_a_bin_of_one_row_counts_as_one_row() -> None:
    parts = brier_parts(np.array([1.0, 0, 1]), np.array([0.2, 0.2, 0.9]), membership(np.array([0, 0, 1])), np.ones(3))
    assert parts.reliability == pytest.approx((2 * (0.2 - 0.5) ** 2 + (0.9 - 1) ** 2) / 3)
    assert parts.resolution == pytest.approx((2 * (1 / 2 - 2 / 3) ** 2 + (1 - 2 / 3) ** 2) / 3)


def test_many_resamples_at_once_are_each_as_one_alone() -> None:
    y, p = sample(60, 2)
    p = np.round(p, 1)  # ties
    weights_RN = np.random.default_rng(3).integers(0, 3, size=(5, 60)).astype(float)
    assert area(y, p, weights_RN) == pytest.approx([float(area(y, p, weights)) for weights in weights_RN])
    member = membership(cut(p, "equal mass", 4))
    errors, parts = bin_error(y, p, member, weights_RN), brier_parts(y, p, member, weights_RN)
    for index, (many, weights) in enumerate(zip(risks(y, p, weights_RN), weights_RN, strict=True)):
        assert many == pytest.approx(risks(y, p, weights))
        assert errors[index] == pytest.approx(float(bin_error(y, p, member, weights)))
        alone = brier_parts(y, p, member, weights)
        assert [part[index] for part in astuple(parts)] == pytest.approx(numbers(alone))


def judged(y: np.ndarray, p: np.ndarray, size: int = 1):
    return judge_forecasts("head", (y > 0).tolist(), p.tolist(), [str(i // size) for i in range(len(y))])


def test_every_interval_holds_its_own_value() -> None:
    y, p = sample(300, 2)
    found = judged(y, p)
    known, brier = found.doubt, decompose_brier(y, p)
    assert known.brier.value == pytest.approx(brier.value)
    assert known.reliability.value == pytest.approx(brier.reliability)
    assert known.resolution.value == pytest.approx(brier.resolution)
    assert known.ece_width.value == pytest.approx(found.ece_width.value)
    assert known.ece_mass.value == pytest.approx(found.ece_mass.value)
    assert known.risk.area.value == pytest.approx(area(y, p, np.ones(300)))
    assert [point.coverage for point in known.risk.points] == pytest.approx(COVERAGES.tolist())
    assert known.risk.points[-1].risk.value == pytest.approx(y.mean())
    everything = [known.brier, known.reliability, known.resolution, known.ece_width, known.ece_mass, known.risk.area]
    for interval in (*everything, *(point.risk for point in known.risk.points)):
        assert 0.0 <= interval.low <= interval.value <= interval.high
    assert known.risk.best < known.risk.area.value < known.risk.base


def test_an_interval_of_the_brier_score_is_as_wide_as_its_standard_error_says() -> None:
    y, p = sample(400, 3)
    losses = (p - y) ** 2
    found = judged(y, p).doubt.brier
    assert found.high - found.low == pytest.approx(2 * 1.966 * losses.std(ddof=1) / 20, rel=0.1)
    wider = judged(np.repeat(y[:100], 4), np.repeat(p[:100], 4), size=4).doubt.brier
    assert wider.high - wider.low == pytest.approx(2 * 1.984 * losses[:100].std(ddof=1) / 10, rel=0.12)


@pytest.mark.parametrize("sharpness", [1.0, 3.0])
def test_the_interval_of_the_calibration_error_holds_what_it_is_in_truth(sharpness: float) -> None:
    y, p = sample(200_000, 7, sharpness)
    truth = 0.0 if sharpness == 1 else float(bin_error(y, p, membership(cut(p, "equal width", 10)), np.ones(len(p))))
    held = []
    for seed in range(100):
        y, p = sample(300, 1000 + seed, sharpness)
        band = calibration_error(y, p, "equal width", seed=seed, simulations=300).band
        families = [str(i) for i in range(300)]
        found = doubt(y, p, families, bands=(band, band), seed=seed, resamples=200).ece_width
        held.append(found.low <= truth <= found.high)
    assert np.mean(held) >= 0.85


def test_a_temperature_mends_forecasts_that_are_too_sharp_and_too_flat() -> None:
    for sharpness in (0.5, 1.0, 3.0):
        y, p = sample(20_000, 4, sharpness)
        found = fit_temperature((y > 0).tolist(), p.tolist())
        assert found.temperature == pytest.approx(sharpness, rel=0.05)
        assert found.nll_after <= found.nll_before
        other_y, other_p = sample(5_000, 5, sharpness)
        scaled = np.array(at_temperature(other_p.tolist(), found.temperature))
        assert calibration_error(other_y, scaled, "equal width").is_within_band


def test_a_temperature_is_the_best_of_a_grid() -> None:
    y, p = sample(200, 6, 2.0)
    found = fit_temperature((y > 0).tolist(), p.tolist())
    z = np.log(p / (1 - p))
    grid = np.exp(np.linspace(math.log(0.05), math.log(20), 4001))
    losses = [np.logaddexp(0, -np.where(y == 1, 1, -1) * z / t).mean() for t in grid]
    assert found.temperature == pytest.approx(grid[int(np.argmin(losses))], rel=2e-3)
    assert found.nll_after == pytest.approx(min(losses), abs=1e-7)


def test_a_temperature_that_cannot_be_fitted_says_why() -> None:
    assert fit_temperature([True, True], [0.2, 0.9]).reason == "of the 2 episodes to fit on all failed"
    assert fit_temperature([], []).reason == "there are no episodes to fit on"
    flat = fit_temperature([True, False], [0.5, 0.5])
    assert (flat.temperature, flat.reason) == (1.0, "")
    certain = fit_temperature([True, False, True], [1.0, 0.0, 0.0])
    assert math.isfinite(certain.nll_after)
    with pytest.raises(ValueError, match="one forecast a label"):
        fit_temperature([True], [])
    with pytest.raises(ValueError, match="above 0"):
        at_temperature([0.5], 0.0)


def episodes(split: str, n: int, seed: int, sharpness: float = 1.0, turns: int = 1) -> list[Trajectory]:
    y, p = sample(n, seed, sharpness)
    return [
        make_trajectory(
            make_task(f"{split}/{i}", family=f"family {i // 2}"),
            success=not failed,
            turns=[make_turn(p_fail=forecast, p_fail_before=0.5)] * turns,
        )
        for i, (failed, forecast) in enumerate(zip(y, p, strict=True))
    ]


def test_a_temperature_is_fitted_on_one_split_and_judged_on_another() -> None:
    test, fit = episodes("test", 400, 8, 3.0), episodes("select", 400, 9, 3.0)
    report = scale(judge_head(test, fit), test, fit)
    assert report.temperature is not None
    assert report.scaled is not None
    assert report.temperature.temperature == pytest.approx(3.0, rel=0.35)
    assert report.temperature.n == 400
    assert not report.decision.ece_width.is_within_band  # type: ignore[union-attr]
    assert report.scaled.ece_width.is_within_band
    assert report.scaled.brier.value < report.decision.brier.value  # type: ignore[union-attr]
    assert report.scaled.auroc.value == pytest.approx(report.decision.auroc.value)  # type: ignore[union-attr]


def test_a_fit_split_of_one_class_leaves_the_forecasts_as_they_are_and_says_so() -> None:
    test = episodes("test", 60, 8)
    fit = [make_trajectory(f"select/{i}", success=False, turns=[make_turn(p_fail=0.4)]) for i in range(9)]
    report = scale(judge_head(test, fit), test, fit)
    assert report.scaled is None
    assert "no temperature: of the 9 episodes to fit on all failed" in report.notes
    assert any("no baseline" in note for note in report.notes)


@pytest.mark.parametrize(("success", "what"), [(True, "none failed"), (False, "all failed")])
def test_a_split_with_one_class_says_that_calibration_cannot_be_computed_and_why(success: bool, what: str) -> None:
    played = [make_trajectory(f"test/{i}", success=success, turns=[make_turn(p_fail=0.3)]) for i in range(7)]
    report = judge_head(played, ())
    assert report.decision is None
    assert report.state is None
    assert report.notes[0].startswith(f"calibration cannot be computed: of the 7 tasks {what}, and with one class")
    assert scale(report, played, episodes("select", 20, 0)) is report


def test_a_head_that_says_the_same_of_every_task_is_named() -> None:
    played = [make_trajectory(f"test/{i}", success=i % 2 == 0, turns=[make_turn(p_fail=0.5)]) for i in range(6)]
    assert judge_head(played, ()).notes == ("every forecast is 0.500: the head has not been trained",)


def test_later_turns_are_judged_on_the_episodes_that_came_to_them() -> None:
    short = [make_trajectory(f"s/{i}", success=True, turns=[make_turn(p_fail=0.1)]) for i in range(3)]
    long = [
        make_trajectory(f"l/{i}", success=i == 0, turns=[make_turn(p_fail=0.6), make_turn(p_fail=0.2 + 0.3 * (i > 0))])
        for i in range(3)
    ]
    first, second = judge_turns([*short, *long])
    assert (first.turn, first.n, first.failures) == (1, 6, 2)
    assert (second.turn, second.n, second.failures) == (2, 3, 2)
    assert second.auroc is not None
    assert second.auroc.value == 1.0
    assert second.brier.value == pytest.approx((0.2**2 + 0.5**2 + 0.5**2) / 3)
    assert second.brier_gain.value == pytest.approx(2 / 9 - second.brier.value)
    assert judge_turns([make_trajectory("a/0")]) == ()


def test_turns_are_judged_on_one_untouched_episode_a_task() -> None:
    turn = make_turn(p_fail=0.4)
    played = [make_trajectory("t/0", attempt=i, success=i == 0, turns=[turn]) for i in range(5)]
    played += [
        make_trajectory("t/1", success=False, turns=[turn]),
        make_trajectory("t/2", turns=[turn], is_intervened=True),
    ]
    [only] = judge_head(played, ()).turns
    assert (only.n, only.failures) == (2, 1)


def test_what_an_amplifier_happened_to_leave_is_not_judged_but_what_its_lot_left_is() -> None:
    def turn(is_left: bool) -> Turn:
        made = make_turn(p_fail=0.4)
        return replace(made, decision=replace(made.decision, notes={"is_untouched": is_left}))

    left = [make_trajectory(f"t/{i}", success=i < 2, turns=[turn(True)]) for i in range(3)]
    exposed = [make_trajectory(f"u/{i}", success=i < 2, turns=[turn(False)]) for i in range(5)]
    report = judge_head([*left, *exposed], ())
    assert report.decision is not None
    assert (report.decision.n, report.decision.left_out) == (3, 5)
    assert report.turns[0].n == 3
    assert "no episode was left alone" in judge_head(exposed, ()).notes[0]
