"""Environments and policies that hang."""

from __future__ import annotations

import threading
import time
from functools import partial

import pytest

from sage_gym.errors import DeadlineError
from sage_gym.rollout import Deadlines, collect
from sage_gym.types import Context, Decision
from tests.scripted_rollouts import (
    BUDGET,
    CountingEnv,
    Once,
    ScriptedPolicy,
    count_well,
    making,
    play,
    requests,
)


def test_a_hung_environment_is_cut_at_its_deadline_and_its_neighbours_do_not_notice() -> None:
    CountingEnv.made = 0
    hold = threading.Event()
    trouble = Once(["count/001"], 1, partial(hold.wait, 30))
    started_s = time.monotonic()
    deadlines = Deadlines(reset_s=5, step_s=0.2, act_s=5, close_s=0.2)
    trajectories = play(requests(3), make=making(trouble), deadlines=deadlines)
    assert time.monotonic() - started_s < 5
    hold.set()
    assert CountingEnv.made == 4
    assert all(t.success for t in trajectories)
    assert [t.failure and t.failure.where for t in trajectories] == [None, "deadline", None]


def test_an_environment_that_always_hangs_becomes_infrastructure() -> None:
    hold = threading.Event()

    def trouble(key: str, turn: int) -> None:
        if key == "count/001" and turn < 0:
            hold.wait(30)

    trajectories = play(requests(3), make=making(trouble), deadlines=Deadlines(reset_s=0.2))
    hold.set()
    assert [t.is_infrastructure for t in trajectories] == [False, True, False]
    assert trajectories[1].failure is not None
    assert "within 0.2 s" in trajectories[1].failure.message


def test_an_endless_loop_in_python_is_ended_not_only_abandoned() -> None:
    threads: list[threading.Thread] = []

    def loop() -> None:
        threads.append(threading.current_thread())
        while True:
            pass

    [trajectory] = play(requests(1), make=making(Once(["count/000"], 0, loop)), deadlines=Deadlines(step_s=0.2))
    assert trajectory.success
    threads[0].join(5)
    assert not threads[0].is_alive()


def test_a_policy_that_hangs_once_costs_a_retry() -> None:
    calls = []

    def decide(context: Context) -> Decision:
        calls.append(context.episode)
        while len(calls) == 1:
            pass
        return count_well(context)

    trajectories = play(requests(2), decide, deadlines=Deadlines(act_s=0.3))
    assert all(t.success for t in trajectories)
    assert {t.failure.where for t in trajectories if t.failure} == {"deadline"}


def test_a_policy_that_cannot_be_interrupted_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sage_gym.rollout.lockstep.STUCK_POLICY_GRACE_S", 0.1)
    hold = threading.Event()

    def decide(context: Context) -> Decision:
        hold.wait(30)
        return count_well(context)

    with pytest.raises(DeadlineError, match=r"scripted did not answer within 0.2 s and cannot be interrupted"):
        play(requests(2), decide, deadlines=Deadlines(act_s=0.2))
    hold.set()


def test_without_deadlines_everything_runs_in_the_callers_thread() -> None:
    policy = ScriptedPolicy(count_well)
    list(collect(CountingEnv, policy, requests(3), budget=BUDGET, deadlines=None))
    assert policy.threads == {threading.get_ident()}
