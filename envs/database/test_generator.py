"""The generator: solvable, alike in every process, split by table and wording."""

from __future__ import annotations

import json
import random

import pytest

from envs.database.demonstration_domains import vocabulary
from envs.database.domains import DOMAINS
from envs.database.environment import Database
from envs.database.experts import expert
from envs.database.synthetic import SPLITS, synthetic
from envs.database.templates import KINDS, WORDINGS

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


def test_no_question_has_two_answers() -> None:
    for problem in (synthetic("train", 600, 7).problem(at) for at in range(7, 600, len(KINDS))):
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
    for name in vocabulary():
        names.setdefault(name, set()).add("demonstrations")
    assert {name for name, splits in names.items() if len(splits) > 1} == set()
    wordings = [text for split in SPLITS for texts in WORDINGS[split].values() for text in texts]
    assert len(set(wordings)) == len(wordings)
    assert all(set(WORDINGS[split]) == {kind.name for kind in KINDS} for split in SPLITS)
