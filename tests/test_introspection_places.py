"""Flow beyond what is usual at a turn's place: by hand, and blind to the place itself."""

from __future__ import annotations

import numpy as np
import pytest

from sage_gym.evaluation.introspection.places import FEWEST, PlacedFlows, beyond_place


def episodes(
    count: int, turns: int = 3, scale: tuple[float, ...] = (1.0, 10.0, 100.0), seed: int = 0
) -> list[PlacedFlows]:
    rng = np.random.default_rng(seed)
    return [PlacedFlows(f"shop/{i}", np.array(scale[:turns]) * rng.lognormal(size=turns)) for i in range(count)]


def test_z_is_of_the_logarithm_against_other_tasks_turns_of_that_place() -> None:
    made = episodes(12)
    found = beyond_place(made)
    others = np.log([one.flow_N[1] for one in made[1:]])
    assert found[0][1] == pytest.approx((np.log(made[0].flow_N[1]) - others.mean()) / others.std(ddof=1))


def test_a_place_that_always_gets_much_is_not_named_for_it() -> None:
    found = np.array(beyond_place(episodes(300)))
    assert np.abs(found.mean(0)).max() < 0.02
    assert np.bincount(found.argmax(1)).min() > 70


def test_the_tasks_own_episodes_are_not_what_is_usual() -> None:
    made = episodes(FEWEST + 1)
    again = [PlacedFlows("shop/0", made[0].flow_N * factor) for factor in (5.0, 9.0)]
    np.testing.assert_allclose(beyond_place([*made, *again])[0], beyond_place(made)[0])


def test_others_count_as_much_as_those_that_are_asked_about() -> None:
    made = episodes(20)
    np.testing.assert_allclose(beyond_place(made[:1], made[1:])[0], beyond_place(made)[0])


def test_with_too_few_of_its_place_the_turn_is_held_against_those_as_far_from_the_first() -> None:
    made, longer = episodes(FEWEST), episodes(FEWEST - 1, 4, (1.0, 10.0, 100.0, 1000.0), seed=1)
    one = PlacedFlows("shop/new", np.array([2.0, 20.0, 200.0, 2000.0]))
    found = beyond_place([one], [*made, *longer])[0]
    second = np.log([each.flow_N[1] for each in (*made, *longer)])
    assert found[1] == pytest.approx((np.log(20.0) - second.mean()) / second.std(ddof=1))
    every = np.log([flow for each in (*made, *longer) for flow in each.flow_N])
    assert found[3] == pytest.approx((np.log(2000.0) - every.mean()) / every.std(ddof=1))


def test_where_nothing_is_usual_nothing_is_beyond_it() -> None:
    assert beyond_place(episodes(1))[0].tolist() == [0.0, 0.0, 0.0]
    same = [PlacedFlows(f"shop/{i}", np.ones(2)) for i in range(20)]
    assert beyond_place(same)[0].tolist() == [0.0, 0.0]
    silent = [PlacedFlows("shop/x", np.zeros(3)), *episodes(20)]
    assert np.isfinite(beyond_place(silent)[0]).all()
