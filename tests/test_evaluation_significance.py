"""Paired tests, promotion and the intervention pilot."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from sage_gym.evaluation.gaps import gap_between, success_gap
from sage_gym.evaluation.pilot import PilotSettings, judge_pilot
from sage_gym.evaluation.promotion import PromotionSettings, lower_bound, promote
from sage_gym.evaluation.significance import across_seeds, compare, holm, mcnemar_p, pair, tango_lower
from sage_gym.types import StopReason
from tests.trajectories import make_task, make_trajectory


def evaluation(outcomes, family_size=1):
    """One episode a task: `1` succeeded, `0` failed, `x` lost to infrastructure."""
    return [
        make_trajectory(
            make_task(f"shop/{i:03d}", family=f"product {i // family_size}"),
            success=outcome == "1",
            stop=StopReason.INFRASTRUCTURE if outcome == "x" else StopReason.TERMINATED,
        )
        for i, outcome in enumerate(outcomes)
    ]


def test_mcnemar_by_hand_and_against_statsmodels():
    assert mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(5, 0) == pytest.approx(2 / 32)
    generator = np.random.default_rng(0)
    for b, c in generator.integers(0, 40, size=(20, 2)):
        theirs = mcnemar([[10, c], [b, 10]], exact=True).pvalue
        assert mcnemar_p(int(b), int(c)) == pytest.approx(min(1.0, theirs))


def test_pairs_are_counted_by_hand_and_infrastructure_is_left_out():
    test = compare("before", "after", pair(evaluation("1100x0"), evaluation("101101")))
    assert (test.tasks, test.left_out) == (5, 1)
    assert (test.both, test.gained, test.lost, test.neither) == (1, 3, 1, 0)
    assert test.success_difference.value == pytest.approx(2 / 5)
    assert test.mcnemar_p == pytest.approx(0.625)


def test_order_of_episodes_does_not_matter():
    a, b = evaluation("110010"), evaluation("011011")
    assert compare("a", "b", pair(a, b)) == compare("a", "b", pair(a[::-1], b))


def test_evaluations_of_different_tasks_are_refused():
    with pytest.raises(ValueError, match="1 in one alone"):
        pair(evaluation("11"), evaluation("111"))
    with pytest.raises(ValueError, match="one trajectory a task"):
        pair(evaluation("11") * 2, evaluation("11"))
    changed = [replace(t, task=replace(t.task, hash="other")) for t in evaluation("11")]
    with pytest.raises(ValueError, match="another content"):
        pair(evaluation("11"), changed)
    with pytest.raises(ValueError, match="no task is left"):
        pair(evaluation("x"), evaluation("1"))


def test_tango_bound_in_closed_forms():
    z = 1.2815515655446004
    assert tango_lower(0, 0, 50) == pytest.approx(-(z**2) / (50 + z**2), abs=1e-7)
    assert tango_lower(40, 0, 40) == pytest.approx((40 - z**2) / (40 + z**2), abs=1e-7)
    assert tango_lower(0, 7, 7) == -1.0


@pytest.mark.parametrize(("gained", "lost", "n"), [(12, 5, 60), (3, 3, 40), (1, 9, 30), (150, 86, 1600)])
def test_tango_bound_is_where_the_score_statistic_with_fitted_nuisance_equals_z(gained, lost, n):
    z, delta = 1.2815515655446004, tango_lower(gained, lost, n)
    # maximum likelihood of the lost share under gained - lost = delta, by brute force
    q = np.linspace(max(0.0, -delta) + 1e-9, (1 - delta) / 2 - 1e-9, 400_001)
    likelihood = gained * np.log(q + delta) + lost * np.log(q) + (n - gained - lost) * np.log1p(-2 * q - delta)
    fitted = q[np.argmax(likelihood)]
    statistic = (gained - lost - n * delta) / math.sqrt(n * (2 * fitted + delta - delta**2))
    assert statistic == pytest.approx(z, abs=2e-3)


def test_tango_agrees_with_walds_bound_on_large_samples():
    gained, lost, n = 150, 86, 1600
    d = (gained - lost) / n
    wald = d - 1.28155 * math.sqrt((gained + lost) / n - d * d) / math.sqrt(n)
    assert tango_lower(gained, lost, n) == pytest.approx(wald, abs=3e-4)


def test_holm_by_hand():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "b": 0.06, "c": 0.06})
    assert holm({}) == {}


def test_a_claim_over_seeds_needs_the_signs_to_agree():
    better, worse = pair(evaluation("0" * 40), evaluation("1" * 20 + "0" * 20)), pair(evaluation("1"), evaluation("0"))
    agreeing = across_seeds({0: better, 1: better})
    assert agreeing.signs_agree
    assert agreeing.differences == {0: 0.5, 1: 0.5}
    # two seeds of standard error sqrt(.25/40): 0.0559 together
    assert agreeing.mean.high - agreeing.mean.low == pytest.approx(2 * 1.96 * 0.0559, abs=0.03)
    assert not across_seeds({0: better, 1: worse}).signs_agree
    assert agreeing.p == pytest.approx(2 / 2001)
    turned = pair(evaluation("1" * 20 + "0" * 20), evaluation("0" * 40))
    assert across_seeds({0: better, 1: turned}).p > 0.5


def test_seeds_without_any_difference_leave_room_for_one():
    same = pair(evaluation("01" * 20), evaluation("01" * 20))
    found = across_seeds({0: same, 1: same})
    # Tango's z^2 / (n + z^2) for twice 40 pairs
    assert found.mean.high == pytest.approx(3.8415 / 83.8415, abs=1e-4)
    assert (found.mean.low, found.mean.value, found.p) == (-found.mean.high, 0.0, 1.0)


def test_promotion_needs_the_lower_bound_above_the_margin():
    incumbent = evaluation("01" * 100)
    same = promote(("r1", incumbent), {"incumbent": ("r0", incumbent)})
    assert same.promoted
    assert same.rivals[0].lower == pytest.approx(tango_lower(0, 0, 200))
    slightly_worse = promote(("r1", evaluation("01" * 94 + "00" * 6)), {"incumbent": ("r0", incumbent)})
    assert not slightly_worse.promoted
    assert slightly_worse.rivals[0].test.success_difference.value == pytest.approx(-0.03)
    better = promote(("r1", evaluation("01" * 80 + "11" * 20)), {"incumbent": ("r0", incumbent)})
    assert better.promoted
    assert better.rivals[0].lower > 0


def test_a_noisy_draw_is_not_promoted_by_luck():
    # 30 gained, 30 lost of 200: no difference, but the lower bound is -1.28 * sqrt(60) / 200, five points
    noisy = "1" * 30 + "0" * 30 + "0" * 140
    promotion = promote(("r1", evaluation(noisy[::-1])), {"incumbent": ("r0", evaluation(noisy))})
    assert promotion.rivals[0].test.success_difference.value == pytest.approx(0.0)
    assert promotion.rivals[0].lower == pytest.approx(-0.05, abs=0.01)
    assert not promotion.promoted
    assert promote(
        ("r1", evaluation(noisy[::-1])),
        {"incumbent": ("r0", evaluation(noisy))},
        PromotionSettings(margin=0.1),
    ).promoted


def test_the_best_so_far_can_block_what_beats_the_incumbent():
    incumbent, best, candidate = evaluation("0" * 100), evaluation("1" * 100), evaluation("10" * 50)
    promotion = promote(("r2", candidate), {"incumbent": ("r1", incumbent), "best": ("r0", best)})
    assert [rival.passed for rival in promotion.rivals] == [True, False]
    assert not promotion.promoted
    assert "perhaps worse than the best" in promotion.reason


def test_families_that_fall_together_lower_the_bound():
    # 10 families of 20: all gain or all lose
    after, before = "1" * 120 + "0" * 80, "0" * 120 + "1" * 80
    alone = lower_bound(pair(evaluation(before), evaluation(after)), 0.9)
    together = lower_bound(pair(evaluation(before, 20), evaluation(after, 20)), 0.9)
    assert together < alone - 0.1


def test_pilot_counts_rescued_and_disrupted_and_decides():
    without = evaluation("1" * 25 + "0" * 25)
    hurting = judge_pilot(without, evaluation("0" * 10 + "1" * 15 + "1" * 8 + "0" * 17))
    assert (hurting.rescued, hurting.disrupted, hurting.both, hurting.neither) == (8, 10, 15, 17)
    assert not hurting.replanning
    helping = judge_pilot(without, evaluation("1" * 33 + "0" * 17))
    assert (helping.rescued, helping.disrupted, helping.replanning) == (8, 0, True)
    assert "re-planning on" in helping.reason


def test_a_pilot_in_which_nothing_changed_has_shown_nothing():
    arm = evaluation("10" * 25)
    assert not judge_pilot(arm, arm).replanning
    assert judge_pilot(arm, arm, PilotSettings(margin=0.05)).replanning


def test_a_gap_has_newcombes_interval():
    """The example of Newcombe (Statistics in Medicine 1998, table II, method 10): 56 of 70 against 48 of 80."""
    gap = success_gap(56, 70, 48, 80)
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    mirrored = success_gap(48, 80, 56, 70)
    assert (mirrored.low, mirrored.high) == pytest.approx((-0.3339, -0.0524), abs=5e-5)


def test_a_gap_to_nothing_is_refused_or_left_out():
    with pytest.raises(ValueError, match="got 3 and 0"):
        success_gap(1, 3, 0, 0)
    assert gap_between("a", "b", "free", ([True], []), ([True], [])) is None
    found = gap_between("a", "b", "free", ([True, False], [False]), ([True, True], [False]))
    assert (found.before.value, found.after.value, found.split, found.other) == (0.5, 1.0, "a", "b")
