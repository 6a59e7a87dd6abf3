"""Metrics of an evaluation, and forecasts judged on episodes."""

from __future__ import annotations

import numpy as np
import pytest

from sage_gym.evaluation.forecasts import first_decisions, judge_head
from sage_gym.evaluation.intervals import cluster_mean, wilson
from sage_gym.evaluation.metrics import measure
from sage_gym.types import StopReason
from tests.trajectories import make_task, make_trajectory, make_turn


def test_wilson_interval_of_8_in_10_by_hand():
    # centre (0.8 + z^2/20) / (1 + z^2/10), z = 1.959964
    interval = wilson(8, 10)
    assert (interval.low, interval.high) == pytest.approx((0.49016, 0.94332), abs=1e-5)


def test_wilson_agrees_with_statsmodels_on_random_counts():
    from statsmodels.stats.proportion import proportion_confint

    generator = np.random.default_rng(0)
    for n in generator.integers(1, 400, size=20):
        k = int(generator.integers(0, n + 1))
        ours = wilson(k, int(n))
        assert (ours.low, ours.high) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-9)


def test_a_share_of_no_trials_is_none():
    assert wilson(0, 0) is None
    with pytest.raises(ValueError, match="got 3 of 2"):
        wilson(3, 2)


def test_clusters_that_agree_within_widen_the_interval():
    values = [1.0, 0.0] * 50
    alone = cluster_mean(values, [str(i) for i in range(100)], seed=0)
    together = cluster_mean(sorted(values), [str(i // 10) for i in range(100)], seed=0)
    assert alone.value == together.value == 0.5
    # standard errors: sqrt(.25/99) = 0.0503 and sqrt(.25/9) = 0.167, with Student's quantiles of 99 and 9 degrees
    assert alone.high - alone.low == pytest.approx(2 * 1.984 * 0.0503, abs=0.02)
    assert together.high - together.low == pytest.approx(2 * 2.262 * 0.167, abs=0.08)


def test_truncation_counts_as_not_succeeded_and_infrastructure_stands_apart():
    turns = (make_turn("a", is_invalid=True), make_turn("b", denial="deny (whole-deletion): no"))
    evaluation = [
        make_trajectory("shop/0", turns=turns),
        make_trajectory("shop/1", success=True, stop=StopReason.EPISODE_TOKENS, reward=0.4),
        make_trajectory("shop/2", success=False, reward=0.0),
        make_trajectory("shop/3", success=True, stop=StopReason.INFRASTRUCTURE),
    ]
    metrics = measure(evaluation)
    assert (metrics.episodes, metrics.infrastructure, metrics.successes) == (3, 1, 1)
    assert metrics.success.value == pytest.approx(1 / 3)
    assert metrics.success_if_infrastructure_failed == 0.25
    assert metrics.success_if_infrastructure_passed == 0.5
    assert metrics.score.value == pytest.approx(1.4 / 3)
    assert (metrics.turns, metrics.tokens) == (pytest.approx(4 / 3), pytest.approx(8 / 3))
    assert metrics.invalid_share == metrics.denied_share == 0.25
    assert metrics.stop_reasons == {"episode_tokens": 1, "infrastructure": 1, "terminated": 2}
    assert metrics.numbers("select")["select/success_low"] == metrics.success.low


def test_an_evaluation_that_infrastructure_took_whole_has_bounds_and_no_rate():
    metrics = measure([make_trajectory(stop=StopReason.INFRASTRUCTURE)])
    assert metrics.success is None
    assert (metrics.success_if_infrastructure_failed, metrics.success_if_infrastructure_passed) == (0.0, 1.0)


def episodes(prefix, n, seed, skill):
    """Episodes whose failure probability the forecast knows (skill 1) or not (skill 0)."""
    generator = np.random.default_rng(seed)
    made = []
    for i in range(n):
        p = float(generator.random())
        turn = make_turn(
            p_fail=skill * p + (1 - skill) * float(generator.random()),
            p_fail_before=0.5,
            logprobs=(-p - 0.2 * float(generator.random()),),
            entropy=float(generator.random()),
        )
        made.append(make_trajectory(f"{prefix}/{i}", success=bool(generator.random() > p), turns=(turn, turn)))
    return made


def test_a_forecaster_that_knows_beats_the_base_rate_and_one_that_guesses_does_not():
    fit = episodes("select", 300, 1, 1.0)
    knowing = judge_head(episodes("test", 300, 0, 1.0), fit)
    guessing = judge_head(episodes("test", 300, 0, 0.0), fit)
    assert knowing.decision.auroc.low > 0.75
    assert knowing.decision.brier_gain.low > 0
    assert knowing.decision.ece_width.is_within_band
    assert guessing.decision.brier_gain.high < 0
    assert not guessing.decision.ece_width.is_within_band
    assert knowing.state.auroc.value == 0.5
    assert knowing.every_turn.value == pytest.approx(knowing.decision.auroc.value)


def test_baselines_are_fitted_elsewhere_and_compared_on_the_same_tasks():
    report = judge_head(episodes("test", 300, 0, 0.0), episodes("select", 300, 1, 0.0))
    by_name = {baseline.quality.name: baseline for baseline in report.baselines}
    assert set(by_name) == {"mean log-probability", "entropy", "logistic regression"}
    # log-probability carries the truth here, entropy nothing, and the head guesses
    assert by_name["mean log-probability"].quality.auroc.low > 0.7
    assert by_name["logistic regression"].quality.auroc.low > 0.7
    assert by_name["entropy"].quality.auroc.high < 0.6
    assert by_name["mean log-probability"].head_lead.high < 0
    assert by_name["mean log-probability"].quality.n == report.decision.n


def test_fitting_and_judging_on_the_same_tasks_is_refused():
    with pytest.raises(ValueError, match="disjoint"):
        judge_head(episodes("test", 5, 0, 1.0), episodes("test", 5, 0, 1.0))


def test_only_untouched_first_attempts_are_judged_one_a_task():
    turn = make_turn(p_fail=0.2)
    chosen = first_decisions(
        [
            make_trajectory("shop/0", attempt=2, turns=(turn,)),
            make_trajectory("shop/0", attempt=1, turns=(turn,)),
            make_trajectory("shop/0", attempt=0, turns=(turn,), is_intervened=True),
            make_trajectory("shop/1", stop=StopReason.INFRASTRUCTURE),
        ]
    )
    assert [t.id for t in chosen] == ["shop/0#1"]


def test_a_policy_without_a_head_is_said_to_have_none():
    report = judge_head([make_trajectory("test/0")], [make_trajectory("select/0")])
    assert report.decision is None
    assert "no head" in report.notes[0]


def test_families_are_what_tasks_name_or_the_tasks_themselves():
    same = [make_trajectory(make_task(f"shop/{i}", family="shoe"), success=i == 0) for i in range(4)]
    assert measure(same).score.method == "bootstrap of 1 clusters"
    own = [make_trajectory(f"shop/{i}", success=i == 0) for i in range(4)]
    assert measure(own).score.method == "bootstrap of 4 clusters"
