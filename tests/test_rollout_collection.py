"""Collecting episodes: order, determinism, injections, executors, progress."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest

from sage_gym.rollout import Injection, LocalExecutor, collect
from sage_gym.rollout.collection import ChunkPlayer
from sage_gym.rollout.pool import Seat
from sage_gym.types import Decision, Origin, StopReason, Trajectory
from tests.scripted_rollouts import (
    BUDGET,
    CountingEnv,
    Once,
    ScriptedPolicy,
    breaking,
    count_by_lot,
    count_well,
    ledger_of,
    making,
    never_stop,
    plain,
    play,
    requests,
)


def test_decisions_of_a_turn_are_asked_for_together_and_finished_episodes_drop_out() -> None:
    policy = ScriptedPolicy(count_well)
    chunks = list(collect(CountingEnv, policy, requests(4), budget=BUDGET, concurrency=3))
    keys = [f"count/{i:03d}" for i in range(4)]
    assert [len(chunk) for chunk in chunks] == [3, 1]
    assert policy.batches[:4] == [keys[:3], keys[:3], keys[1:3], keys[2:3]]
    assert policy.batches[4] == keys[3:]


def test_environments_are_made_once_for_a_seat_and_closed_at_the_end() -> None:
    CountingEnv.made = CountingEnv.closed = 0
    play(requests(12), concurrency=3)
    assert (CountingEnv.made, CountingEnv.closed) == (3, 3)


def test_environments_are_closed_when_the_caller_stops_early() -> None:
    CountingEnv.made = CountingEnv.closed = 0
    chunks = collect(CountingEnv, ScriptedPolicy(count_well), requests(12), budget=BUDGET, concurrency=3)
    next(chunks)
    chunks.close()
    assert (CountingEnv.made, CountingEnv.closed) == (3, 3)


def test_the_same_requests_give_the_same_trajectories_whatever_the_concurrency() -> None:
    wanted = requests(20, attempts=2)
    runs = [list(map(plain, play(wanted, count_by_lot, concurrency=concurrency))) for concurrency in (1, 7, 64, 64)]
    assert runs[0] == runs[1] == runs[2] == runs[3]
    assert len({trajectory.seed for trajectory in runs[0]}) == 40


def test_another_run_seed_gives_other_trajectories() -> None:
    first, second = (play(requests(5, run_seed=seed), count_by_lot) for seed in (0, 1))
    assert [t.turns[0].decision.p_fail for t in first] != [t.turns[0].decision.p_fail for t in second]


def test_what_is_left_after_any_chunk_can_be_played_later_with_the_same_result() -> None:
    wanted = requests(10)
    whole = play(wanted, count_by_lot, concurrency=4)
    rest = play(wanted[4:], count_by_lot, concurrency=4)
    assert list(map(plain, whole[4:])) == list(map(plain, rest))


def test_an_injected_action_is_marked_and_what_comes_before_it_is_unchanged() -> None:
    [request] = requests(5)[4:]
    [plain_run] = play([request])
    [injected] = play([replace(request, prefix=(Injection(2, "stumble"),), label="recovery")])
    assert injected.turns[2].decision.origin is Origin.INJECTED
    assert injected.turns[2].decision.ledger is None
    assert injected.turns[2].is_invalid
    assert injected.is_intervened
    assert injected.id == "r0/count/004#0/recovery"
    assert [t.decision for t in injected.turns[:2]] == [t.decision for t in plain_run.turns[:2]]
    assert injected.success


def test_an_expert_takes_over_where_it_is_asked_to() -> None:
    made = []

    class Expert:
        def __init__(self, environment: Any) -> None:
            self.environment = environment.unwrapped
            made.append(self)

        def action(self) -> str:
            return "add" if self.environment.count < self.environment.goal else "stop"

    [request] = requests(3)[2:]
    request = replace(request, prefix=(Injection(0, "stumble"),), expert_from=2)
    policy = ScriptedPolicy(never_stop)
    [[trajectory]] = collect(CountingEnv, policy, [request], budget=BUDGET, make_expert=Expert)
    assert [turn.decision.origin.value for turn in trajectory.turns] == ["injected", "policy", *["expert"] * 3]
    assert trajectory.success
    assert len(policy.contexts) == 1
    list(collect(CountingEnv, policy, [request, replace(request, label="again")], budget=BUDGET, concurrency=1,
                 make_expert=Expert))  # fmt: skip
    assert len(made) == 3


def test_an_expert_that_nobody_gave_is_said_to_be_missing() -> None:
    [trajectory] = play([replace(requests(1)[0], expert_from=0)])
    assert trajectory.failure is not None
    assert "give collect() one" in trajectory.failure.message


def test_information_is_kept_as_far_as_json_can_hold_it() -> None:
    extra = {"parts": {"type": 1.0}, "clickables": ["a", "b"], "handle": object()}
    [trajectory] = play(requests(1), make=making(lambda key, turn: None, extra=extra))
    assert trajectory.turns[0].info == {"count": 1, "parts": {"type": 1.0}}
    assert trajectory.info == {"count": 1, "parts": {"type": 1.0}, "clickables": ["a", "b"], "left_out": ["handle"]}


def test_a_request_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'r0/count/000#0' twice; give one of the requests a label"):
        play([*requests(1), *requests(1)])


def test_a_player_can_be_sent_to_another_process() -> None:
    player = ChunkPlayer(CountingEnv, ScriptedPolicy(count_well), budget=BUDGET, on_finish=print)
    twin = pickle.loads(pickle.dumps(player))
    trajectories = twin(requests(3))
    twin.close()
    assert all(t.success for t in trajectories)


class Elsewhere(LocalExecutor):
    """Sends the player away, as a cluster would."""

    def map(self, function: Any, items: Any) -> Any:
        for item in items:
            twin = pickle.loads(pickle.dumps(function))
            yield twin(item)
            twin.close()


def test_an_executor_that_plays_elsewhere_gives_the_same() -> None:
    here = play(requests(10), count_by_lot, concurrency=4)
    there = play(requests(10), count_by_lot, concurrency=4, executor=Elsewhere())
    assert list(map(plain, here)) == list(map(plain, there))


class Heard:
    """Progress that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def begin(self, total: int) -> None:
        self.told.append(total)

    def advance(self, trajectory: Trajectory) -> None:
        self.told.append(trajectory.id)

    def end(self) -> None:
        self.told.append("end")


@pytest.mark.parametrize("executor", [None, Elsewhere()])
def test_progress_hears_of_each_episode_once(executor: LocalExecutor | None) -> None:
    heard = Heard()
    trouble = making(Once(["count/002"], 0, breaking)) if executor is None else CountingEnv
    play(requests(5), make=trouble, concurrency=3, progress=heard, executor=executor)
    assert heard.told[0] == 5
    assert sorted(heard.told[1:-1]) == [f"r0/count/{i:03d}#0" for i in range(5)]
    assert heard.told[-1] == "end"


def test_a_seat_closes_its_environment_once() -> None:
    CountingEnv.closed = 0
    seat = Seat(CountingEnv, None)
    seat.reset(requests(1)[0])
    seat.close()
    seat.close()
    assert CountingEnv.closed == 1


def test_a_ledger_longer_than_the_turn_is_the_ledger_that_is_recorded() -> None:
    [trajectory] = play(requests(1), lambda context: Decision("", "add", ledger=ledger_of(80)))
    assert trajectory.token_count == 80
    assert trajectory.stop_reason is StopReason.TURN_TOKENS
