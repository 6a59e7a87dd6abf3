"""Which tasks come next, and oversampling that keeps the base rate."""

from __future__ import annotations

from collections import Counter

import pytest

from sage_gym.selection import draw_by_surprise, learnability, next_tasks, surprise

TASKS = [f"shop/{i}" for i in range(10)]


def test_learnability_is_four_p_one_minus_p_with_a_floor():
    assert [learnability(p) for p in (0.5, 0.25, 0.0, 1.0)] == [1.0, 0.75, 0.1, 0.1]


def test_a_logit_is_refused_as_a_forecast():
    with pytest.raises(ValueError, match="probabilities, not logits"):
        learnability(2.3)


def test_the_same_seed_gives_the_same_tasks_in_whatever_order_they_are_listed():
    forecasts = {"shop/3": 0.5, "shop/4": 0.99}
    first = next_tasks(TASKS, forecasts, 4, seed=7)
    assert first == next_tasks(TASKS[::-1], forecasts, 4, seed=7)
    assert len(set(first)) == 4
    assert any(next_tasks(TASKS, forecasts, 4, seed=s) != first for s in range(8, 12))


def test_tasks_are_drawn_in_proportion_to_learnability_and_none_starves():
    forecasts = {"a": 0.5, "b": 0.0}
    counts = Counter(next_tasks(["a", "b"], forecasts, 1, seed=s)[0] for s in range(4000))
    # weights 1 and 0.1: a has 10/11, standard error 0.0045
    assert counts["a"] / 4000 == pytest.approx(10 / 11, abs=0.02)
    assert counts["b"] > 0


def test_more_draws_than_tasks_cover_every_task_before_repeating():
    counts = Counter(next_tasks(TASKS, {}, 23, seed=0))
    assert sorted(set(counts.values())) == [2, 3]
    assert sum(counts.values()) == 23


def test_a_task_listed_twice_is_refused():
    with pytest.raises(ValueError, match="distinct tasks"):
        next_tasks(["a", "a"], {}, 1, seed=0)


def test_surprise_is_the_distance_of_forecast_and_outcome():
    assert surprise(1.0, 0.9) == pytest.approx(0.9)
    assert surprise(0.0, 0.9) == pytest.approx(0.1)


def test_inverse_probability_weights_keep_every_mean_by_enumeration():
    surprises, labels = [0.9, 0.1, 0.0, 0.5], [1.0, 0.0, 0.0, 1.0]
    draw = draw_by_surprise(surprises, 4000, seed=0)
    weight_of = dict(zip(draw.indices, draw.weights, strict=True))
    assert set(weight_of) == {0, 1, 2, 3}
    expectation = sum(draw.probabilities[i] * weight_of[i] * labels[i] for i in range(4))
    assert expectation == pytest.approx(0.5)
    assert sum(draw.probabilities[i] * labels[i] for i in range(4)) > 0.6  # without weights the base rate is off
    assert max(draw.weights) <= 2.0


def test_no_surprise_anywhere_is_plain_resampling():
    assert set(draw_by_surprise([0.0, 0.0], 10, seed=1).weights) == {1.0}


def test_nothing_to_draw_from_is_refused():
    with pytest.raises(ValueError, match="0 values"):
        draw_by_surprise([], 1, seed=0)
