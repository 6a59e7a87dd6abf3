"""Environments and policies that fail in the middle of an episode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sage_gym.errors import InfrastructureError, TooManyFailuresError
from sage_gym.rollout import collect
from sage_gym.types import Context, Decision, StopReason
from tests.scripted_rollouts import (
    BUDGET,
    CountingEnv,
    Once,
    ScriptedPolicy,
    breaking,
    count_by_lot,
    count_well,
    making,
    plain,
    play,
    requests,
)


def test_an_environment_that_raises_once_is_played_again_whole_and_the_failure_is_on_record() -> None:
    CountingEnv.made = CountingEnv.closed = 0
    trouble = Once(["count/002"], 0, breaking)
    undisturbed = list(map(plain, play(requests(5), count_by_lot)))
    disturbed = list(map(plain, play(requests(5), count_by_lot, making(trouble))))
    assert not trouble.left
    failure = disturbed[2].failure
    assert failure is not None
    assert (failure.where, failure.error, failure.attempts) == ("environment", "RuntimeError", 1)
    assert "the shelf fell down (at " in failure.message
    assert replace(disturbed[2], failure=None) == undisturbed[2]
    assert [disturbed[i] for i in (0, 1, 3, 4)] == [undisturbed[i] for i in (0, 1, 3, 4)]
    assert CountingEnv.made == CountingEnv.closed == 11


def test_an_environment_that_raises_again_is_infrastructure_and_the_run_goes_on() -> None:
    def trouble(key: str, turn: int) -> None:
        if key == "count/002" and turn == 1:
            raise InfrastructureError("the container is gone")

    trajectories = play(requests(5), make=making(trouble))
    assert [t.stop_reason for t in trajectories].count(StopReason.TERMINATED) == 4
    lost = trajectories[2]
    assert lost.is_infrastructure
    assert not lost.success
    assert lost.failure is not None
    assert (lost.failure.where, lost.failure.attempts) == ("sandbox", 2)
    assert [turn.decision.action for turn in lost.turns] == ["add"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (("text", float("nan"), True, False, {"success": True}), "sum into [0, 1], got nan"),
        (("text", 1.5, True, False, {"success": True}), "sum into [0, 1], got 1.5"),
        (("text", 0.5, True, False, {"score": 1}), "expected info['success'] when an episode ends, got ['score']"),
        ((3, 0.5, False, False, {}), "expected an observation of text, got int"),
        (("text", 0.0, False, True, {"stop_reason": "terminated"}), "stop_reason to be a budget"),
        (("text", 0.0, True, False, {"stop_reason": "infrastructure", "error": "no disk"}), "no disk"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_the_environments_failure(answer: Any, error: str) -> None:
    trouble = making(lambda key, turn: None if turn < 0 else lambda text, info: answer)
    [trajectory] = play(requests(1), make=trouble)
    assert trajectory.is_infrastructure
    assert trajectory.failure is not None
    assert trajectory.failure.where in ("environment", "sandbox")
    assert error in trajectory.failure.message


def test_an_environment_that_cannot_be_made_is_recorded() -> None:
    def make() -> CountingEnv:
        raise OSError("no such catalogue")

    [trajectory] = play(requests(1), make=make)
    assert trajectory.is_infrastructure
    assert trajectory.failure is not None
    assert trajectory.failure.error == "OSError"


def test_a_policy_that_raises_for_one_context_loses_that_episode_alone() -> None:
    def decide(context: Context) -> Decision:
        if context.task.key == "count/003" and len(context.turns) == 1:
            raise KeyError("no such token")
        return count_well(context)

    trajectories = play(requests(6), decide)
    assert [t.is_infrastructure for t in trajectories] == [i == 3 for i in range(6)]
    failure = trajectories[3].failure
    assert failure is not None
    assert (failure.where, failure.error, failure.attempts) == ("policy", "KeyError", 2)


def test_a_policy_forgets_what_it_kept_before_it_is_asked_again_one_by_one() -> None:
    class Choosy(ScriptedPolicy):
        def act(self, contexts: Sequence[Context]) -> list[Decision]:
            if len(contexts) > 1:
                raise MemoryError("too large a batch")
            return super().act(contexts)

    policy = Choosy(lambda context: Decision("stop", "stop"))
    [trajectories] = collect(CountingEnv, policy, requests(2), budget=BUDGET)
    assert [t.failure for t in trajectories] == [None, None]
    names = [f"{t.id}~1" for t in trajectories]
    assert policy.released == [*names, *names]


def test_a_lost_episode_has_no_reward_and_keeps_the_turns_that_were_played() -> None:
    def trouble(key: str, turn: int) -> Any:
        if turn == 1:
            breaking()
        return (lambda text, info: (text, 0.5, False, False, info)) if turn == 0 else None

    [trajectory] = play(requests(1), make=making(trouble))
    assert trajectory.reward == 0.0
    assert [turn.reward for turn in trajectory.turns] == [0.5]


def test_a_policy_that_answers_too_few_is_recorded_as_failing() -> None:
    class Short(ScriptedPolicy):
        def act(self, contexts: Sequence[Context]) -> list[Decision]:
            return []

    [[trajectory]] = collect(CountingEnv, Short(count_well), requests(1), budget=BUDGET)
    assert trajectory.failure is not None
    assert "expected 1 decisions of scripted, got 0" in trajectory.failure.message


def test_too_many_failures_stop_the_run_with_the_first_cause() -> None:
    def trouble(key: str, turn: int) -> None:
        if key in ("count/004", "count/011") and turn == 0:
            breaking(f"nothing left for {key}")

    chunks = collect(making(trouble), ScriptedPolicy(count_well), requests(20), budget=BUDGET, concurrency=5)
    assert len(next(chunks)) == 5
    assert len(next(chunks)) == 5
    with pytest.raises(TooManyFailuresError, match=r"at most 10% .* got 2 of 15 .* nothing left for count/004"):
        next(chunks)


def test_a_share_of_failures_within_the_limit_does_not_stop_the_run() -> None:
    def trouble(key: str, turn: int) -> None:
        if key == "count/004":
            breaking()

    trajectories = play(requests(20), make=making(trouble), concurrency=5)
    assert sum(t.is_infrastructure for t in trajectories) == 1
