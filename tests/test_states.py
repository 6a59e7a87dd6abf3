"""Baselines of shared states: by hand, and by what makes a baseline one (it knows nothing of the decision)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_gym.distill.returns import ReturnSettings, returns_of
from sage_gym.distill.states import states_of
from sage_gym.types import Trajectory
from tests.trajectories import make_task, make_trajectory, make_turn

SETTINGS = ReturnSettings(success_share=1.0, baseline="state")


def episode(number: int, *steps: tuple[str, str], success: bool, task: str = "shop/1") -> Trajectory:
    """Make an episode of (observation, action) steps."""
    turns = tuple(make_turn(action, observation=seen) for seen, action in steps)
    made = make_trajectory(make_task(task), success=success, turns=turns)
    return replace(made, id=f"{task}/{number}", attempt=number)


def baselines(*episodes: Trajectory) -> list[list[float]]:
    return [values.tolist() for values in returns_of(episodes, SETTINGS).baselines_BK]


def test_a_wrong_turn_is_charged_and_not_what_follows_it() -> None:
    """Three open product A and fail, one opens B and succeeds: by hand, one episode's worth of prior."""
    failed = [episode(i, ("list", "A"), ("page A", "buy"), success=False) for i in range(3)]
    found = baselines(*failed, episode(3, ("list", "B"), ("page B", "buy"), success=True))
    first, on_a = 1 / 3, (0 + 0 + 1 / 3) / (2 + 1)
    for values in found[:3]:
        assert values == pytest.approx([first, on_a])
    assert found[3] == pytest.approx([0.0, 0.0])  # nobody else came to B: what was known before


def test_states_differ_by_what_was_done_in_them_and_by_how_often_they_were_come_to() -> None:
    steps = [("item", "red"), ("item", "large"), ("item", "red"), ("list", "back"), ("item", "buy")]
    states = list(states_of(episode(0, *steps, success=True)))
    assert [(seen, visit, taken) for _, seen, visit, taken in states] == [
        ("item", 1, ()),
        ("item", 1, ("red",)),
        ("item", 1, ("large", "red")),
        ("list", 1, ()),
        ("item", 2, ()),
    ]


def test_the_order_in_which_options_were_chosen_does_not_matter_and_the_task_does() -> None:
    one = list(states_of(episode(0, ("item", "red"), ("item", "large"), ("item", "buy"), success=True)))
    other = list(states_of(episode(1, ("item", "large"), ("item", "red"), ("item", "buy"), success=True)))
    assert one[-1] == other[-1]
    assert one[1] != other[1]
    assert next(states_of(episode(0, ("item", "red"), success=True, task="shop/2"))) != one[0]


def test_an_episode_that_stays_in_a_state_counts_once_there() -> None:
    stays = episode(0, ("item", "red"), ("item", "red"), ("item", "red"), success=True)
    passes = episode(1, ("item", "red"), ("item", "red"), success=False)
    assert baselines(stays, passes)[1] == pytest.approx([1.0, (1.0 + 1.0) / 2])


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("ab")), min_size=1, max_size=5), st.booleans()
        ),
        min_size=2,
        max_size=6,
    ),
    st.data(),
)
def test_a_baseline_knows_neither_the_episodes_own_end_nor_what_it_did_later(
    drawn: Sequence[tuple[list[tuple[str, str]], bool]], data: st.DataObject
) -> None:
    """Whatever the first episode does from its decision t on, its baselines up to t stay."""
    episodes = [episode(i, *steps, success=success) for i, (steps, success) in enumerate(drawn)]
    before = baselines(*episodes)[0]
    at = data.draw(st.integers(0, len(drawn[0][0]) - 1))
    seen = drawn[0][0][at][0]
    other = episode(0, *drawn[0][0][:at], (seen, "another"), ("elsewhere", "b"), success=not drawn[0][1])
    np.testing.assert_allclose(baselines(other, *episodes[1:])[0][: at + 1], before[: at + 1], atol=1e-12)
