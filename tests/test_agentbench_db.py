"""AgentBench's database records, reproduced: every recorded answer and all recorded states but one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from envs.database.embedded import Embedded
from envs.database.environment import Database
from envs.database.experts import expert, unattainable
from envs.database.problems import Problem, final_hash

UNATTAINABLE = "database/standard/00225"
"""Its hash is of no state that its statement, or a simple variant of it, leaves on its table."""


@pytest.fixture
def folder(sage_gym_data: Path) -> str:
    return str(sage_gym_data / "data" / "benchmarks" / "agentbench_db")


@pytest.fixture
def env(folder: str) -> Database:
    return Database(records=folder)


def problems(env: Database, split: str) -> list[Problem]:
    source = env.library.source(split)
    return [source.problem(at) for at in range(len(source))]


def state_after_gold(problem: Problem) -> str:
    engine = Embedded(problem.tables)
    engine.run(problem.gold_sql)
    reached = final_hash(engine, problem.tables)
    engine.close()
    return reached


def test_the_splits_are_the_files(env: Database) -> None:
    assert {split: len(env.tasks(split)) for split in ("dev", "standard")} == {"dev": 60, "standard": 300}


@pytest.mark.parametrize(("split", "states", "lost"), [("standard", 200, [UNATTAINABLE]), ("dev", 40, [])])
def test_gold_statements_leave_the_recorded_states(env: Database, split: str, states: int, lost: list[str]) -> None:
    changes = [problem for problem in problems(env, split) if problem.judged_by == "state"]
    assert len(changes) == states
    assert [problem.key for problem in changes if state_after_gold(problem) != problem.state] == lost
    assert list(unattainable(env, split)) == lost


@pytest.mark.parametrize("split", ["standard", "dev"])
def test_no_recorded_state_is_the_one_that_the_table_starts_in(env: Database, split: str) -> None:
    for problem in problems(env, split):
        engine = Embedded(problem.tables)
        assert final_hash(engine, problem.tables) != problem.state, problem.key
        engine.close()


@pytest.mark.parametrize("scoring", ["original", "current"])
@pytest.mark.parametrize(("split", "answers"), [("standard", 100), ("dev", 20)])
def test_recorded_answers_are_right_and_none_at_all_is_not(folder: str, split: str, answers: int, scoring: str) -> None:
    env = Database(records=folder, scoring=scoring, split=split)  # type: ignore[arg-type]
    right = 0
    for problem in problems(env, split):
        env.reset(options={"task": problem.key})
        assert env.step("answer[]")[1] == 0.0, problem.key
        if problem.judged_by == "answer":
            env.reset(options={"task": problem.key})
            right += int(env.step(f"Action: Answer\nFinal Answer: {problem.gold_answer}")[1])
    assert right == answers


@pytest.mark.parametrize(("split", "lost"), [("standard", [UNATTAINABLE]), ("dev", [])])
def test_the_reference_solution_scores_one_but_where_it_is_listed(env: Database, split: str, lost: list[str]) -> None:
    failed = []
    for problem in problems(env, split):
        env.reset(options={"task": problem.key})
        solver, reward, is_over = expert(env), 0.0, False
        while not is_over:
            _, reward, is_over, _, _ = env.step(solver.action())
        failed += [problem.key] if reward < 1 else []
    assert failed == lost


def test_recorded_selects_that_run_give_what_they_gave_here_before(env: Database) -> None:
    """Many cannot run, on any engine (`SELECT LeagueFROM`), or contradict their answer: the tables were enlarged."""
    outcomes = {"answer": 0, "other": 0, "error": 0}
    for problem in problems(env, "standard"):
        if problem.judged_by == "answer":
            env.reset(options={"task": problem.key})
            *_, info = env.step(f"sql[{problem.gold_sql}]")
            rows = env.view().news
            is_same = not info["sql_error"] and env.step(f"answer[{_first_column(rows)}]")[1] == 1.0
            outcomes["error" if info["sql_error"] else "answer" if is_same else "other"] += 1
    assert outcomes == {"answer": 29, "other": 22, "error": 49}


def _first_column(rows: str) -> str:
    return str([row[0] for row in ast.literal_eval(rows)]) if not rows.endswith("[TRUNCATED]") else "[]"
