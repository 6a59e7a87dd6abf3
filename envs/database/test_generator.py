"""The generator: solvable, alike in every process, split by table and wording."""

from __future__ import annotations

import json
import random

import pytest

from envs.database.domains import DOMAINS
from envs.database.environment import Database
from envs.database.experts import expert
from envs.database.synthetic import CAPACITY, SPLITS, Synthetic
from envs.database.templates import KINDS, WORDINGS
from sage_gym.errors import ConfigError, TaskKeyError

IDLE = ('answer[["done"]]', "answer[]", "answer[0]")


@pytest.fixture
def env() -> Database:
    return Database(size=48)


@pytest.mark.parametrize("split", SPLITS)
def test_the_reference_solution_scores_one_and_answering_at_once_zero(env: Database, split: str) -> None:
    for at, task in enumerate(env.tasks(split)[: 2 * len(KINDS)]):
        env.reset(options={"task": task})
        solver, reward, ended = expert(env), 0.0, False
        while not ended:
            _, reward, ended, cut, info = env.step(solver.action())
            assert not cut
            assert not info["invalid_action"]
        assert reward == 1.0, task.key
        env.reset(options={"task": task})
        assert env.step(IDLE[at % len(IDLE)])[1] == 0.0, task.key


def test_a_random_policy_over_valid_calls_hardly_ever_succeeds(env: Database) -> None:
    rng, won, tasks = random.Random(5), 0, list(env.tasks("test"))
    for task in tasks:
        env.reset(options={"task": task})
        table = rng.choice(env.problem.tables)
        column = rng.choice(table.columns).name
        value = rng.choice(table.rows)[table.columns.index(next(c for c in table.columns if c.name == column))]
        env.step(rng.choice([f"sql[SELECT {column} FROM {table.name}]", f"sql[DELETE FROM {table.name} LIMIT 1]"]))
        won += env.step(f"answer[{json.dumps([str(value)])}]")[1] == 1.0
    assert won / len(tasks) < 0.05


def test_a_task_depends_on_its_index_and_seed_alone() -> None:
    small, large, other = Synthetic("test", 3, 0), Synthetic("test", 90, 0), Synthetic("test", 3, 1)
    assert [small.problem(at) for at in range(3)] == [large.problem(at) for at in range(3)]
    assert small.problem(0).hash != other.problem(0).hash
    assert len({large.problem(at).hash for at in range(90)}) == 90


def test_no_question_has_two_answers() -> None:
    for problem in (Synthetic("train", 600, 7).problem(at) for at in range(7, 600, len(KINDS))):
        groups = [row[1] for row in problem.tables[0].rows]
        counts = sorted((groups.count(group) for group in set(groups)), reverse=True)
        assert problem.family.endswith(":busiest")
        assert len(counts) == 1 or counts[0] > counts[1]
        sizes = [row[3] for row in problem.tables[0].rows]
        assert len(set(sizes)) == len(sizes)


def test_splits_share_no_table_column_or_wording() -> None:
    names: dict[str, set[str]] = {}
    for domain in DOMAINS:
        for name in (domain.table, domain.side, *domain.columns, *domain.side_columns, *domain.groups):
            names.setdefault(name, set()).add(domain.split)
    assert {name for name, splits in names.items() if len(splits) > 1} == set()
    wordings = [text for split in SPLITS for texts in WORDINGS[split].values() for text in texts]
    assert len(set(wordings)) == len(wordings)
    assert all(set(WORDINGS[split]) == {kind.name for kind in KINDS} for split in SPLITS)


@pytest.mark.parametrize("size", [0, CAPACITY + 1])
def test_the_generator_says_how_many_it_can_give(size: int) -> None:
    with pytest.raises(ConfigError, match=f"can give 1 to {CAPACITY} tasks a split, got {size}"):
        Database(size=size)


def test_the_last_task_of_the_largest_set_can_be_made() -> None:
    env = Database(size=CAPACITY)
    assert env.reset(options={"task": "database/synthetic/59999"})[1]["task"] == "database/synthetic/59999"
    with pytest.raises(TaskKeyError):
        env.reset(options={"task": "database/synthetic/60000"})
