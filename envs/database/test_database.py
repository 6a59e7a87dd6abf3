"""The environment's contract; no data needed."""

from __future__ import annotations

import json

import gymnasium
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from envs.database.actions import parse_action
from envs.database.environment import Database
from envs.database.scoring import spelled
from sage_gym.errors import ConfigError, UnknownNameError
from sage_gym.types import View

FIRST = "database/synthetic/00000"


@pytest.fixture
def env() -> Database:
    return Database(records=None, size=48)


def test_gymnasium_finds_nothing_to_complain_of() -> None:
    check_env(Database(render_mode="ansi"), skip_render_check=True)


def test_same_task_and_actions_give_the_same_episode() -> None:
    seen = []
    for _ in range(2):
        env = Database()
        first, info = env.reset(seed=11)
        seen.append([first, info["task"], env.step("sql[SHOW TABLES]"), env.step("answer[1]")])
    assert seen[0] == seen[1]


def test_reset_without_a_task_draws_within_the_split_only() -> None:
    env = Database(size=5, split="select")
    drawn = {env.reset(seed=3 if i == 0 else None)[1]["task"] for i in range(40)}
    assert drawn == {task.key for task in env.tasks("select")}


def test_info_carries_what_every_environment_gives(env: Database) -> None:
    _, info = env.reset(options={"task": FIRST})
    wanted = {"task", "admissible_actions", "invalid_action", "message", "sql_error", "success", "stop_reason"}
    assert set(info) == wanted
    assert info["task"] == FIRST
    assert info["admissible_actions"] is None
    *_, info = env.step("answer[]")
    assert set(info) == {*wanted, "reward_components"}
    assert json.loads(json.dumps(info)) == info


def test_vector_environments_work_and_asynchronous_ones_without_shared_memory() -> None:
    env = gymnasium.vector.AsyncVectorEnv([Database, Database], shared_memory=False)
    try:
        _, infos = env.reset(options={"task": FIRST})
        assert list(infos["task"]) == [FIRST, FIRST]
        observations, *_ = env.step(("sql[SHOW TABLES]", "sql[SELECT 1]"))
        assert observations[1] == "[(1,)]"
    finally:
        env.close()


def test_each_episode_has_a_database_of_its_own() -> None:
    one, other = Database(), Database()
    for env in (one, other):
        env.reset(options={"task": FIRST})
    table = one.problem.tables[0].name
    one.step(f"sql[DELETE FROM {table}]")
    assert one.step(f"sql[SELECT COUNT(*) FROM {table}]")[0] == "[(0,)]"
    assert other.step(f"sql[SELECT COUNT(*) FROM {table}]")[0] != "[(0,)]"
    one.reset(options={"task": FIRST})
    assert one.step(f"sql[SELECT COUNT(*) FROM {table}]")[0] != "[(0,)]"


def test_doing_nothing_ends_at_the_turn_limit_with_nothing() -> None:
    env = Database(max_turns=3)
    env.reset(seed=0)
    steps = [env.step("") for _ in range(3)]
    assert [(reward, ended, cut) for _, reward, ended, cut, _ in steps] == [(0, False, False)] * 2 + [(0, False, True)]
    assert steps[-1][4]["stop_reason"] == "max_turns"
    with pytest.raises(ResetNeeded, match="expected reset"):
        env.step("sql[SELECT 1]")


def test_a_change_without_an_answer_is_not_done_when_turns_run_out(env: Database) -> None:
    task = next(task for task in env.tasks("train") if task.family.endswith(":delete"))
    env = Database(max_turns=1)
    env.reset(options={"task": task})
    _, reward, ended, cut, info = env.step(f"sql[{env.problem.gold_sql}]")
    assert env.is_in_wanted_state()
    assert (reward, ended, cut, info["success"]) == (0.0, False, True, False)


def test_an_invalid_action_changes_nothing_and_says_what_was_expected(env: Database) -> None:
    env.reset(options={"task": FIRST})
    observation, reward, ended, _, info = env.step("please help")
    assert (reward, ended, info["invalid_action"]) == (0.0, False, True)
    assert "expected sql[one statement] or answer[" in observation
    assert info["message"] in observation
    *_, info = env.step("sql[SELECT nothing FROM nowhere]")
    assert not info["invalid_action"]
    assert info["sql_error"] == "no such table: nowhere"


def test_a_long_result_is_cut_with_a_notice(env: Database) -> None:
    env.reset(options={"task": FIRST})
    observation = env.step("sql[SELECT REPEAT('x', 5000)]")[0]
    assert len(observation) == 800 + len("[TRUNCATED]")
    assert observation.endswith("xxx[TRUNCATED]")


def test_cutting_shows_the_same_as_fetching_every_row_would() -> None:
    env = Database(output_limit=60)
    env.reset(options={"task": FIRST})
    table = env.problem.tables[0].name
    shown = env.step(f"sql[SELECT 1 FROM {table} a, {table} b]")[0]
    assert shown == str([(1,)] * 64)[:60] + "[TRUNCATED]"


def test_view_names_the_state_and_what_may_be_written(env: Database) -> None:
    env.reset(options={"task": FIRST})
    assert env.view() == View("start", env.problem.question, free=("sql[", "answer["))
    env.step("sql[SELECT 1]")
    assert env.view() == View("result", "[(1,)]", free=("sql[", "answer["))
    env.step("answer[x]")
    assert env.view().page == "done"
    assert env.view().free == ()


def test_arguments_that_are_wrong_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        Database(scoring="kind", max_turns=0, output_limit=0, timeout_s=0, render_mode="rgb")  # type: ignore[arg-type]
    assert len(caught.value.problems) == 5
    with pytest.raises(UnknownNameError, match="did you mean 'train'"):
        Database(split="trian")
    with pytest.raises(ConfigError, match="expected sqlite, mysql://"):
        Database(engine="oracle://x")


def test_the_last_result_is_passed_on_without_being_written_out(env: Database) -> None:
    """The highest of a tag, two cells of a column, and one number; each under both rules."""
    for rules in ("original", "current"):
        other = Database(size=48, scoring=rules)
        for at in (5, 6, 7, 10):
            other.reset(options={"task": f"database/synthetic/{at:05d}"})
            other.step("sql[SHOW TABLES]")
            other.step(f"sql[{other.problem.gold_sql}]")
            other.step("sql[SELECT nothing FROM nowhere]")
            assert other.step("answer[ $Result ]")[1] == 1.0, other.problem.key


def test_the_last_result_is_its_first_column_as_texts(env: Database) -> None:
    assert spelled([("a, b", 1), (None, 2), (11.0, 3), ("it's", 4)]) == repr(["a, b", "None", "11", "it's"])
    assert spelled([]) == "[]"


def test_there_has_to_be_a_result_to_pass_on(env: Database) -> None:
    env.reset(options={"task": FIRST})
    env.step("sql[SELECT nothing FROM nowhere]")
    observation, reward, ended, _, info = env.step("answer[$result]")
    assert (reward, ended, info["invalid_action"]) == (0.0, False, True)
    assert "there is none yet" in observation
    env.step("sql[SELECT 1]")
    env.reset(options={"task": FIRST})
    assert env.step("answer[$result]")[4]["invalid_action"]


@pytest.mark.parametrize(
    "written", ['answer[["$result"]]', "answer[$result.]", "Action: Answer\nFinal Answer: $result"]
)
def test_what_only_looks_like_a_result_is_an_ordinary_answer(env: Database, written: str) -> None:
    assert parse_action(written).kind == "answer"
    env.reset(options={"task": FIRST})
    env.step(f"sql[{env.problem.gold_sql}]")
    _, reward, ended, *_ = env.step(written)
    assert (reward, ended) == (0.0, True)


def test_no_wanted_answer_is_what_stands_for_a_result(env: Database) -> None:
    for split in env.splits()[:4]:
        source = env.library.source(split)
        assert not any("$" in answer for at in range(len(source)) for answer in source.problem(at).answers)
