"""Tasks from their split and number: a skeleton, a world, a plan drawn over it, and what the plan leads to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Any

from envs.tools.company import Change, Company
from envs.tools.interpreter import run
from envs.tools.plan import Act, Plan, Threshold, field_of, fill, fit, show
from envs.tools.schema import Answer, ToolError
from envs.tools.skeleton import Skeleton
from envs.tools.splits import PARTS, draw, part_of_instruction, pools
from envs.tools.steps.draft import Draft
from envs.tools.toolbox import CHANGING, TOOLS
from envs.tools.wording import instruct
from envs.tools.world import World, make_world
from sage_gym.errors import SageGymError
from sage_gym.types import Task

__all__ = [
    "Outcome",
    "Puzzle",
    "UnfitError",
    "arguments_of",
    "draft_plan",
    "holds",
    "key_prefix",
    "make_puzzle",
    "play_plan",
]

MOST_TRIES = 200
MOST_WORDS = 64
NEARNESS = 0.02
"""A condition is not drawn where its sides are closer than this share of the limit: rounding must not decide."""


@dataclass(frozen=True, slots=True)
class Puzzle:
    """A task with what is hidden from the policy: its world, its plan, and what a solution leads to."""

    task: Task
    world: World
    plan: Plan
    expected: tuple[Change, ...]
    answer: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a plan leads to."""

    expected: tuple[Change, ...]
    answer: str | None


class UnfitError(Exception):
    """A draw that makes no good task."""


@lru_cache(maxsize=256)
def make_puzzle(split: str, index: int, most_calls: int | None = None) -> Puzzle:
    """Make a task: a function of its split and number, and of how many calls its plan may have, alone.

    Raises:
        SageGymError: no draw of `MOST_TRIES` makes a good one.
    """
    level = () if most_calls is None else (most_calls,)
    seed = draw("task", split, index, *level)
    world = make_world(seed)
    for attempt in range(MOST_TRIES):
        rng = Random(draw("plan", split, index, attempt, *level))
        try:
            plan = draft_plan(_choose(split, rng, most_calls), world, rng)
            if not _is_for(split, plan.instruction):
                continue
            outcome = play_plan(world, plan)
        except (UnfitError, IndexError, ToolError):
            continue
        key = f"{key_prefix(split, most_calls)}/{index:05d}"
        task = _task(key, split, seed, world, plan, outcome)
        return Puzzle(task, world, plan, outcome.expected, outcome.answer)
    raise SageGymError(f"expected a task among {MOST_TRIES} draws for {split} {index}, got none")


def _is_for(split: str, instruction: str) -> bool:
    is_short = len(instruction.split()) <= MOST_WORDS
    return is_short and (split not in PARTS or part_of_instruction(instruction) == PARTS[split])


def key_prefix(split: str, most_calls: int | None) -> str:
    """Return what stands before a task's number in its key: shorter plans are tasks of their own."""
    return f"tools/{split}" if most_calls is None else f"tools/{split}-{most_calls}"


def _choose(split: str, rng: Random, most_calls: int | None) -> Skeleton:
    """Draw a shape, then a skeleton of it, so that no rich shape crowds the others out."""
    shapes = pools(most_calls)[split]
    return rng.choice(shapes[rng.choice(sorted(shapes))])


def draft_plan(skeleton: Skeleton, world: World, rng: Random) -> Plan:
    """Draw what a skeleton leaves open: which product, which wording, which number."""
    draft = Draft(world, rng)
    filled = skeleton.build(draft)
    instruction = instruct(draft.leads, filled.words, rng)
    answer = filled.answer.slot if filled.answer else None
    return Plan(skeleton.shape, skeleton.steps, tuple(draft.acts), answer, instruction)


def play_plan(world: World, plan: Plan) -> Outcome:
    """Carry a plan out where nothing fails, and see what has changed.

    Raises:
        UnfitError: it makes no good task: a condition that is too close to call, an act that changes nothing.
        ToolError: a call does not work in this world.
    """
    company = Company(world, run)
    answers: dict[int, Answer] = {}

    def read(place: int, path: Any) -> Any:
        return field_of(answers[place], path)

    try:
        for place, act in enumerate(plan.acts):
            if _is_due(act, read):
                answers[place] = TOOLS[act.tool].run(company, arguments_of(act, read))
        answer = None if plan.answer is None else show(fill(plan.answer, read))
        expected = tuple(company.changes())
    finally:
        company.close()
    if len(expected) != sum(plan.acts[place].tool in CHANGING for place in answers):
        raise UnfitError("an act that changes nothing, or what another has changed")
    return Outcome(expected, answer)


def _is_due(act: Act, read: Any) -> bool:
    if act.when is not None:
        left, right = (float(fill(side, read)) for side in (act.when.left, act.when.right))
        if abs(left - right) <= NEARNESS * abs(right):
            raise UnfitError(f"{left} and {right} are too close to call")
    return holds(act.when, read)


def holds(when: Threshold | None, read: Any) -> bool:
    """Whether an act is due."""
    if when is None:
        return True
    return (float(fill(when.left, read)) > float(fill(when.right, read))) is when.is_above


def arguments_of(act: Act, read: Any) -> dict[str, Any]:
    """Return an act's arguments with earlier answers put in, in the types that its tool takes."""
    kinds = TOOLS[act.tool].kinds
    return {name: fit(fill(value, read), kinds[name]) for name, value in act.arguments}


def _task(key: str, split: str, seed: int, world: World, plan: Plan, outcome: Outcome) -> Task:
    digest = hashlib.sha256(repr((world, plan, outcome)).encode()).hexdigest()
    return Task(key, plan.instruction, split, seed % 2**31, digest, "tools", family=plan.family)
