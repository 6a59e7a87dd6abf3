"""Collecting episodes: stop reasons, failures, deadlines, determinism."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from sage_gym.errors import DeadlineError, InfrastructureError, TooManyFailuresError
from sage_gym.rollout import Deadlines, Injection, LocalExecutor, Request, collect
from sage_gym.rollout.collection import ChunkPlayer
from sage_gym.rollout.pool import Seat
from sage_gym.types import Budget, Context, Decision, Origin, StopReason, Trajectory
from tests.scripted_rollouts import (
    CountingEnv,
    ScriptedPolicy,
    count_by_lot,
    count_well,
    ledger_of,
    never_stop,
    requests,
)

BUDGET = Budget(max_turns=12)


def play(
    wanted: Sequence[Request],
    decide: Callable[[Context], Decision] = count_well,
    make: Callable[[], CountingEnv] = CountingEnv,
    **settings: Any,
) -> list[Trajectory]:
    chunks = collect(make, ScriptedPolicy(decide), wanted, **{"budget": BUDGET, **settings})
    return [trajectory for chunk in chunks for trajectory in chunk]


def plain(trajectory: Trajectory) -> Trajectory:
    """Leave out what a clock wrote."""
    turns = tuple(replace(turn, elapsed_s=0.0) for turn in trajectory.turns)
    return replace(trajectory, turns=turns, elapsed_s=0.0)


def making(trouble: Callable[[str, int], Any], **settings: Any) -> Callable[[], CountingEnv]:
    return partial(CountingEnv, trouble, **settings)


class Once:
    """Does something at the first call for a key and turn, nothing afterwards."""

    def __init__(self, keys: Sequence[str], turn: int, what: Callable[[], Any]) -> None:
        self.left, self.turn, self.what = set(keys), turn, what

    def __call__(self, key: str, turn: int) -> Any:
        if turn == self.turn and key in self.left:
            self.left.remove(key)
            return self.what()
        return None


def breaking(message: str = "the shelf fell down") -> Any:
    raise RuntimeError(message)


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
