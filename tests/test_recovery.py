"""Forced mistakes: where they are put, that they carry no loss, how recovery is measured; and the pilot's two arms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from policies.amplified import Amplified
from sage_gym.config.sections import Rollout
from sage_gym.distill.arena import Arena
from sage_gym.distill.piloting import run_pilot
from sage_gym.distill.rows import rows_of
from sage_gym.evaluation.pilot import PilotSettings
from sage_gym.evaluation.recovery import measure_recovery
from sage_gym.rollout import (
    BorrowedActions,
    ReplayedChoices,
    Request,
    collect,
    forced_mistakes,
    read_trajectories,
    recorded_candidates,
    recovery_requests,
)
from sage_gym.types import (
    Budget,
    Candidate,
    Choice,
    Context,
    Decision,
    Ledger,
    Origin,
    StopReason,
    Trajectory,
    Turn,
    View,
)
from tests.scripted_rollouts import CountingEnv, ScriptedPolicy, count_well, requests, tasks
from tests.trajectories import make_trajectory, make_turn

BUDGET = Budget(max_turns=10, turn_tokens=8, episode_tokens=99, wall_clock_s=60.0)


class StumblingEnv(CountingEnv):
    """`wait` and `jump` are open as well, and lead nowhere."""

    def view(self) -> View:
        view = super().view()
        return replace(view, choices=(*view.choices, Choice("wait", "nothing"), Choice("jump", "nothing")))


def count_by_seed(context: Context) -> Decision:
    """Count to the goal, the ledger a function of the seed, having weighed what the environment does not know."""
    decision = count_well(context)
    ledger = Ledger((1, len(context.turns)), (context.seed % 97,), (-0.5,), (True,))
    return replace(decision, ledger=ledger, candidates=(Candidate(decision.action), Candidate("stumble")))


def play(policy: Any, wanted: Sequence[Request], **settings: Any) -> list[Trajectory]:
    chunks = collect(StumblingEnv, policy, wanted, budget=BUDGET, deadlines=None, **settings)
    return [trajectory for chunk in chunks for trajectory in chunk]


def timeless(turns: Sequence[Turn]) -> list[Turn]:
    return [replace(turn, elapsed_s=0.0) for turn in turns]


def test_a_recovery_trace_is_the_episode_as_it_was_up_to_the_forced_mistake() -> None:
    policy = ScriptedPolicy(count_by_seed)
    good = play(policy, requests(20))
    wanted = recovery_requests(good, seed=3)
    assert len(wanted) == 20
    recovered = play(policy, wanted)
    for before, request, after in zip(good, wanted, recovered, strict=True):
        [mistake] = request.prefix
        assert (request.task, request.seed, request.expert_from) == (before.task, before.seed, None)
        assert after.id == f"{before.id}/recovery"
        assert timeless(after.turns[: mistake.turn]) == timeless(before.turns[: mistake.turn])
        turn = after.turns[mistake.turn]
        assert (turn.decision.action, turn.decision.origin) == ("stumble", Origin.INJECTED)
        assert turn.is_invalid
        assert after.success
        assert after.is_intervened
    assert len({request.prefix[0].turn for request in wanted}) > 3


def test_the_forced_mistake_carries_no_loss_and_the_recovery_does() -> None:
    policy = ScriptedPolicy(count_by_seed)
    [wanted] = recovery_requests(play(policy, requests(5)[4:]), seed=0)
    [recovered] = play(policy, [wanted])
    at = wanted.prefix[0].turn
    trained = [int(turn) for row in rows_of(recovered) for turn in row.turn_N]
    assert trained == [turn for turn in range(len(recovered.turns)) if turn != at]
    injected = recovered.turns[at]
    spelled = Ledger((5,), (6, 7), (-1.0, -1.0), (True, True))
    turns = list(recovered.turns)
    turns[at] = replace(injected, decision=replace(injected.decision, ledger=spelled))
    rows = list(rows_of(replace(recovered, turns=tuple(turns))))
    assert [int(turn) for row in rows for turn in row.turn_N] == trained
    assert sum(6 in row.ids_T and 7 in row.ids_T for row in rows) == 1


def test_the_mistake_is_drawn_by_the_seed_and_by_nothing_else() -> None:
    good = play(ScriptedPolicy(count_by_seed), requests(20))

    def drawn(seed: int, among: Sequence[Trajectory]) -> dict[str, Any]:
        return {request.task.key: request.prefix for request in recovery_requests(among, seed=seed)}

    assert drawn(1, good) == drawn(1, good[::-1])
    assert drawn(1, good[:4]) == {t.task.key: drawn(1, good)[t.task.key] for t in good[:4]}
    assert drawn(1, good) != drawn(2, good)
    alike = [drawn(1, good)[f"count/{number:03d}"] for number in (4, 9, 14, 19)]
    assert len({prefix[0].turn for prefix in alike}) > 1


def weighed(*alternatives: str, own: str = "click[buy]") -> Any:
    turn = make_turn(own)
    candidates = tuple(Candidate(action) for action in (own, *alternatives))
    return replace(turn, decision=replace(turn.decision, candidates=candidates))


def test_what_the_episode_takes_elsewhere_and_unfinished_text_are_no_mistakes() -> None:
    turns = (weighed("click[buy]", "search[]", own="click[red]"), weighed("click[red]", ""))
    assert recovery_requests([make_trajectory(turns=turns)], seed=0) == []
    turns = (turns[0], weighed("click[red]", "click[back]"))
    [request] = recovery_requests([make_trajectory(turns=turns)], seed=0)
    assert [(forced.turn, forced.action) for forced in request.prefix] == [(1, "click[back]")]


def test_only_successes_of_the_policys_own_are_played_again() -> None:
    turns = (weighed("click[back]"),)
    left_out = [
        make_trajectory("a", success=False, turns=turns),
        make_trajectory("b", success=False, turns=turns, stop=StopReason.INFRASTRUCTURE),
        replace(make_trajectory("c", turns=turns), hints=("do better",)),
        make_trajectory("d", turns=(*turns, make_turn(origin=Origin.INJECTED))),
        make_trajectory("e", turns=(make_turn(),)),
    ]
    assert recovery_requests(left_out, seed=0) == []
    assert len(recovery_requests([make_trajectory("f", turns=turns)], seed=0)) == 1


def test_replayed_choices_are_those_that_the_view_showed_at_that_turn() -> None:
    resets = []

    class Numbered(CountingEnv):
        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            resets.append((seed, options))
            return super().reset(seed=seed, options=options)

        def view(self) -> View:
            return View("counter", "", (Choice("add", ""), Choice(f"wait {self.count}", "")))

    [good] = play(ScriptedPolicy(count_by_seed), requests(5)[4:])
    environment = Numbered()
    choices = ReplayedChoices(environment)
    assert [choices(good, turn) for turn in range(6)] == [("add", f"wait {turn}") for turn in range(6)]
    assert resets == [(good.seed, {"task": good.task.key})]
    for seed in range(8):
        [request] = recovery_requests([good], seed=seed, alternatives=choices)
        [mistake] = request.prefix
        assert mistake.action == f"wait {mistake.turn}"


def test_every_open_choice_may_become_the_mistake() -> None:
    good = play(ScriptedPolicy(count_by_seed), requests(30))
    wanted = recovery_requests(good, seed=0, alternatives=ReplayedChoices(StumblingEnv()))
    assert {request.prefix[0].action for request in wanted} == {"wait", "jump"}


class Expert:
    def __init__(self, environment: Any) -> None:
        self.environment = environment.unwrapped

    def action(self) -> str:
        return "add" if self.environment.count < self.environment.goal else "stop"


def test_the_expert_can_recover_in_the_policys_place() -> None:
    policy = ScriptedPolicy(count_by_seed)
    good = play(policy, requests(5)[4:])
    [request] = recovery_requests(good, seed=0, recovers=Origin.EXPERT)
    [recovered] = play(policy, [request], make_expert=Expert)
    at = request.prefix[0].turn
    assert recovered.success
    assert {turn.decision.origin for turn in recovered.turns[at + 1 :]} == {Origin.EXPERT}
    with pytest.raises(ValueError, match="expected the policy or the expert to recover, got 'teacher'"):
        recovery_requests(good, seed=0, recovers=Origin.TEACHER)


def test_forced_mistakes_put_any_policy_in_the_same_state_once_a_task() -> None:
    good = play(ScriptedPolicy(count_by_seed), requests(6, attempts=2))
    wanted = forced_mistakes(good, seed=1)
    assert [(request.task, request.attempt) for request in wanted] == [(task, 0) for task in tasks(6)]
    never = play(ScriptedPolicy(lambda context: replace(count_well(context), action="jump")), wanted)
    well = play(ScriptedPolicy(count_well), wanted)
    for request, one, other in zip(wanted, never, well, strict=True):
        forced = len(request.prefix)
        assert [injection.turn for injection in request.prefix] == list(range(forced))
        assert request.prefix[-1].action == "stumble"
        assert timeless(one.turns[:forced]) == timeless(other.turns[:forced])
        assert one.turns[forced].observation == other.turns[forced].observation
    assert [t.success for t in never] == [False] * 6
    assert [t.success for t in well] == [True] * 6


def test_recovery_is_measured_where_the_mistake_was_reached() -> None:
    def after(key: str, turns: int, **outcome: Any) -> Trajectory:
        injected = make_turn(origin=Origin.INJECTED)
        return make_trajectory(key, turns=(make_turn(), injected, injected, *[make_turn()] * turns), **outcome)

    played = [
        after("a", 2),
        after("b", 4),
        after("c", 1, success=False),
        after("d", 3, success=False, stop=StopReason.MAX_TURNS),
        make_trajectory("e"),
        after("f", 0, success=False, stop=StopReason.INFRASTRUCTURE),
    ]
    report = measure_recovery(played)
    assert report.metrics.success is not None
    assert (report.metrics.success.value, report.metrics.episodes, report.metrics.infrastructure) == (0.5, 4, 1)
    assert (report.unreached, report.turns_to_recover) == (1, 3.0)
    assert report.numbers()["recovery/success"] == 0.5
    assert report.numbers()["recovery/turns_to_recover"] == 3.0
    assert report.numbers()["recovery/turns"] == 5.5
    hopeless = measure_recovery(played[2:4])
    assert hopeless.turns_to_recover is None
    assert hopeless.metrics.success is not None
    assert hopeless.metrics.success.value == 0.0


def test_recorded_candidates_are_those_of_the_turn() -> None:
    trajectory = make_trajectory(turns=(weighed("a"), weighed("b")))
    assert recorded_candidates(trajectory, 1) == ["click[buy]", "b"]


def test_an_arena_plays_requests_on_record(tmp_path: Path) -> None:
    policy = ScriptedPolicy(count_by_seed)
    good = an_arena().play(policy, tasks(8), tmp_path / "collect.jsonl", title="collect", round=1)
    wanted = recovery_requests(good, seed=0, recovers=Origin.EXPERT)

    def recover(policy: Any) -> list[Trajectory]:
        journal = tmp_path / "recovery.jsonl"
        return an_arena().play_requests(policy, wanted, journal, title="", round=1, make_expert=Expert)

    played = recover(policy)
    assert [(t.id, t.seed) for t in played] == [(f"{t.id}/recovery", t.seed) for t in good]
    assert all(t.success for t in played)
    assert recover(Broken()) == played


# The pilot


def stop_by_lot(context: Context) -> Decision:
    """Count well, but stop too early by lot; the forecast knows."""
    right = count_well(context)
    is_wrong = Random(context.seed).random() < 0.3
    action = "stop" if is_wrong else right.action
    return replace(right, action=action, p_fail=0.9 if action != right.action else 0.1)


def perverse(context: Context) -> Decision:
    """The same with a forecast that has it the wrong way round."""
    decision = stop_by_lot(context)
    return replace(decision, p_fail=1.0 - (decision.p_fail or 0.0))


class Broken:
    name = "broken"

    def act(self, contexts: Sequence[Context]) -> list[Decision]:
        raise AssertionError("what is on record was played again")

    def release(self, episodes: Iterable[str]) -> None:
        pass


def an_arena() -> Arena:
    return Arena(StumblingEnv, Rollout(concurrency=16, max_turns=10), 0, has_progress=False)


def amplified(decide: Any) -> Amplified:
    return Amplified(ScriptedPolicy(decide), candidates=3, tau=0.5, replans=1, untouched_share=0.0)


def test_the_pilot_switches_replanning_on_where_it_rescues(tmp_path: Path) -> None:
    pilot = run_pilot(an_arena(), ScriptedPolicy(stop_by_lot), amplified(stop_by_lot), tasks(40), tmp_path, round=2)
    plain, intervening = (
        [t for chunk in read_trajectories(tmp_path / f"pilot-{arm}.jsonl") for t in chunk]
        for arm in ("plain", "amplified")
    )
    assert [(t.task, t.seed, t.id) for t in plain] == [(t.task, t.seed, t.id) for t in intervening]
    assert {t.round for t in plain} == {2}
    rescued = sum(b.success and not a.success for a, b in zip(plain, intervening, strict=True))
    assert pilot.rescued == rescued > 10
    assert (pilot.disrupted, pilot.tasks) == (0, 40)
    assert pilot.intervened == sum(t.is_intervened for t in intervening) > 10
    assert pilot.replanning


def test_the_pilot_leaves_replanning_off_where_it_disrupts(tmp_path: Path) -> None:
    pilot = run_pilot(an_arena(), ScriptedPolicy(perverse), amplified(perverse), tasks(40), tmp_path, round=1)
    assert pilot.disrupted > pilot.rescued
    assert not pilot.replanning


def test_a_pilot_on_record_is_not_played_again_and_a_killed_one_goes_on(tmp_path: Path) -> None:
    first = run_pilot(an_arena(), ScriptedPolicy(stop_by_lot), amplified(stop_by_lot), tasks(40), tmp_path, round=1)
    assert run_pilot(an_arena(), Broken(), Broken(), tasks(40), tmp_path, round=1) == first
    (tmp_path / "pilot-amplified.jsonl").unlink()
    assert run_pilot(an_arena(), Broken(), amplified(stop_by_lot), tasks(40), tmp_path, round=1) == first


def test_the_pilots_settings_decide(tmp_path: Path) -> None:
    generous = PilotSettings(margin=1.0)
    pilot = run_pilot(
        an_arena(), ScriptedPolicy(perverse), amplified(perverse), tasks(20), tmp_path, round=1, settings=generous
    )
    assert pilot.replanning


def test_actions_are_borrowed_at_the_same_turn_from_other_tasks_and_never_what_ended_an_episode() -> None:
    first = make_trajectory("a/0", actions=["find x", "send x", "done"])
    again = make_trajectory("a/0", actions=["look x", "done"], attempt=1)
    other = make_trajectory("a/1", actions=["find y", "send y", "done"])
    wrong = make_trajectory("a/2", turns=[make_turn("nonsense", is_invalid=True), make_turn("done")])
    borrowed = BorrowedActions([first, again, other, wrong])
    assert borrowed(first, 0) == ["find y"]
    assert borrowed(other, 0) == ["find x", "look x"]
    assert borrowed(first, 1) == ["send y"]
    assert borrowed(first, 2) == borrowed(other, 2) == []


def test_a_mistake_may_be_forced_at_a_given_turn() -> None:
    good = [make_trajectory(f"a/{i}", actions=["one", "two", "three"][: i + 1]) for i in range(3)]
    wanted = forced_mistakes(good, seed=0, alternatives=lambda t, turn: ["other"], turn=1)
    assert [request.task.key for request in wanted] == ["a/1", "a/2"]
    for request in wanted:
        assert [(forced.turn, forced.action) for forced in request.prefix] == [(0, "one"), (1, "other")]
