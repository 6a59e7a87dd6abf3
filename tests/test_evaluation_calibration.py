"""AUROC, Brier and calibration error against closed forms, enumeration and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sage_gym.evaluation.auroc import auroc, auroc_difference, weighted_auroc
from sage_gym.evaluation.calibration import calibration_error, decompose_brier, judge_forecasts, reliability_table


def random_sample(seed, n=80):
    generator = np.random.default_rng(seed)
    p = np.round(generator.random(n), 1)  # ties
    y = (generator.random(n) < 0.3 + 0.4 * p).astype(float)
    return y, p


def brute_force(y, p):
    """Area and placements by comparing all pairs."""
    positives, negatives = p[y == 1], p[y == 0]
    wins = (positives[:, None] > negatives[None]) + 0.5 * (positives[:, None] == negatives[None])
    return wins.mean(), wins.mean(axis=1), wins.mean(axis=0)


@pytest.mark.parametrize("seed", range(5))
def test_auroc_and_delong_variance_agree_with_all_pairs_and_scikit_learn(seed):
    y, p = random_sample(seed)
    area, v10, v01 = brute_force(y, p)
    deviation = np.sqrt(v10.var(ddof=1) / len(v10) + v01.var(ddof=1) / len(v01))
    interval = auroc(y.astype(bool).tolist(), p.tolist())
    assert interval.value == pytest.approx(area)
    assert interval.value == pytest.approx(roc_auc_score(y, p))
    assert weighted_auroc(y, p, np.ones(len(y))) == pytest.approx(area)
    twice = np.random.default_rng(seed).integers(0, 3, size=len(y))
    repeated = brute_force(np.repeat(y, twice), np.repeat(p, twice))[0]
    assert weighted_auroc(y, p, twice.astype(float)) == pytest.approx(repeated)
    assert (interval.high - interval.low) / 2 == pytest.approx(1.959964 * deviation, rel=1e-5)


def test_perfect_separation_does_not_claim_certainty():
    interval = auroc([True] * 10 + [False] * 10, [0.9] * 10 + [0.1] * 10)
    assert interval.value == interval.high == 1.0
    assert 0.7 < interval.low < 0.95


def test_auroc_of_one_class_is_none():
    assert auroc([True, True], [0.1, 0.2]) is None


def test_difference_of_correlated_areas_by_all_pairs():
    y, a = random_sample(1)
    _, b = random_sample(2)
    (area_a, a10, a01), (area_b, b10, b01) = brute_force(y, a), brute_force(y, b)
    deviation = np.sqrt((a10 - b10).var(ddof=1) / len(a10) + (a01 - b01).var(ddof=1) / len(a01))
    found = auroc_difference(y.astype(bool).tolist(), a.tolist(), b.tolist())
    assert found.difference == pytest.approx(area_a - area_b)
    assert found.high - found.difference == pytest.approx(1.959964 * deviation, rel=1e-5)
    same = auroc_difference(y.astype(bool).tolist(), a.tolist(), a.tolist())
    assert (same.difference, same.p) == (0.0, 1.0)


def test_brier_decomposition_by_hand():
    y, p = np.array([0.0, 0.0, 1.0, 1.0, 1.0, 0.0]), np.array([0.2, 0.2, 0.2, 0.8, 0.8, 0.8])
    brier = decompose_brier(y, p)
    # each value three times; 1/3 and 2/3 observed; base rate 1/2
    assert brier.value == pytest.approx((0.04 * 2 + 0.64 + 0.04 * 2 + 0.64) / 6)
    assert brier.reliability == pytest.approx((1 / 3 - 0.2) ** 2)
    assert brier.resolution == pytest.approx((1 / 6) ** 2)
    assert brier.uncertainty == 0.25
    assert brier.within_bins == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_brier_is_the_sum_of_its_parts(seed):
    generator = np.random.default_rng(seed)
    p = generator.random(200)
    y = (generator.random(200) < p).astype(float)
    brier = decompose_brier(y, p)
    assert brier.value == pytest.approx(((p - y) ** 2).mean())
    assert brier.reliability - brier.resolution + brier.uncertainty + brier.within_bins == pytest.approx(brier.value)
    assert abs(brier.within_bins) < 0.01


def test_calibration_error_by_hand():
    y, p = np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.1, 0.15, 0.9, 1.0])
    # bins [.1,.2) and [.9,1]: sums of p - y are -0.75 and -0.1
    assert calibration_error(y, p, "equal width").value == pytest.approx(0.85 / 4)
    assert calibration_error(y, p, "equal mass", bins=2).value == pytest.approx(0.85 / 4)
    assert calibration_error(y, p, "equal width", bins=1).value == pytest.approx(0.85 / 4)
    assert calibration_error(1 - y, p, "equal width").value == pytest.approx((abs(0.25 - 1) + 1.9) / 4)


def test_the_band_holds_about_95_in_100_calibrated_forecasters():
    generator = np.random.default_rng(0)
    p = generator.random(100)
    band = calibration_error(np.zeros(100), p, "equal width", seed=1).band
    errors = [calibration_error((generator.random(100) < p) * 1.0, p, "equal width", simulations=1) for _ in range(600)]
    inside = np.mean([error.value <= band for error in errors])
    assert inside == pytest.approx(0.95, abs=0.03)


def test_the_band_narrows_with_the_sample():
    p = np.tile([0.2, 0.5, 0.8], 400)
    small = calibration_error(np.zeros(30), p[:30], "equal width")
    large = calibration_error(np.zeros(1200), p, "equal width")
    assert small.band > 3 * large.band


def test_an_overconfident_forecaster_falls_outside_the_band():
    y = np.tile([0.0, 1.0], 100)
    p = np.where(y == 1, 0.6, 0.4)
    quality = judge_forecasts("flat", (y > 0).tolist(), p.tolist(), [str(i) for i in range(200)])
    assert not quality.ece_width.is_within_band
    assert quality.brier_gain.low > 0


def test_equal_mass_bins_do_not_depend_on_the_order_of_ties():
    y, p = np.array([1.0, 0.0, 1.0, 0.0, 1.0, 1.0]), np.array([0.5, 0.5, 0.5, 0.5, 0.9, 0.1])
    order = np.array([3, 1, 0, 2, 5, 4])
    first = calibration_error(y, p, "equal mass", bins=3).value
    assert calibration_error(y[order], p[order], "equal mass", bins=3).value == pytest.approx(first)


def test_reliability_rows_hold_every_forecast_once():
    y, p = random_sample(3)
    rows = reliability_table(y, p)
    assert sum(row.observed.n for row in rows) == len(y)
    assert all(row.low - 1e-9 <= row.forecast <= row.high + 1e-9 for row in rows)
    assert reliability_table(np.array([1.0]), np.array([1.0]))[0].low == 0.9


def test_logits_are_refused():
    with pytest.raises(ValueError, match="probabilities, not logits"):
        judge_forecasts("head", [True], [1.7], ["a"])


def test_no_sample_is_none():
    assert judge_forecasts("head", [], [], []) is None
