from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sage_gym.distill.returns import (
    ReturnSettings,
    examples_for_distillation,
    examples_for_gradient,
    returns_of,
)
from sage_gym.types import StopReason, Trajectory
from tests.trajectories import make_trajectory, make_turn


def group_of(*rewards: float, task: str = "shop/0", turns: int = 1) -> list[Trajectory]:
    """Episodes of a task; a reward of 1 is a success."""
    return [
        make_trajectory(task, success=r == 1.0, reward=r, attempt=i, turns=[make_turn() for _ in range(turns)])
        for i, r in enumerate(rewards)
    ]


def forecasting(*p_fails: float, success: bool = True) -> Trajectory:
    return make_trajectory("shop/f", success=success, turns=[make_turn(p_fail_before=p) for p in p_fails])


def test_the_return_mixes_reward_and_success_by_their_shares() -> None:
    found = group_of(1.0, 0.4)
    assert returns_of(found, ReturnSettings(success_share=0.25)).returns_B.tolist() == pytest.approx([1.0, 0.3])
    assert returns_of(found, ReturnSettings(success_share=1.0)).returns_B.tolist() == [1.0, 0.0]


def test_a_truncated_episode_has_not_succeeded_whatever_it_says() -> None:
    cut = make_trajectory(success=True, reward=0.4, stop=StopReason.MAX_TURNS)
    assert returns_of([cut], ReturnSettings(success_share=0.5)).returns_B.tolist() == pytest.approx([0.2])


def test_the_group_baseline_is_the_mean_of_the_tasks_other_episodes() -> None:
    found = [*group_of(1.0, 0.0, 0.5), *group_of(0.25, task="shop/1")]
    baselines = returns_of(found, ReturnSettings(success_share=0.0)).baselines_BK
    assert [float(b[0]) for b in baselines] == pytest.approx([0.25, 0.75, 0.5, 0.0])


def test_the_forecast_baseline_is_v_of_the_first_prompt_and_the_turn_baseline_each_prompts_own() -> None:
    found = [forecasting(0.25, 0.5), forecasting(0.75)]
    first = returns_of(found, ReturnSettings(baseline="forecast")).baselines_BK
    own = returns_of(found, ReturnSettings(baseline="turn")).baselines_BK
    assert [b.tolist() for b in first] == [[0.75, 0.75], [0.25]]
    assert [b.tolist() for b in own] == [[0.75, 0.5], [0.25]]
    assert [b.tolist() for b in returns_of(found, ReturnSettings(baseline="none")).baselines_BK] == [[0, 0], [0]]


@pytest.mark.parametrize("baseline", ["forecast", "turn"])
def test_a_baseline_from_forecasts_needs_one_on_every_decision(baseline: str) -> None:
    with pytest.raises(ValueError, match=r"shop/0#0: a baseline from forecasts needs p_fail_before on every decision"):
        returns_of(group_of(1.0), ReturnSettings(baseline=baseline))


def test_ics_is_added_by_its_weight_and_counts_nothing_where_it_is_unknown() -> None:
    found = group_of(1.0, 1.0)
    returns = returns_of(found, ReturnSettings(eta_ics=0.5), {found[0].id: 0.8})
    assert returns.returns_B.tolist() == pytest.approx([1.4, 1.0])


@pytest.mark.parametrize("baseline", ["forecast", "turn"])
def test_a_forecast_knows_nothing_of_ics_so_the_mean_of_the_tasks_others_covers_that_part(baseline: str) -> None:
    found = [replace(forecasting(0.25, 0.5), id=name) for name in "abc"]
    returns = returns_of(found, ReturnSettings(eta_ics=0.5, baseline=baseline), {"a": 0.4, "b": 0.8, "c": 0.0})
    own = [0.75, 0.5 if baseline == "turn" else 0.75]
    for added, base_K in zip((0.2, 0.1, 0.3), returns.baselines_BK, strict=True):
        assert base_K.tolist() == pytest.approx([value + added for value in own])


def test_a_turn_in_which_nothing_could_be_sampled_needs_no_forecast() -> None:
    spent = make_turn()
    spent = replace(spent, decision=replace(spent.decision, ledger=None))
    [base_K] = returns_of(
        [make_trajectory(turns=[make_turn(p_fail_before=0.25), spent])], ReturnSettings(baseline="turn")
    ).baselines_BK
    assert base_K.tolist() == [0.75, 0.0]


def test_advantages_are_divided_by_one_number_so_that_their_proportions_stay() -> None:
    found = [*group_of(1.0, 0.0), *group_of(0.5, 0.4, task="shop/1")]
    examples = examples_for_gradient(found, returns_of(found, ReturnSettings(success_share=0.0)))
    first = [float(e.advantage_N[0]) for e in examples if e.advantage_N is not None]
    raw = np.array([1.0, -1.0, 0.1, -0.1])
    assert first == pytest.approx(list(raw / raw.std()))


def test_every_sampled_token_has_its_own_turns_advantage() -> None:
    turns = [make_turn(logprobs=(-0.5, -0.5), p_fail_before=0.5), make_turn(logprobs=(-0.5,), p_fail_before=0.75)]
    found = [make_trajectory("shop/f", success=True, turns=turns)]
    returns = returns_of(found, ReturnSettings(baseline="turn"))
    examples = examples_for_gradient(found, returns)
    assert [e.row.turn_N.tolist() for e in examples] == [[0, 0], [1]]
    scaled = [(e.advantage_N * returns.scale).tolist() for e in examples]  # type: ignore[operator]
    assert scaled == [pytest.approx([0.5, 0.5]), pytest.approx([0.75])]


def test_episodes_without_advantage_train_the_forecast_alone() -> None:
    found = [*group_of(1.0, 1.0), *group_of(1.0, 0.0, task="shop/1")]
    examples = examples_for_gradient(found, returns_of(found, ReturnSettings()))
    assert [e.weight for e in examples] == [0.0, 0.0, 1.0, 1.0]
    assert [e.failed for e in examples] == [0.0, 0.0, 0.0, 1.0]


def test_equal_returns_everywhere_divide_by_one() -> None:
    assert returns_of(group_of(1.0, 1.0), ReturnSettings()).scale == 1.0


def test_an_episode_counts_once_in_the_forecast_however_many_rows_it_has() -> None:
    found = group_of(1.0, turns=4)
    for examples in (
        examples_for_distillation(found, {}),
        examples_for_gradient(found, returns_of(found, ReturnSettings())),
    ):
        assert len(examples) == 4
        assert sum(e.forecast_weight for e in examples) == pytest.approx(1.0)


def test_distillation_weighs_what_was_selected_and_keeps_the_rest_for_the_forecast() -> None:
    kept, dropped = group_of(1.0, 0.0)
    examples = examples_for_distillation([kept, dropped], {kept.id: 2.5})
    assert [(e.weight, e.failed, e.advantage_N) for e in examples] == [(2.5, 0.0, None), (0.0, 1.0, None)]
