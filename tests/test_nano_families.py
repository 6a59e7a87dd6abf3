"""What sage-nano's adapters for tables and shells imitate: it can be written, is read back, and earns everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest

import sage_gym  # noqa: F401
from envs.database import templates
from envs.database.experts import GRAMMAR as SQL
from envs.terminal.demonstrations import COMMANDS
from envs.terminal.demonstrations import GRAMMAR as SHELL
from envs.terminal.synthetic import kinds_of
from policies.causal_lm.compact import CompactRenderer, Vocabulary
from policies.nano import load
from policies.nano.adapt import RECIPES
from policies.nano.expert_demonstrations import ExpertDemonstration, ExpertSettings, habits_of
from policies.nano.writing import WORD
from sage_gym.types import Context
from tests.sandbox_backends import require_engine

BOUNDS = frozenset({"1", "2"})
"""Numbers that SQL's own words have: one decimal, two rows."""
STUB_KINDS = frozenset({"count_lines", "merge_lists"})


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(load().tokenizer)


def opened(name: str, **arguments: Any) -> Iterator[gymnasium.Env[str, str]]:
    given = RECIPES[name].arguments | arguments
    environment = gymnasium.make(
        RECIPES[name].env, disable_env_checker=True, split="demonstrations", max_turns=None, **given
    )
    yield environment
    environment.close()


@pytest.fixture(scope="module")
def tables() -> Iterator[gymnasium.Env[str, str]]:
    yield from opened("database")


@pytest.fixture(scope="module")
def shell() -> Iterator[gymnasium.Env[str, str]]:
    yield from opened("terminal")


def shown(
    environment: Any, vocabulary: Vocabulary, task: Any, *, spoiled: float = 0.0, seed: int = 0
) -> ExpertDemonstration:
    settings = ExpertSettings(spoiled=spoiled)
    habits = habits_of(environment, (), settings)
    return ExpertDemonstration(environment, task, vocabulary, habits, settings, np.random.default_rng(seed))


def alike(action: str) -> str:
    """Return an action without regard to capitals and spaces."""
    return "".join(action.casefold().split())


def play_back(environment: Any, vocabulary: Vocabulary, demonstration: ExpertDemonstration) -> float:
    """Read the ids of a demonstration with the renderer that a policy has, and do what they say."""
    inner, renderer, reward = environment.unwrapped, CompactRenderer(vocabulary), 0.0
    environment.reset(options={"task": demonstration.task.key})
    for turn in demonstration.turns:
        context = Context("", demonstration.task, "", (), 0, view=inner.view())
        prompt = renderer.render(context)
        sampled = turn.decision.ledger.sampled_ids
        allowed = prompt.restriction.allowed(())
        assert allowed is not None
        assert sampled[0] in allowed
        action = prompt.read(sampled).action
        assert alike(action) == alike(turn.decision.action)
        _, reward, *_ = environment.step(action)
    return reward


def written(vocabulary: Vocabulary, demonstration: ExpertDemonstration) -> set[str]:
    """Return the words that a demonstration spells out, its labels and quotations left aside."""
    words: set[str] = set()
    for turn in demonstration.turns:
        run: list[int] = []
        for token in (*turn.decision.ledger.sampled_ids[1:], vocabulary.end):
            if token in vocabulary.mark_index or token == vocabulary.end:
                words.update(WORD.findall(vocabulary.decode(run)))
                run = []
            else:
                run.append(token)
    return words


def check(environment: Any, vocabulary: Vocabulary, task: Any, grammar: frozenset[str]) -> None:
    demonstration = shown(environment, vocabulary, task)
    assert demonstration.play() is not None, f"{task.key} ({task.family}) is not shown with success"
    assert written(vocabulary, demonstration) <= grammar, f"{task.key} ({task.family}): {task.instruction}"
    assert play_back(environment, vocabulary, demonstration) == 1.0, f"{task.key} ({task.family})"


def test_what_is_shown_of_tables_earns_everything_when_it_is_read_and_played(tables, vocabulary):
    """And all that is the task's own in a statement is quoted: nothing but SQL is spelled out."""
    tasks = tables.unwrapped.tasks("demonstrations")
    for at in range(3 * len(templates.KINDS)):
        check(tables, vocabulary, tasks[at], SQL | BOUNDS | {"$result"})


def test_what_is_shown_of_a_shell_earns_everything_when_it_is_read_and_played(shell, vocabulary):
    tasks = shell.unwrapped.tasks("demonstrations")
    for at in range(2 * len(kinds_of("train"))):
        check(shell, vocabulary, tasks[at], SHELL | {"$output"})


def test_the_stub_can_be_shown_the_kinds_that_it_can_do(vocabulary):
    environment = next(opened("terminal", sandbox="stub"))
    tasks = [task for task in environment.unwrapped.tasks("demonstrations")[:90] if task.family in STUB_KINDS]
    assert len(tasks) == 12
    for task in tasks:
        check(environment, vocabulary, task, SHELL | {"$output"})


@pytest.mark.docker
def test_what_is_shown_of_a_shell_earns_everything_in_a_container(vocabulary):
    require_engine()
    environment = next(opened("terminal", sandbox="docker"))
    tasks = environment.unwrapped.tasks("demonstrations")
    for at in range(3 * len(kinds_of("train"))):
        check(environment, vocabulary, tasks[at], SHELL | {"$output"})


def test_every_wording_of_the_shell_lets_a_command_be_quoted(shell, vocabulary):
    """Many tasks, none of which is run."""
    from envs.terminal.demonstrations import demonstrated
    from policies.nano.writing import Writer

    inner = shell.unwrapped
    habits = habits_of(shell, (), ExpertSettings())
    for task in inner.tasks("demonstrations")[:600]:
        command = demonstrated(inner.library.problem(task.key))
        pieces = Writer(vocabulary, habits, task.instruction).write("bash[", command)
        spelled = [piece for piece in pieces if piece[0] not in vocabulary.mark_index]
        words = {word for piece in spelled for word in WORD.findall(vocabulary.decode(piece))}
        assert words <= SHELL, f"{task.instruction}: {command}"


def test_of_other_splits_what_statements_name_can_be_quoted_too(tables, vocabulary):
    """A column or table that only the list of tables has, in training's and the test's tasks."""
    from envs.database.experts import brief
    from policies.nano.writing import Writer

    inner = tables.unwrapped
    habits = habits_of(tables, (), ExpertSettings())
    for split in ("train", "select", "test"):
        for task in inner.tasks(split)[:64]:
            pieces = Writer(vocabulary, habits, task.instruction).write(
                "sql[", brief(inner.library.problem(task.key).gold_sql)
            )
            spelled = [piece for piece in pieces if piece[0] not in vocabulary.mark_index]
            words = {word for piece in spelled for word in WORD.findall(vocabulary.decode(piece))}
            assert words <= SQL | BOUNDS, task.instruction


def test_spoiled_demonstrations_go_on_to_the_right_end_and_many_are_kept(tables, vocabulary):
    tasks = tables.unwrapped.tasks("demonstrations")
    played = [shown(tables, vocabulary, tasks[at], spoiled=0.3, seed=at) for at in range(40)]
    kept = [demonstration for demonstration in played if demonstration.play() is not None]
    assert len(kept) >= 12
    assert any(len(demonstration.turns) > 2 for demonstration in kept)


def test_demonstrations_have_the_kinds_of_training_and_no_held_out_ones(shell):
    families = {task.family for task in shell.unwrapped.tasks("demonstrations")[:200]}
    held_out = {kind.name for split in ("select_kinds", "test_kinds") for kind in kinds_of(split)}
    assert families == set(COMMANDS) == {kind.name for kind in kinds_of("train")}
    assert not families & held_out
