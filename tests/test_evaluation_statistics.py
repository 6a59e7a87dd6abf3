"""Statistics of an evaluation against closed forms, statsmodels, enumeration, and by how often intervals hold."""

from __future__ import annotations

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from sage_gym.evaluation.intervals import cluster_bootstrap, cluster_mean, cluster_share, percentiles, wilson
from sage_gym.evaluation.passes import pass_all, pass_any, pass_rates
from sage_gym.evaluation.power import FEWEST_DISCORDANT, mcnemar_power, pairs_needed
from sage_gym.evaluation.significance import compare, holm, mcnemar_p, pair
from sage_gym.types import StopReason
from tests.trajectories import make_task, make_trajectory


def test_a_hundred_random_tables_agree_with_statsmodels() -> None:
    generator = np.random.default_rng(0)
    ours = []
    for both, gained, lost, neither in generator.integers(0, 60, size=(100, 4)):
        theirs = min(1.0, mcnemar([[both, lost], [gained, neither]], exact=True).pvalue)
        ours.append(mcnemar_p(int(gained), int(lost)))
        assert ours[-1] == pytest.approx(theirs, abs=1e-12)
        n = int(both + gained + lost + neither)
        found = wilson(int(both + gained), n)
        assert found is not None
        expected = proportion_confint(both + gained, n, method="wilson")
        assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)
    adjusted = holm({str(index): p for index, p in enumerate(ours)})
    assert list(adjusted.values()) == pytest.approx(multipletests(ours, method="holm")[1])
    by_hand, most = {}, 0.0
    for rank, index in enumerate(np.argsort(ours, kind="stable")):
        most = max(most, min(1.0, (100 - rank) * ours[index]))
        by_hand[str(index)] = most
    assert adjusted == pytest.approx(by_hand)


def test_the_paired_test_counts_a_table_as_it_was_made() -> None:
    generator = np.random.default_rng(1)
    for table in generator.integers(0, 12, size=(20, 4)):
        outcomes = [cell for cell, n in zip(product((True, False), repeat=2), table, strict=True) for _ in range(n)]
        if not outcomes:
            continue
        a, b = ([make_trajectory(f"shop/{i}", success=o[side]) for i, o in enumerate(outcomes)] for side in (0, 1))
        found = compare("a", "b", pair(a, b))
        assert [found.both, found.lost, found.gained, found.neither] == table.tolist()
        assert found.success_difference.value == pytest.approx((table[2] - table[1]) / table.sum())


def test_passes_agree_with_enumeration_of_every_draw() -> None:
    for n in range(1, 7):
        for c in range(n + 1):
            attempts = [True] * c + [False] * (n - c)
            for k in range(1, n + 1):
                draws = list(combinations(attempts, k))
                assert pass_any(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))
                assert pass_all(n, c, k) == pytest.approx(sum(map(all, draws)) / len(draws))


@pytest.mark.parametrize(("n", "k", "p"), [(5, 2, 0.3), (8, 4, 0.6), (3, 3, 0.5), (6, 1, 0.9)])
def test_passes_are_unbiased(n: int, k: int, p: float) -> None:
    weights = binom.pmf(range(n + 1), n, p)
    assert sum(w * pass_any(n, c, k) for c, w in enumerate(weights)) == pytest.approx(1 - (1 - p) ** k)
    assert sum(w * pass_all(n, c, k) for c, w in enumerate(weights)) == pytest.approx(p**k)
    if 1 < k < n:
        plugged_in = sum(w * (1 - (1 - c / n) ** k) for c, w in enumerate(weights))
        assert plugged_in < 1 - (1 - p) ** k - 0.01


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, 1, 0), (3, 1, 4), (3, -1, 1)])
def test_counts_that_do_not_fit_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="expected 0 <= successes <= attempts"):
        pass_any(n, c, k)
    with pytest.raises(ValueError, match="expected 0 <= successes <= attempts"):
        pass_all(n, c, k)


def attempts(key: str, outcomes: str, family: str = "") -> list:
    """One episode an attempt: `1` succeeded, `0` failed, `x` lost to infrastructure."""
    stops = {"x": StopReason.INFRASTRUCTURE}
    return [
        make_trajectory(
            make_task(key, family=family), success=o == "1", attempt=i, stop=stops.get(o, StopReason.TERMINATED)
        )
        for i, o in enumerate(outcomes)
    ]


def test_an_attempt_that_infrastructure_took_is_no_attempt() -> None:
    rates = pass_rates([*attempts("shop/0", "110"), *attempts("shop/1", "0x1"), *attempts("shop/2", "xxx")])
    assert [(rate.k, rate.tasks, rate.left_out) for rate in rates] == [(1, 2, 1), (2, 2, 1), (3, 1, 2)]
    assert rates[0].any.value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert rates[0].all.value == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert rates[1].any.value == pytest.approx(1.0)
    assert rates[1].all.value == pytest.approx((1 / 3 + 0.0) / 2)
    assert rates[2].all.value == 0.0


def test_of_many_attempts_powers_of_two_and_the_last_are_shown() -> None:
    assert [rate.k for rate in pass_rates(attempts("shop/0", "10" * 10))] == [1, 2, 4, 8, 16, 20]
    assert pass_rates(attempts("shop/0", "x")) == ()


def test_power_agrees_with_enumeration_of_every_table() -> None:
    n, gained, lost = 12, 0.5, 0.1
    total = 0.0
    for up in range(n + 1):
        for down in range(n + 1 - up):
            likely = comb(n, up) * comb(n - up, down) * gained**up * lost**down * (1 - gained - lost) ** (n - up - down)
            total += likely * (mcnemar_p(up, down) <= 0.05)
    assert mcnemar_power(n, gained, lost) == pytest.approx(total, abs=1e-8)
    assert mcnemar_power(n, 0.0, 0.0) == 0.0


def test_fewer_than_six_pairs_that_differ_can_show_nothing() -> None:
    assert mcnemar_p(FEWEST_DISCORDANT - 1, 0) > 0.05 > mcnemar_p(FEWEST_DISCORDANT, 0)


@pytest.mark.parametrize(("gained", "lost", "n"), [(12, 4, 100), (3, 0, 50), (5, 20, 200)])
def test_the_pairs_needed_are_the_fewest_that_show_the_difference_four_times_in_five(
    gained: int, lost: int, n: int
) -> None:
    needed = pairs_needed(gained, lost, n)
    assert needed is not None
    assert mcnemar_power(needed, gained / n, lost / n) >= 0.8 > mcnemar_power(needed - 1, gained / n, lost / n)
    # near Connor's approximation, (z_a sqrt(psi) + z_b sqrt(psi - d^2))^2 / d^2, which knows no exact test
    d, psi = abs(gained - lost) / n, (gained + lost) / n
    connor = (1.959964 * psi**0.5 + 0.841621 * (psi - d * d) ** 0.5) ** 2 / d**2
    assert connor <= needed <= connor + 3 / d


def test_no_number_of_pairs_shows_no_difference() -> None:
    assert pairs_needed(4, 4, 50) is None
    assert pairs_needed(0, 0, 50) is None
    with pytest.raises(ValueError, match=r"expected gained \+ lost <= n"):
        pairs_needed(3, 3, 5)


@pytest.mark.parametrize(("n", "p"), [(200, 0.5), (200, 0.3), (500, 0.1), (1000, 0.85)])
def test_wilson_holds_the_truth_95_times_in_100(n: int, p: float) -> None:
    counts = np.random.default_rng(0).binomial(n, p, size=5000)
    bounds = {int(k): wilson(int(k), n) for k in np.unique(counts)}
    held = np.mean([bounds[int(k)].low <= p <= bounds[int(k)].high for k in counts])  # type: ignore[union-attr]
    assert 0.93 <= held <= 0.97


def clustered(generator: np.random.Generator, kind: str, clusters: int) -> tuple[list[float], list[str], float]:
    """Values of tasks in families of one to five, with what their mean is in truth."""
    sizes = generator.integers(1, 6, size=clusters)
    families = np.repeat(np.arange(clusters), sizes)
    if kind == "success":
        skill = np.repeat(generator.beta(2.4, 1.6, size=clusters), sizes)  # 0.6, correlation 0.2
        values, truth = (generator.random(len(families)) < skill).astype(float), 0.6
    elif kind == "score":
        skill = np.repeat(generator.beta(1.8, 1.2, size=clusters), sizes)
        partial = generator.beta(2, 2, size=len(families))
        values, truth = np.where(generator.random(len(families)) < skill, 1.0, partial), 0.8
    else:
        draw, scale = generator.random(len(families)), np.repeat(2 * generator.random(clusters), sizes)
        values, truth = np.where(draw < 0.12 * scale, 1.0, np.where(draw > 1 - 0.05 * scale, -1.0, 0.0)), 0.07
    return values.tolist(), [str(family) for family in families], truth


@pytest.mark.parametrize("clusters", [50, 100])
@pytest.mark.parametrize("kind", ["success", "score", "difference"])
def test_the_bootstrap_by_family_holds_the_truth_95_times_in_100(kind: str, clusters: int) -> None:
    generator = np.random.default_rng(clusters)
    held = []
    for simulation in range(5000):
        values, families, truth = clustered(generator, kind, clusters)
        found = cluster_mean(values, families, seed=simulation, resamples=400)
        assert found is not None
        held.append(found.low <= truth <= found.high)
    assert 0.93 <= np.mean(held) <= 0.97


def test_percentiles_are_expanded_as_by_students_distribution() -> None:
    draws = np.linspace(0.0, 1.0, 100_001)
    # Phi(-sqrt(10/9) 2.262) = 0.0086
    assert percentiles(draws, 10)[0] == pytest.approx(0.0086, abs=2e-4)
    assert percentiles(draws, 100_000) == pytest.approx((0.025, 0.975), abs=1e-4)
    assert percentiles(draws, 1) == pytest.approx((0.025, 0.975), abs=1e-4)


def test_equal_outcomes_are_not_called_certain() -> None:
    families = [str(i // 3) for i in range(30)]
    for value, expected in ((0.0, wilson(0, 10)), (1.0, wilson(10, 10))):
        found = cluster_share([value] * 30, families, seed=0)
        assert found is not None
        assert expected is not None
        assert (found.value, found.low, found.high, found.n) == (value, expected.low, expected.high, 30)
    mixed, half = [0.0, 1.0] * 15, [0.5] * 30
    assert cluster_share(mixed, families, seed=0) == cluster_mean(mixed, families, seed=0)
    assert cluster_share(half, families, seed=0) == cluster_mean(half, families, seed=0)
    assert cluster_share([], [], seed=0) is None
    none = [make_trajectory(make_task(f"shop/{i}", family=families[i]), success=i % 2 == 0) for i in range(30)]
    same = compare("a", "b", pair(none, none)).success_difference
    assert (same.low, same.high) == pytest.approx((-0.2775, 0.2775), abs=1e-4)  # z^2 / (10 + z^2), z = 1.96


def test_a_statistic_of_weights_is_bootstrapped_as_the_mean_is() -> None:
    generator = np.random.default_rng(3)
    values, families = generator.random(60), [str(i // 2) for i in range(60)]
    found = cluster_bootstrap(lambda w: float((w * values).sum() / w.sum()), families, seed=5, resamples=2000)
    expected = cluster_mean(values.tolist(), families, seed=5, resamples=2000)
    assert found is not None
    assert expected is not None
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert found.method == expected.method == "bootstrap of 30 clusters"
