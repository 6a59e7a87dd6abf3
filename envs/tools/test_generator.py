"""Tasks: solvable, not by chance, the same in every process, and held out as the rule says."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random

import pytest

from envs.tools.__main__ import main, measure, wilson
from envs.tools.environment import Tools
from envs.tools.experts import Expert, Form
from envs.tools.generator import UnfitError, draft_plan, make_puzzle, play_plan
from envs.tools.plan import Act, Plan, Threshold
from envs.tools.shapes import SHAPES, skeletons
from envs.tools.splits import PARTS, SPLITS, held_out_shapes, part_of_combination, part_of_instruction, pools
from envs.tools.steps.draft import Draft
from envs.tools.toolbox import TOOLS
from envs.tools.world import World, make_world
from sage_gym.errors import ConfigError, TaskKeyError

SAMPLE = 6
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("split", SPLITS)
def test_the_reference_scores_one_nothing_zero_and_chance_next_to_nothing(split: str) -> None:
    tally = measure(split, SAMPLE)
    assert (tally.tasks, tally.reference) == (SAMPLE, SAMPLE)
    assert tally.nothing == 0.0
    assert tally.random == 0
    assert tally.recovered == tally.met


@pytest.mark.parametrize("form", ["json", "reference"])
def test_the_reference_recovers_from_every_fault_in_every_form(form: Form) -> None:
    env = Tools(faults=0.7)
    met = 0
    for task in env.tasks("train")[:20]:
        env.reset(options={"task": task})
        solver, is_over = Expert(env, form), False
        while not is_over:
            action = solver.action()
            _, reward, is_over, is_cut, info = env.step(action)
            assert not info["invalid_action"], action
            assert not is_cut
        assert reward == 1.0, task.instruction
        assert info["faults_met"] == info["faults_recovered"]
        met += info["faults_met"]
    assert met > 40


SHARE = re.compile(r"(\d+) % of ")


def looked_up(world: World, text: str) -> float | None:
    """Find the figure that an instruction means, in the world itself: no tool is asked."""
    for title, amount in ((article.title, article.amount) for article in world.articles):
        if f"the {title} " in text:
            return amount
    for key, value in world.store.items():
        if key in text:
            return float(value)
    for path, file in world.files.items():
        if path in text:
            return file.amount
    for _, customer, _, _ in world.tables["invoices"]:
        if str(customer) in text:
            rows = world.tables["invoices"]
            return sum(float(row[2]) for row in rows if row[1] == customer and row[3] == "open")
    return None


@pytest.mark.parametrize("lookup", ["fee", "budget", "invoices", "allowance"])
def test_expected_values_are_those_that_the_world_gives_without_the_tools(lookup: str) -> None:
    steps = (lookup, "percent", "answer")
    skeleton = next(held for held in skeletons() if held.shape == "chain" and held.steps == steps)
    for seed in range(6):
        world = make_world(seed)
        plan = draft_plan(skeleton, world, Random(seed))
        base = looked_up(world, plan.instruction)
        assert base is not None
        share = int(SHARE.findall(plan.instruction)[0])
        assert float(play_plan(world, plan).answer or "") == pytest.approx(base * share / 100, abs=0.006)


def plan_of(*acts: Act) -> Plan:
    return Plan("chain", (), acts, None, "")


def test_a_draw_whose_acts_change_nothing_or_that_is_too_close_to_call_makes_no_task() -> None:
    world = make_world(0)
    once = Act("kv_set", (("key", "a"), ("value", "1")))
    assert play_plan(world, plan_of(once)).expected
    with pytest.raises(UnfitError, match="changes nothing"):
        play_plan(world, plan_of(once, once))
    near = Act("kv_set", (("key", "a"), ("value", "1")), Threshold("100", "101", is_above=False))
    with pytest.raises(UnfitError, match="too close"):
        play_plan(world, plan_of(near))


def test_a_draft_names_nothing_twice_for_the_same_purpose() -> None:
    draft = Draft(make_world(0), Random(0))
    assert sorted(draft.pick("title", "abc") for _ in range(3)) == ["a", "b", "c"]
    assert draft.pick("key", "a") == "a"
    with pytest.raises(IndexError):
        draft.pick("title", "abc")


def test_tasks_chain_two_to_six_tools_and_pass_answers_on() -> None:
    for split in SPLITS:
        for index in range(15):
            plan = make_puzzle(split, index).plan
            assert 2 <= len(plan.family.split("+")) <= 6
            assert len(plan.instruction.split()) <= 64
            passed_on = [value for act in plan.acts for _, value in act.arguments if isinstance(value, str)]
            assert any(re.search(r"\{\d+\.", value) for value in [*passed_on, plan.answer or ""])


# Splits


def test_held_out_combinations_and_shapes_are_never_trained_on_and_every_tool_is() -> None:
    parts = pools()
    families = {
        split: {skeleton.family for held in shapes.values() for skeleton in held} for split, shapes in parts.items()
    }
    assert families["train"] == families["select"] == families["test"]
    for held_out in ("select_combinations", "test_combinations"):
        assert not families[held_out] & families["train"]
        assert len(families[held_out]) >= 100
    assert not families["select_combinations"] & families["test_combinations"]
    assert families["test_shapes"] <= families["train"]
    assert set(parts["test_shapes"]) == held_out_shapes()
    assert not held_out_shapes() & set(parts["train"])
    used = {tool for held in parts["train"].values() for skeleton in held for tool in skeleton.tools}
    assert used == set(TOOLS)


def test_a_tasks_family_is_its_combination_and_belongs_to_its_split() -> None:
    wanted = {split: split if "combinations" in split else "train" for split in SPLITS}
    for split in SPLITS:
        for index in range(20):
            puzzle = make_puzzle(split, index)
            assert puzzle.task.family == "+".join(sorted({act.tool for act in puzzle.plan.acts}))
            assert part_of_combination(puzzle.task.family) == wanted[split]
            assert (puzzle.plan.shape in held_out_shapes()) == (split == "test_shapes")


def test_no_instruction_is_in_two_splits() -> None:
    told: dict[str, str] = {}
    for split in SPLITS:
        for index in range(25):
            instruction = make_puzzle(split, index).plan.instruction
            assert told.setdefault(instruction, split) == split
            assert split not in PARTS or part_of_instruction(instruction) == PARTS[split]
    assert len(told) > 140


def test_a_skeleton_uses_the_tools_that_it_says() -> None:
    known = {(skeleton.shape, skeleton.steps): skeleton for skeleton in skeletons()}
    assert {skeleton.shape for skeleton in known.values()} == set(SHAPES)
    for index in range(40):
        plan = make_puzzle("train", index).plan
        assert known[plan.shape, plan.steps].family == plan.family
        assert len(plan.acts) <= 8


# What can be asked for


def test_the_large_check_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["2"]) == 0
    shown = capsys.readouterr().out
    assert all(split in shown for split in SPLITS)
    assert "2/2" in shown


def test_wilson_interval_is_the_textbook_one() -> None:
    assert wilson(0, 1000) == pytest.approx((0.0, 0.003827), abs=1e-6)
    assert wilson(50, 100) == pytest.approx((0.40383, 0.59617), abs=1e-5)


@pytest.mark.parametrize("most", [2, 3, 4])
def test_shorter_plans_are_tasks_of_their_own_with_the_same_combinations_held_out(most: int) -> None:
    env = Tools(most_calls=most)
    for split in SPLITS:
        assert {skeleton for held in pools(most)[split].values() for skeleton in held} < {
            skeleton for held in pools()[split].values() for skeleton in held
        }
        task = env.tasks(split)[3]
        assert task.key == f"tools/{split}-{most}/00003"
        env.reset(options={"task": task.key})
        assert env.session.puzzle.task == task
        assert len(env.session.puzzle.plan.acts) <= most
        assert task.hash != Tools().tasks(split)[3].hash


def test_plans_shorter_than_any_are_refused() -> None:
    with pytest.raises(ConfigError, match="most_calls: expected 2 or more, or None, got 1"):
        Tools(most_calls=1)
    with pytest.raises(TaskKeyError, match="tools/train-3/00000 to tools/train-3/19999"):
        Tools(most_calls=3).reset(options={"task": "tools/train/00000"})
