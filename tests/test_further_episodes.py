"""Second attempts and recovery traces in the round loop: who makes them, who trains on them, who must not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sage_gym.config.sections import Distil
from sage_gym.distill.hints import has_own_end, is_on_policy
from sage_gym.distill.returns import examples_for_distillation
from sage_gym.distill.stages import distil, make_optimizer
from sage_gym.errors import SageGymError
from sage_gym.evaluation.manifest import read_rounds
from sage_gym.rollout import Injection, collect, read_trajectories
from sage_gym.selection import SelectionSettings, select, task_forecasts
from sage_gym.selection.settings import Outcome
from sage_gym.types import Budget, Decision, Origin, Trajectory, Turn
from tests.nano_toys import play, tiny_student
from tests.scripted_rollouts import CountingEnv, ScriptedPolicy, count_well, requests
from tests.scripted_student import Doors, KnockableDoors, ListTracker, ScriptedLoop, scripted_loop
from tests.trajectories import make_group, make_trajectory, make_turn

HALF = {0: 0.5, 1: 0.5}
STAGES = {"distil": ["distil", "reinforce"], "reinforce": ["reinforce"]}


def a_loop(folder: Path, stages: str = "distil", doors: type[Doors] = Doors, **settings: Any) -> ScriptedLoop:
    """A student that opens half of the doors, and every one when it is given a hint."""
    options = {key: settings.pop(key) for key in ("tracker",) if key in settings}
    rollout = {"tasks_per_round": 20, "group_size": 2, "max_turns": 4, **settings}
    sections = {"rounds": {"count": 1, "stages": STAGES[stages]}, "rollout": rollout}
    return scripted_loop(folder, HALF, settings=sections, make_environment=doors, heeds_hints=True, **options)


def recorded(loop: ScriptedLoop, name: str) -> list[Trajectory]:
    return [t for chunk in read_trajectories(loop.folder / "rounds" / "001" / f"{name}.jsonl") for t in chunk]


def test_every_failure_is_tried_again_with_a_critique_that_training_and_the_gradient_do_not_mistake(
    tmp_path: Path,
) -> None:
    loop = a_loop(tmp_path, second_attempts=1.0)
    loop.run()
    first, second = recorded(loop, "collect"), recorded(loop, "reflection")
    assert 0 < len(second) < len(first)
    assert {t.id for t in second} == {f"{t.id}/reflection-1" for t in first if not t.success}
    assert all("It ended with: wait." in t.hints[0] for t in second)
    assert all(t.success for t in second)
    [material] = loop.materials
    assert [t.id for t in material.collected] == [t.id for t in (*first, *second)]
    assert [t.id for t in material.collected if is_on_policy(t)] == [t.id for t in first]
    assert material.selection is not None
    assert {t.id for t in second} <= material.selection.verdict_of().keys()
    manifest = read_rounds(loop.folder)[1]
    assert manifest.collected is not None
    assert manifest.collected.episodes == len(first)
    assert manifest.metrics["reflection/episodes"] == len(second)
    assert manifest.metrics["reflection/success"] == 1.0


def test_every_success_is_played_again_with_a_mistake_that_the_gradient_does_not_see(tmp_path: Path) -> None:
    loop = a_loop(tmp_path, doors=KnockableDoors, recovery_traces=1.0)
    loop.run()
    first, traces = recorded(loop, "collect"), recorded(loop, "recovery")
    assert {t.id for t in traces} == {f"{t.id}/recovery" for t in first if t.success}
    assert {tuple(turn.decision.action for turn in t.turns) for t in traces} == {("knock", "open")}
    assert {t.turns[0].decision.origin for t in traces} == {Origin.INJECTED}
    [material] = loop.materials
    assert [t.id for t in material.collected if is_on_policy(t)] == [t.id for t in first]
    metrics = read_rounds(loop.folder)[1].metrics
    assert (metrics["recovery/success"], metrics["recovery/turns_to_recover"]) == (1.0, 1.0)


def test_where_the_environment_lists_no_choices_the_policys_own_alternatives_are_the_mistakes(tmp_path: Path) -> None:
    loop = a_loop(tmp_path, recovery_traces=1.0)
    loop.run()
    assert recorded(loop, "recovery") == []  # the scripted student weighs no alternatives


def test_the_share_is_drawn_by_lot_and_the_same_each_time(tmp_path: Path) -> None:
    drawn = []
    for name in ("a", "b"):
        loop = a_loop(tmp_path / name, second_attempts=0.5)
        loop.run()
        drawn.append([t.id for t in recorded(loop, "reflection")])
    failures = sum(not t.success for t in recorded(loop, "collect"))
    assert 0 < len(drawn[0]) < failures
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("stages", "shares"), [("reinforce", {"second_attempts": 1.0, "recovery_traces": 1.0}), ("distil", {})]
)
def test_nothing_further_is_played_unless_asked_for_and_distilled(
    tmp_path: Path, stages: str, shares: dict[str, float]
) -> None:
    loop = a_loop(tmp_path, stages=stages, doors=KnockableDoors, **shares)
    loop.run()
    assert sorted(path.name for path in (loop.folder / "rounds" / "001").glob("*.jsonl")) == [
        "collect.jsonl",
        "select.jsonl",
    ]
    assert not [name for name in read_rounds(loop.folder)[1].metrics if name.startswith(("reflection/", "recovery/"))]


def test_a_run_that_broke_off_after_them_reads_them_and_plays_none_again(tmp_path: Path) -> None:
    shares = {"second_attempts": 1.0, "recovery_traces": 1.0}
    whole = a_loop(tmp_path / "whole", doors=KnockableDoors, **shares)
    whole.run()
    with pytest.raises(SageGymError, match="killed"):
        a_loop(tmp_path / "broken", doors=KnockableDoors, tracker=ListTracker(fails_at=1), **shares).run()
    resumed = a_loop(tmp_path / "broken", doors=KnockableDoors, **shares)
    resumed.run()
    assert not [episode for _, _, episode in resumed.script.asked if "/train/" in episode]
    pairs = zip(read_rounds(whole.folder), read_rounds(resumed.folder), strict=True)
    assert all(a.comparable() == b.comparable() for a, b in pairs)


def test_a_mistake_that_was_never_reached_still_marks_its_episode() -> None:
    wanted = replace(requests(1)[0], prefix=(Injection(7, "jump"),))
    [[played]] = collect(CountingEnv, ScriptedPolicy(count_well), [wanted], budget=Budget(), deadlines=None)
    assert all(turn.decision.origin is Origin.POLICY for turn in played.turns)
    assert not is_on_policy(played)


def test_forecasts_do_not_learn_from_an_end_that_something_unseen_brought_about() -> None:
    plain, injected = make_trajectory("a"), make_trajectory("b", turns=(make_turn(origin=Origin.INJECTED), make_turn()))
    assert has_own_end(plain)
    assert not has_own_end(injected)
    assert not has_own_end(replace(plain, hints=("better",)))
    amplified = replace(plain.turns[0], decision=replace(plain.turns[0].decision, replans=1))
    assert has_own_end(replace(plain, turns=(amplified,), is_intervened=True))
    examples = examples_for_distillation([plain, injected], {plain.id: 1.0, injected.id: 2.0})
    assert [(e.row.trajectory, e.weight, e.forecast_weight) for e in examples] == [
        (plain.id, 1.0, 1.0),
        (injected.id, 2.0, 0.0),
        (injected.id, 2.0, 0.0),
    ]
    assert [e.row.trajectory for e in examples_for_distillation([plain, injected], {})] == [plain.id]


def test_a_tasks_forecast_is_that_without_hints() -> None:
    plain = make_trajectory("a", turns=(make_turn(p_fail_before=0.75),))
    hinted = replace(make_trajectory("a", turns=(make_turn(p_fail_before=0.25),), attempt=1), hints=("better",))
    assert task_forecasts([plain, hinted]) == {"a": 0.75}


def test_recovery_traces_and_second_attempts_are_distilled_with_every_loss() -> None:
    torch.set_num_threads(1)
    student = tiny_student()
    plain, *others = play(student, episodes=3)
    trace = replace(others[0], turns=(*others[0].turns[:2], _forced(others[0].turns[2]), *_anew(others[0].turns[3:])))
    hinted = replace(others[1], hints=("better",), turns=tuple(_noted(turn) for turn in others[1].turns))
    groups = [make_group(plain), make_group(trace), make_group(hinted)]
    selection = select(groups, {}, SelectionSettings(outcome=Outcome(r_min=0.0), near_duplicates=None))
    assert len(selection.kept()) == 3
    before = {name: tensor.clone() for name, tensor in student.model.state_dict().items()}
    collected = [plain, trace, hinted]
    settings = Distil(empty_trace_share=0.0, learning_rate=1e-3)
    result = distil(student, collected, selection, settings, make_optimizer(student, learning_rate=1e-3), seed=0)
    assert {"distil/loss", "distil/kl", "distil/forecast", "distil/inverse"} <= result.metrics.keys()
    assert all(math.isfinite(value) for value in result.metrics.values())
    assert not torch.equal(student.model.state_dict()["lm_head.weight"], before["lm_head.weight"])


def _forced(turn: Turn) -> Turn:
    return replace(turn, decision=Decision("wrong", "wrong", origin=Origin.INJECTED))


def _anew(turns: Sequence[Turn]) -> list[Turn]:
    """What follows a turn without a ledger begins a sequence."""
    first = turns[0].decision
    assert first.ledger is not None
    begun = replace(turns[0], decision=replace(first, ledger=replace(first.ledger, is_continuation=False)))
    return [begun, *turns[1:]]


def _noted(turn: Turn) -> Turn:
    assert turn.decision.ledger is not None
    notes = {"prompt_ids_without_hints": list(turn.decision.ledger.prompt_ids)}
    return replace(turn, decision=replace(turn.decision, notes=notes))
