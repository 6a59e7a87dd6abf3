"""The rollout engine's smaller parts: seeds, watched calls, progress, failure counts."""

from __future__ import annotations

import io
import signal
import threading
import time
from functools import partial

import pytest
from rich.console import Console

from sage_gym.errors import DeadlineError, InfrastructureError, TooManyFailuresError
from sage_gym.rollout.deadlines import Call, WatchedCalls
from sage_gym.rollout.failures import FailureTally, describe
from sage_gym.rollout.progress import BarProgress, Counts, LineProgress, progress_for
from sage_gym.rollout.seeds import derive_seed, episode_seed, turn_seed
from sage_gym.types import StopReason, Trajectory
from tests.trajectories import make_trajectory, make_turn


def test_seeds_are_the_same_on_every_machine_and_in_every_version() -> None:
    assert episode_seed(0, 0, "webshop/synthetic/00042", 0) == SEED
    assert turn_seed(SEED, 3) == TURN_SEED


SEED = 1981169390255031653
TURN_SEED = 2467019984207458801


def test_seeds_differ_in_each_of_their_parts_and_fit_int64() -> None:
    seeds = {
        episode_seed(run, round, f"task/{task}", attempt)
        for run in range(4)
        for round in range(4)
        for task in range(20)
        for attempt in range(4)
    }
    assert len(seeds) == 4 * 4 * 20 * 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len({turn_seed(seed, turn) for seed in seeds for turn in range(3)}) == 3 * len(seeds)


def test_seeds_keep_their_parts_apart() -> None:
    assert len({derive_seed("a", "bc"), derive_seed("ab", "c"), derive_seed("abc"), derive_seed("a:bc")}) == 4
    assert derive_seed("1") != derive_seed(1)


def test_calls_come_back_in_order_with_values_and_exceptions() -> None:
    def fail() -> None:
        raise KeyError("x")

    calls = WatchedCalls("test")
    outcomes = calls.run([Call(lambda: 1), Call(fail), Call(lambda: 3)], 5.0)
    assert [outcome.value for outcome in outcomes] == [1, None, 3]
    assert isinstance(outcomes[1].error, KeyError)
    assert calls.run([], 5.0) == []
    calls.close()


def test_quick_calls_all_run_in_one_thread() -> None:
    calls = WatchedCalls("test")
    threads = {o.value for _ in range(20) for o in calls.run([Call(threading.get_ident)] * 10, 5.0)}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}
    calls.close()


def test_many_calls_that_hang_wait_side_by_side_and_the_rest_get_done() -> None:
    hold = threading.Event()
    late: list[int] = []
    stuck = [Call(partial(hold.wait, 30), on_late=partial(late.append, i)) for i in range(6)]
    calls = WatchedCalls("shop", patience_s=0.05)
    started_s = time.monotonic()
    outcomes = calls.run([*stuck, Call(lambda: True)], 0.5)
    assert time.monotonic() - started_s < 2.5
    assert [outcome.is_abandoned for outcome in outcomes] == [True] * 6 + [False]
    assert outcomes[-1].value is True
    assert isinstance(outcomes[0].error, DeadlineError)
    assert str(outcomes[0].error) == "expected an answer from shop within 0.5 s, got none"
    assert not calls.has_settled(0.05)
    assert late == []
    hold.set()
    assert calls.has_settled(5.0)
    assert sorted(late) == list(range(6))
    calls.close()


def test_a_slow_call_that_makes_its_deadline_counts() -> None:
    calls = WatchedCalls("test", patience_s=0.02)
    outcomes = calls.run([Call(partial(time.sleep, 0.15)), *[Call(lambda: 1)] * 3], 5.0)
    assert [outcome.error for outcome in outcomes] == [None] * 4
    assert outcomes[0].elapsed_s >= 0.15
    assert [outcome.value for outcome in calls.run([Call(lambda: 2)] * 3, 5.0)] == [2] * 3
    calls.close()


def test_a_call_that_exits_does_not_take_the_watch_with_it() -> None:
    calls = WatchedCalls("test")
    [outcome] = calls.run([Call(partial(exit, 3))], 5.0)
    assert isinstance(outcome.error, SystemExit)
    assert calls.run([Call(lambda: 1)], 5.0)[0].value == 1
    calls.close()


def test_the_keyboard_interrupts_a_wait() -> None:
    hold = threading.Event()
    calls = WatchedCalls("test")
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    started_s = time.monotonic()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            calls.run([Call(partial(hold.wait, 30))], 20.0)
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - started_s < 5
    hold.set()
    calls.close()


def test_a_failure_says_whose_it_was_and_where() -> None:
    def caught(error: Exception) -> Exception:
        try:
            raise error
        except type(error) as raised:
            return raised

    assert describe(caught(KeyError("x")), "policy").where == "policy"
    assert describe(caught(InfrastructureError("gone")), "environment").where == "sandbox"
    assert describe(caught(InfrastructureError("gone")), "policy").where == "policy"
    assert describe(caught(DeadlineError("late")), "environment").where == "deadline"
    failure = describe(caught(ValueError("bad " * 9999)), "environment", attempts=2)
    assert (failure.where, failure.error, failure.attempts) == ("environment", "ValueError", 2)
    assert failure.message.startswith("bad bad")
    assert len(failure.message) < 2200
    assert "(at test_rollout_parts.py:" in failure.message
    assert failure.message.endswith("in caught)")


def lost(key: str) -> Trajectory:
    return make_trajectory(key, success=False, stop=StopReason.INFRASTRUCTURE)


def test_failures_are_judged_from_the_tenth_episode_on() -> None:
    tally = FailureTally(0.1)
    tally.add([lost("shop/7"), *[make_trajectory() for _ in range(8)]])
    tally.add([make_trajectory()])
    with pytest.raises(TooManyFailuresError, match=r"got 2 of 11 \(18%\); first cause, in sandbox, task shop/7"):
        tally.add([lost("shop/8")])


def test_no_failure_is_allowed_where_the_share_is_zero() -> None:
    tally = FailureTally(0.0)
    tally.add([make_trajectory() for _ in range(50)])
    with pytest.raises(TooManyFailuresError):
        tally.add([lost("shop/1")])


def test_progress_gives_counts_beside_rates_and_leaves_lost_episodes_out_of_them() -> None:
    counts = Counts(20)
    turns = [make_turn(is_invalid=True), make_turn(), make_turn(), make_turn()]
    counts.add(make_trajectory(turns=turns))
    counts.add(make_trajectory(success=False, turns=turns))
    counts.add(make_trajectory(success=False, turns=turns, stop=StopReason.INFRASTRUCTURE))
    counts.add(make_trajectory(success=False, turns=turns, stop=StopReason.MAX_TURNS))
    assert counts.line(2.0) == ("success 1/3 (33.3%), invalid 25.0% of 12 turns, lost 1, 2.0 episodes/s, 0:08 left")
    assert Counts(5).line(0.0) == "starting"


def test_a_log_gets_a_line_now_and_then_and_one_at_the_end() -> None:
    stream = io.StringIO()
    progress = LineProgress("collect", stream, every_s=3600)
    progress.begin(3)
    for _ in range(3):
        progress.advance(make_trajectory())
    assert stream.getvalue() == ""
    progress.end()
    assert stream.getvalue().startswith("collect: 3/3 episodes, success 3/3 (100.0%)")

    eager = LineProgress("collect", stream, every_s=0)
    eager.begin(3)
    eager.advance(make_trajectory())
    assert "collect: 1/3 episodes, success 1/1 (100.0%)" in stream.getvalue()


def test_a_terminal_gets_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(progress_for("collect", Terminal()), BarProgress)
    assert isinstance(progress_for("collect", io.StringIO()), LineProgress)
    stream = Terminal()
    bar = BarProgress("collect", Console(file=stream, width=120, force_terminal=True))
    for _ in range(2):
        bar.begin(4)
        bar.advance(make_trajectory())
        bar.advance(make_trajectory(success=False))
        bar.end()
    assert "2/4" in stream.getvalue()
    assert "success 1/2 (50.0%)" in stream.getvalue()
