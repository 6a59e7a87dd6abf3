"""Which trajectories are kept, with what weight and why."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sage_gym.selection import SelectionSettings, apply_critics, select, write_verdicts
from sage_gym.selection.settings import (
    BestOfGroup,
    Decontamination,
    NearDuplicates,
    Outcome,
    ScoreWeights,
    TaskWeights,
)
from sage_gym.types import Origin, Score, StopReason
from tests.trajectories import make_group, make_task, make_trajectory, make_turn

OFF = SelectionSettings(
    decontamination=None,
    outcome=None,
    near_duplicates=None,
    best_of_group=None,
    score_weights=None,
    task_weights=None,
    normalise=False,
)


def only(**rules):
    """Every rule off but these."""
    return OFF.model_copy(update=rules)


def scores_of(**columns):
    return {name: {key: Score(name, value) for key, value in column.items()} for name, column in columns.items()}


def kept_ids(selection):
    return [item.trajectory.id for item in selection.kept()]


class ScriptedCritic:
    def __init__(self, name, answer):
        self.name = name
        self._answer = answer

    def score(self, trajectories):
        return self._answer(trajectories)


def test_success_only_drops_failures_and_truncated_episodes_with_the_reason():
    truncated = make_trajectory("shop/2", success=True, stop=StopReason.MAX_TURNS)
    groups = [
        make_group(make_trajectory("shop/0")),
        make_group(make_trajectory("shop/1", success=False, reward=0.9)),
        make_group(truncated),
    ]
    selection = select(groups, {}, only(outcome=Outcome()))
    assert kept_ids(selection) == ["shop/0#0"]
    verdict = selection.verdict_of()["shop/2#0"]
    assert verdict.reasons[0].rule == "outcome"
    assert "max_turns" in verdict.reasons[0].detail
    assert verdict.weight == 0.0


def test_r_min_keeps_partial_credit():
    groups = [
        make_group(*(make_trajectory("shop/0", success=False, reward=r, attempt=i) for i, r in enumerate((0.2, 0.5))))
    ]
    assert kept_ids(select(groups, {}, only(outcome=Outcome(r_min=0.5)))) == ["shop/0#1"]


def test_infrastructure_failures_go_even_with_every_rule_off():
    lost = make_trajectory("shop/0", attempt=1, stop=StopReason.INFRASTRUCTURE)
    selection = select([make_group(make_trajectory("shop/0"), lost)], {}, OFF)
    assert kept_ids(selection) == ["shop/0#0"]
    assert selection.verdict_of()["shop/0#1"].reasons[0].detail == "the container is gone"


def test_injected_actions_carry_no_loss():
    turns = (make_turn("click[a]", origin=Origin.INJECTED), make_turn("click[b]"))
    selection = select([make_group(make_trajectory(turns=turns))], {}, SelectionSettings.yardstick())
    assert selection.kept()[0].turn_weights == (0.0, 1.0)


def test_best_of_group_goes_by_reward_then_critic_then_ics():
    group = make_group(
        make_trajectory("shop/0", reward=0.5, attempt=0),
        make_trajectory("shop/0", reward=1.0, attempt=1),
        make_trajectory("shop/0", reward=1.0, attempt=2),
        make_trajectory("shop/0", reward=1.0, attempt=3),
    )
    scores = scores_of(
        critic={"shop/0#0": 9.0, "shop/0#1": 0.1, "shop/0#2": 0.7, "shop/0#3": 0.7},
        ics={"shop/0#0": 9.0, "shop/0#1": 9.0, "shop/0#2": 0.2, "shop/0#3": 0.3},
    )
    selection = select([group], scores, only(best_of_group=BestOfGroup(keep=1)))
    assert kept_ids(selection) == ["shop/0#3"]
    assert selection.verdict_of()["shop/0#2"].reasons[0].detail.startswith("rank 2 of 4")
    assert kept_ids(select([group], scores, only(best_of_group=BestOfGroup(order=("ics",))))) == ["shop/0#0"]


def test_unscored_stands_at_the_mean_and_is_not_scored_zero():
    group = make_group(*(make_trajectory("shop/0", attempt=i) for i in range(3)))
    scores = scores_of(critic={"shop/0#0": -2.0, "shop/0#1": None, "shop/0#2": -4.0})
    selection = select([group], scores, only(best_of_group=BestOfGroup(keep=2)))
    assert kept_ids(selection) == ["shop/0#0", "shop/0#1"]


def test_missing_scores_are_named_in_the_table():
    selection = select([make_group(make_trajectory())], {}, only(best_of_group=BestOfGroup()))
    row = next(row for row in selection.rows if row.rule == "best_of_group")
    assert "critic, ics" in row.note


def test_score_weights_are_the_exponential_of_the_standardised_score_capped():
    group = make_group(*(make_trajectory("shop/0", attempt=i) for i in range(2)))
    scores = scores_of(critic={"shop/0#0": 1.0, "shop/0#1": 3.0})
    rule = ScoreWeights(temperature=0.5, cap=3.0, coefficients={"critic": 0.5})
    weights = [item.weight for item in select([group], scores, only(score_weights=rule)).kept()]
    # standardised to -1 and +1, times 0.5, over 0.5: e^-1 and e^1 > 2.7; the cap of 3 does not bite
    assert weights == pytest.approx([math.exp(-1), math.exp(1)])
    capped = only(score_weights=rule.model_copy(update={"cap": 2.0}))
    assert [item.weight for item in select([group], scores, capped).kept()] == pytest.approx([math.exp(-1), 2.0])


def test_task_weights_follow_the_mean_forecast_with_a_floor():
    def attempt(key, index, p):
        return make_trajectory(key, attempt=index, turns=(make_turn(p_fail_before=p), make_turn(p_fail_before=0.5)))

    groups = [
        make_group(attempt("shop/0", 0, 0.1), attempt("shop/0", 1, 0.3)),
        make_group(attempt("shop/1", 0, 1.0)),
        make_group(make_trajectory("shop/2")),
    ]
    selection = select(groups, {}, only(task_weights=TaskWeights(floor=0.1)))
    assert [item.weight for item in selection.kept()] == pytest.approx([0.64, 0.64, 0.1, 1.0])
    assert "no forecast" in selection.verdict_of()["shop/2#0"].reasons[0].detail


def test_near_duplicates_within_a_task_are_dropped_and_the_better_one_kept():
    same = ["search[red shoes size nine wide]", "click[buy now]"]
    group = make_group(
        make_trajectory("shop/0", actions=same, reward=0.5, attempt=0),
        make_trajectory("shop/0", actions=same, reward=1.0, attempt=1),
        make_trajectory("shop/0", actions=["search[blue hat]", "click[buy now]"], reward=0.2, attempt=2),
    )
    selection = select([group], {}, only(near_duplicates=NearDuplicates()))
    assert kept_ids(selection) == ["shop/0#1", "shop/0#2"]
    assert "shop/0#1" in selection.verdict_of()["shop/0#0"].reasons[0].detail


def test_equal_actions_under_different_instructions_are_no_duplicates():
    groups = [
        make_group(make_trajectory(make_task(f"shop/{i}", instruction=text), actions=["search[a b c d]"]))
        for i, text in enumerate(("find a red shoe for running", "buy me the cheapest blue winter hat"))
    ]
    assert len(select(groups, {}, only(near_duplicates=NearDuplicates())).kept()) == 2
    twins = [
        make_group(make_trajectory(make_task(f"shop/{i}", instruction="find a red shoe"), actions=["search[a b c d]"]))
        for i in range(2)
    ]
    assert len(select(twins, {}, only(near_duplicates=NearDuplicates())).kept()) == 1


@pytest.mark.parametrize(
    "rule", ["decontamination", "outcome", "near_duplicates", "best_of_group", "score_weights", "task_weights"]
)
def test_each_rule_is_switched_off_alone_by_one_line(rule):
    default = SelectionSettings()
    by_flag = SelectionSettings.model_validate({rule: {"enabled": False}})
    by_none = SelectionSettings.model_validate({rule: None})
    groups = [
        make_group(*(make_trajectory(f"shop/{k}", success=i != 2, attempt=i) for i in range(3))) for k in range(2)
    ]
    tables = [
        {row.rule: row.enabled for row in select(groups, {}, chosen).rows} for chosen in (default, by_flag, by_none)
    ]
    assert tables[0] == dict.fromkeys(tables[0], True)
    assert tables[1] == tables[2] == {**tables[0], rule: False}


def test_the_yardstick_keeps_every_success_at_weight_one():
    group = make_group(*(make_trajectory("shop/0", success=i > 0, attempt=i) for i in range(4)))
    critic = scores_of(critic={f"shop/0#{i}": float(i) for i in range(4)})
    selection = select([group], critic, SelectionSettings.yardstick())
    assert [(item.trajectory.attempt, item.weight) for item in selection.kept()] == [(1, 1.0), (2, 1.0), (3, 1.0)]


def test_a_failing_critic_marks_unscored_with_its_cause():
    def explode(trajectories):
        raise RuntimeError("judge is down")

    group = make_group(make_trajectory(), make_trajectory(attempt=1, stop=StopReason.INFRASTRUCTURE))
    good = ScriptedCritic("length", lambda ts: [Score("length", float(len(t.turns))) for t in ts])
    short = ScriptedCritic("short", lambda ts: [])
    scores = apply_critics([group], [good, ScriptedCritic("judge", explode), short])
    assert scores["length"]["shop/0#0"].value == 1.0
    assert scores["judge"]["shop/0#0"].value is None
    assert "judge is down" in scores["judge"]["shop/0#0"].reason
    assert scores["short"]["shop/0#0"].value is None
    assert "shop/0#1" not in scores["length"]


def test_two_critics_of_one_name_are_refused():
    twin = ScriptedCritic("judge", lambda ts: [])
    with pytest.raises(ValueError, match="distinct names"):
        apply_critics([], [twin, twin])


def test_a_trajectory_id_given_twice_is_refused():
    with pytest.raises(ValueError, match="'shop/0#0' more than once"):
        select([make_group(make_trajectory(), make_trajectory())], {}, OFF)


def test_an_unknown_setting_is_refused():
    with pytest.raises(ValueError, match="extra"):
        SelectionSettings.model_validate({"outcome": {"rmin": 0.5}})


def test_verdicts_are_written_one_a_line(tmp_path):
    selection = select(
        [make_group(make_trajectory(), make_trajectory(attempt=1, success=False))], {}, only(outcome=Outcome())
    )
    write_verdicts(tmp_path / "verdicts.jsonl", selection.verdicts)
    lines = [json.loads(line) for line in (tmp_path / "verdicts.jsonl").read_text().splitlines()]
    assert [(line["trajectory_id"], line["kept"]) for line in lines] == [("shop/0#0", True), ("shop/0#1", False)]
    assert lines[1]["reasons"][0]["rule"] == "outcome"


episodes = st.tuples(st.integers(0, 4), st.booleans(), st.floats(0, 1), st.sampled_from(list(StopReason)))


@settings(max_examples=60, deadline=None)
@given(st.lists(episodes, min_size=1, max_size=20), st.booleans())
def test_every_trajectory_gets_one_verdict_and_the_table_adds_up(rows, normalise):
    by_task: dict[int, list] = {}
    for task, success, reward, stop in rows:
        members = by_task.setdefault(task, [])
        members.append(make_trajectory(f"shop/{task}", success=success, reward=reward, stop=stop, attempt=len(members)))
    groups = [make_group(*members) for members in by_task.values()]
    selection = select(groups, {}, SelectionSettings(normalise=normalise))
    assert [v.trajectory_id for v in selection.verdicts] == [t.id for g in groups for t in g.trajectories]
    assert sum(row.dropped for row in selection.rows) == sum(not v.kept for v in selection.verdicts)
    assert all(v.reasons for v in selection.verdicts)
    kept = selection.kept()
    assert all(t.trajectory.stop_reason is StopReason.TERMINATED and t.weight > 0 for t in kept)
    if kept and normalise:
        assert math.fsum(item.weight for item in kept) == pytest.approx(len(kept))
    assert selection.record().kept == len(kept)


def test_decontamination_says_when_no_held_out_text_was_given():
    selection = select([make_group(make_trajectory())], {}, only(decontamination=Decontamination()))
    assert next(r for r in selection.rows if r.rule == "decontamination").note == "no held-out text was given"
