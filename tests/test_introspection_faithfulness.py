"""Matching, paired differences and the test of faithfulness: by hand, by enumeration, and on planted effects."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr, wilcoxon

from sage_gym.evaluation.introspection.comparing import difference, families_needed, place_rank, rank_correlation
from sage_gym.evaluation.introspection.faithfulness import Subject, judge_signals
from sage_gym.evaluation.introspection.matching import CALIPER, Placed, match
from sage_gym.evaluation.introspection.naming import SIGNALS, decision_points
from sage_gym.evaluation.introspection.reading import SHARES, Curves
from sage_gym.evaluation.introspection.records import SignalTest

Floats = np.ndarray


def placed(episode: int, length: int, is_named: bool, *, turn: int = 0, count: int = 3, task: str = "") -> Placed:
    return Placed(episode, turn, task or f"shop/{episode}", (turn, count), length, is_named)


def test_a_named_turn_is_paired_with_the_closest_in_length_at_its_own_place() -> None:
    turns = [
        placed(0, 100, True),
        placed(1, 118, False),
        placed(2, 104, False),
        placed(3, 100, False, turn=1),
        placed(4, 100, False, count=4),
        placed(5, 100, False, task="shop/0"),
    ]
    [pair] = match(turns)
    assert (pair.named.episode, pair.other.episode) == (0, 2)


def test_lengths_beyond_the_caliper_are_not_paired() -> None:
    assert len(match([placed(0, 100, True), placed(1, 125, False)])) == 1
    assert match([placed(0, 100, True), placed(1, 126, False)]) == []
    assert match([placed(0, 100, True)]) == []


@given(st.lists(st.tuples(st.integers(8, 20), st.booleans(), st.integers(0, 2)), max_size=7))
def test_no_turn_stands_in_two_pairs_and_no_pairing_has_more_of_them(drawn: list[tuple[int, bool, int]]) -> None:
    turns = [placed(i, length, named, task=f"shop/{task}") for i, (length, named, task) in enumerate(drawn)]
    pairs = match(turns)
    assert len({p.named.episode for p in pairs} | {p.other.episode for p in pairs}) == 2 * len(pairs)
    for pair in pairs:
        assert pair.named.is_named
        assert not pair.other.is_named
        assert pair.named.task != pair.other.task
        assert max(pair.named.length, pair.other.length) <= CALIPER * min(pair.named.length, pair.other.length) + 1e-6
    assert len(pairs) == most_pairs(turns)


def most_pairs(turns: list[Placed]) -> int:
    """Try every assignment."""
    named, others = [t for t in turns if t.is_named], [t for t in turns if not t.is_named]
    few, many = sorted((named, others), key=len)

    def fits(a: Placed, b: Placed) -> bool:
        return a.task != b.task and max(a.length, b.length) <= CALIPER * min(a.length, b.length) + 1e-6

    return max(
        (
            sum(fits(a, b) for a, b in zip(few, chosen, strict=True))
            for chosen in itertools.permutations(many, len(few))
        ),
        default=0,
    )


def test_a_difference_is_tested_with_one_value_a_family() -> None:
    values, families = [1.0, 3.0, 0.5, -1.0, 2.0, 4.0, 0.25, 5.0], list("aabcdefg")
    found = difference(values, families, seed=0)
    assert found is not None
    assert found.mean.value == pytest.approx(np.mean(values))
    assert found.p == pytest.approx(wilcoxon([2.0, 0.5, -1.0, 2.0, 4.0, 0.25, 5.0]).pvalue)
    assert found.mean.low < found.mean.value < found.mean.high
    assert difference([], [], seed=0) is None


def test_too_few_families_have_no_p_and_say_how_many_are_needed() -> None:
    found = difference([1.0, 2.0, 3.0], ["a", "b", "c"], seed=0)
    assert found is not None
    assert found.p is None
    # ((2.5758 + 0.8416) · 1 / 2)² · π / 3 = 3.06
    assert found.needed == 4
    worse = difference([-1.0, -2.0, -3.0], ["a", "b", "c"], seed=0)
    assert worse is not None
    assert worse.needed is None
    assert families_needed(np.array([1.0, 1.0])) is None


def test_as_many_families_as_are_needed_are_enough_in_four_of_five_samples() -> None:
    """Simulated: the count is for p < 0.01 with a power of 0.8."""
    rng = np.random.default_rng(0)
    needed = families_needed(rng.normal(0.4, 1.0, 200_000))
    assert needed is not None
    found = [wilcoxon(rng.normal(0.4, 1.0, needed)).pvalue < 0.01 for _ in range(1000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.04)


def test_place_rank_is_spearmans_within_one_place_and_blind_to_differences_between_places() -> None:
    rng = np.random.default_rng(1)
    pairs = [(float(a), float(a + b)) for a, b in rng.normal(size=(40, 2))]
    one = place_rank({(0, 3): pairs})
    assert one is not None
    assert one.rho == pytest.approx(spearmanr(*np.array(pairs).T).statistic)
    assert one.turns == 40
    assert one.low < one.rho < one.high
    assert one.p < 0.01
    shifted = {(0, 3): pairs, (1, 3): [(a + 100, -b) for a, b in pairs]}
    both = place_rank(shifted)
    assert both is not None
    assert both.rho == pytest.approx(0.0, abs=1e-9)
    assert place_rank({(0, 3): pairs[:7]}) is None
    assert place_rank({(0, 3): [(1.0, 2.0)] * 20}) is None


def test_the_interval_of_place_rank_covers_nothing_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        found = place_rank({(t, 4): [tuple(x) for x in rng.normal(size=(25, 2)).tolist()] for t in range(4)})
        assert found is not None
        covered += found.low <= 0 <= found.high
    assert covered / 400 == pytest.approx(0.95, abs=0.03)


def test_rank_correlation_of_what_does_not_vary_is_none() -> None:
    assert rank_correlation(np.array([1.0, 1.0]), np.array([1.0, 2.0])) == 0.0
    assert rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0])) == pytest.approx(1.0)


def test_one_turn_in_three_is_named_and_at_least_one() -> None:
    assert decision_points(np.array([0.1, 0.5])) == [1]
    assert decision_points(np.array([0.1, 0.5, 0.2, 0.3, 0.4])) == [1, 4]
    assert decision_points(np.zeros(3)) == [0]


def subjects(make: Callable[[Floats, np.random.Generator], Floats], count: int = 240, seed: int = 3) -> list[Subject]:
    """Trajectories of four or five turns whose effects are additive, and a signal made from them."""
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        n = 4 + index % 2
        effects = rng.exponential(0.3 + 0.2 * np.arange(n))  # later turns matter more
        weights = {
            "attention": make(effects, rng),
            "leave_one_out": effects,
            "last": np.arange(n, dtype=float),
            "random": rng.random(n),
        }
        lengths = rng.integers(10, 14, n)
        curves = {name: additive(values, effects) for name, values in weights.items()}
        task = f"shop/{index}"
        found.append(Subject(task, f"family {index // 2}", lengths, effects, weights, curves, {}))  # type: ignore[arg-type]
    return found


def additive(weights: Floats, effects: Floats) -> Curves:
    order = np.argsort(-weights)
    counts = sorted({round(share * len(order)) for share in SHARES})
    removed = np.array([effects[order[:m]].sum() for m in counts])
    return Curves(np.array(counts) / len(order), removed, effects.sum() - removed)


def attention_of(found: tuple[SignalTest, ...]) -> SignalTest:
    return next(test for test in found if test.name == "attention")


def test_a_signal_that_knows_the_effects_beats_matched_turns_and_the_last_ones() -> None:
    found = attention_of(judge_signals(subjects(lambda e, rng: e + 0.1 * rng.random(len(e))), "attention", 0))
    assert found.matched is not None
    assert found.last is not None
    assert found.rank_at_place is not None
    assert found.matched.mean.low > 0
    assert (found.matched.p_holm or 1) < 0.001
    assert found.last.mean.low > 0
    assert (found.last.p_holm or 1) < 0.001
    assert found.rank.value > 0.8
    assert found.rank_at_place.rho > 0.8
    assert found.named.value > 2 * found.others.value
    assert found.deletion_lead is not None
    assert found.deletion_lead.mean.low > 0


def test_a_signal_that_knows_the_place_alone_beats_no_matched_turn() -> None:
    """It names late turns, which matter more: better than others of the episode, but not than others of the place."""
    found = attention_of(
        judge_signals(subjects(lambda e, rng: np.arange(len(e)) + 2.0 * rng.random(len(e))), "attention", 0)
    )
    assert found.named.value > 1.2 * found.others.value
    assert found.matched is not None
    assert found.pairs > 50
    assert (found.matched.p or 0) > 0.05
    assert found.rank_at_place is not None
    assert found.rank_at_place.low < 0 < found.rank_at_place.high


def test_a_signal_that_is_wrong_is_found_to_be_worse() -> None:
    found = attention_of(judge_signals(subjects(lambda e, rng: -e), "attention", 0))
    assert found.matched is not None
    assert found.last is not None
    assert found.matched.mean.high < 0
    assert found.last.mean.high < 0
    assert found.matched.needed is None
    assert found.deletion_area.value < found.insertion_area.value


def test_a_lot_names_nothing_in_particular() -> None:
    """A negative control: over fifty draws the matched test is below 0.05 about as often as it may."""
    low = 0
    for seed in range(50):
        found = attention_of(judge_signals(subjects(lambda e, rng: rng.random(len(e)), 60, seed), "attention", 0))
        assert found.matched is not None
        low += (found.matched.p or 1) < 0.05
    assert low <= 7


def test_curves_and_areas_are_those_of_the_removed_effects() -> None:
    effects = np.array([4.0, 1.0, 2.0, 3.0])
    curves = additive(effects, effects)
    one = Subject("a", "a", np.full(4, 9), effects, dict.fromkeys(SIGNALS, effects), dict.fromkeys(SIGNALS, curves), {})
    found = attention_of(judge_signals([one], "attention", 0))
    # removed, the largest first: 0, 4, 7, 9, 10
    assert found.deletion_area.value == pytest.approx((4 + 7 + 9) / 3)
    assert found.insertion_area.value == pytest.approx((6 + 3 + 1) / 3)
    assert found.deletion[0] == 0
    assert found.deletion[5] == pytest.approx(7.0)
    assert found.deletion[10] == pytest.approx(10)
    assert found.named.value == 4.0
    assert found.others.value == 2.0
    assert found.top_shared == 1.0


def test_only_signals_that_are_no_baselines_are_adjusted_for() -> None:
    tests = judge_signals(subjects(lambda e, rng: e + rng.random(len(e))), "attention", 0)
    by_name = {test.name: test for test in tests}
    assert list(by_name) == ["attention", "leave_one_out", "last", "random"]
    raw = [by_name[name].last.p for name in ("attention", "leave_one_out")]  # type: ignore[union-attr]
    adjusted = [by_name[name].last.p_holm for name in ("attention", "leave_one_out")]  # type: ignore[union-attr]
    assert max(adjusted) == pytest.approx(max(max(raw), 2 * min(raw)))  # type: ignore[type-var]
    assert by_name["random"].last is not None
    assert by_name["random"].last.p_holm is None
    assert by_name["last"].last is None


def test_a_signal_that_is_not_to_be_had_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="expected the signal 'rollout' of every trajectory, got attention"):
        judge_signals(subjects(lambda e, rng: e, 4), "rollout", 0)
    with pytest.raises(ValueError, match="got none"):
        judge_signals([], "attention", 0)


def test_the_count_of_needed_families_grows_with_the_square_of_the_spread() -> None:
    narrow, wide = families_needed(np.array([1.0, 2.0, 3.0])), families_needed(np.array([-2.0, 2.0, 6.0]))
    assert narrow is not None
    assert wide is not None
    assert wide == math.ceil(16 * 3.0577)
