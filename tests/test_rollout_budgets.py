"""How an episode ends: its goal, its budgets, the environment's own end."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sage_gym.rollout import collect
from sage_gym.types import Budget, Context, Decision, StopReason
from tests.scripted_rollouts import (
    BUDGET,
    CountingEnv,
    Once,
    ScriptedPolicy,
    count_well,
    ledger_of,
    making,
    never_stop,
    play,
    requests,
)


def test_an_episode_that_reaches_its_goal_is_a_success_with_the_environments_reward() -> None:
    [trajectory] = play(requests(1))
    assert trajectory.stop_reason is StopReason.TERMINATED
    assert trajectory.success
    assert trajectory.reward == 1.0
    assert [turn.decision.action for turn in trajectory.turns] == ["add", "stop"]
    assert [turn.observation for turn in trajectory.turns] == ["0 of 1", "1 of 1"]
    assert trajectory.final_observation == "1 of 1"
    assert trajectory.id == "r0/count/000#0"
    assert trajectory.token_count == 6
    assert not trajectory.is_intervened
    assert trajectory.failure is None


def test_an_episode_that_ends_elsewhere_is_no_success() -> None:
    [trajectory] = play(requests(1), lambda context: Decision("stop", "stop"))
    assert trajectory.stop_reason is StopReason.TERMINATED
    assert not trajectory.success
    assert trajectory.reward == 0.0


def test_a_policy_that_never_ends_stops_at_the_turn_limit_and_counts_as_not_succeeded() -> None:
    [trajectory] = play(requests(1), never_stop, budget=Budget(max_turns=4))
    assert trajectory.stop_reason is StopReason.MAX_TURNS
    assert len(trajectory.turns) == 4
    assert not trajectory.success


def test_a_goal_reached_on_the_last_turn_of_the_budget_counts() -> None:
    [trajectory] = play(requests(1), budget=Budget(max_turns=2))
    assert trajectory.stop_reason is StopReason.TERMINATED
    assert trajectory.success


def test_an_environments_own_truncation_is_no_success_even_when_it_claims_one() -> None:
    def truncated(text: str, info: dict[str, Any]) -> Any:
        return text, 0.25, False, True, {**info, "success": True}

    [trajectory] = play(requests(1), make=making(Once(["count/000"], 1, lambda: truncated)))
    assert trajectory.stop_reason is StopReason.MAX_TURNS
    assert not trajectory.success
    assert trajectory.reward == 0.25


def test_an_environment_may_name_the_budget_that_it_ran_out_of() -> None:
    def truncated(text: str, info: dict[str, Any]) -> Any:
        return text, 0.0, False, True, {**info, "stop_reason": "wall_clock"}

    [trajectory] = play(requests(1), make=making(Once(["count/000"], 0, lambda: truncated)))
    assert trajectory.stop_reason is StopReason.WALL_CLOCK


@pytest.mark.parametrize("stop", [StopReason.TURN_TOKENS, StopReason.EPISODE_TOKENS])
def test_a_decision_cut_off_by_a_token_budget_is_recorded_but_not_executed(stop: StopReason) -> None:
    def decide(context: Context) -> Decision:
        return Decision("stop", "stop", stop=stop) if context.turns else never_stop(context)

    [trajectory] = play(requests(1), decide)
    assert trajectory.stop_reason is stop
    assert [turn.decision.action for turn in trajectory.turns] == ["add", "stop"]
    assert trajectory.final_observation == "1 of 1"
    assert not trajectory.success


def test_a_policy_that_samples_past_its_turn_is_stopped() -> None:
    [trajectory] = play(requests(1), budget=Budget(turn_tokens=2))
    assert trajectory.stop_reason is StopReason.TURN_TOKENS
    assert len(trajectory.turns) == 1


def test_tokens_of_an_episode_add_up_to_a_limit_of_their_own() -> None:
    policy = ScriptedPolicy(never_stop)
    [[trajectory]] = collect(CountingEnv, policy, requests(1), budget=Budget(turn_tokens=5, episode_tokens=9))
    assert trajectory.stop_reason is StopReason.EPISODE_TOKENS
    assert len(trajectory.turns) == 3
    assert [context.episode_tokens_left for context in policy.contexts] == [9, 6, 3]
    assert {context.turn_tokens for context in policy.contexts} == {5}


def test_a_decision_that_overdraws_the_episodes_tokens_is_not_executed() -> None:
    budget = Budget(turn_tokens=100, episode_tokens=50)
    [trajectory] = play(requests(1), lambda context: Decision("", "add", ledger=ledger_of(80)), budget=budget)
    assert trajectory.stop_reason is StopReason.EPISODE_TOKENS
    assert trajectory.final_observation == "0 of 1"


def test_a_policy_that_names_a_stop_which_is_no_budget_has_failed() -> None:
    [trajectory] = play(requests(1), lambda context: Decision("", "add", stop=StopReason.TERMINATED))
    assert trajectory.failure is not None
    assert trajectory.failure.where == "policy"
    assert "expected Decision.stop to name a budget or be None, got 'terminated'" in trajectory.failure.message


def test_time_is_a_budget_of_its_own() -> None:
    def decide(context: Context) -> Decision:
        time.sleep(0.3)
        return never_stop(context)

    [trajectory] = play(requests(1), decide, budget=Budget(wall_clock_s=0.5))
    assert trajectory.stop_reason is StopReason.WALL_CLOCK
    assert trajectory.elapsed_s > 0.5
    assert len(trajectory.turns) == 2


def test_the_policy_sees_what_the_environment_offers() -> None:
    policy = ScriptedPolicy(count_well)
    list(collect(CountingEnv, policy, requests(1), budget=BUDGET))
    first, second = policy.contexts
    assert first.admissible_actions == ("add", "stop")
    assert first.view is not None
    assert first.view.news == "at 0"
    assert second.turns[0].decision.action == "add"
    assert first.seed != second.seed
    assert first.episode == second.episode
    assert policy.released == [first.episode]
