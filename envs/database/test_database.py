"""The environment's contract, keys and records; no data needed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gymnasium
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from envs.database.environment import Database
from envs.database.experts import unattainable
from envs.database.synthetic import SPLITS
from sage_gym.errors import CatalogError, ConfigError, InfrastructureError, TaskKeyError, UnknownNameError
from sage_gym.types import View

FIRST = "database/synthetic/00000"
TABLE = {
    "table_name": "Airport List",
    "table_info": {
        "columns": [{"name": "City", "type": "TEXT"}, {"name": "IATA", "type": "TEXT"}],
        "rows": [["Vienna", "VIE"], ["Oslo", "OSL"]],
    },
}
SELECT = {
    "description": "Which city has VIE?",
    "label": ["Vienna"],
    "type": ["other"],
    "table": TABLE,
    "sql": {"query": "SELECT City FROM `Airport List` WHERE IATA='VIE'"},
    "add_description": "The name of this table is Airport List.",
}
INSERT = {
    "description": "Add Lima.",
    "label": ["INSERT INTO `Airport List` VALUES ('Lima', 'LIM')"],
    "type": ["INSERT"],
    "table": TABLE,
    "answer_md5": "",
}


@pytest.fixture
def env() -> Database:
    return Database(records=None, size=48)


@pytest.fixture
def records(tmp_path: Path) -> str:
    lines = [json.dumps(record) for record in (SELECT, INSERT)]
    (tmp_path / "standard.jsonl").write_text("\n".join(lines) + "\n")
    return str(tmp_path)


# The environment's contract


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


@pytest.mark.parametrize(("address", "package"), [("mysql://a@b", "pymysql"), ("postgresql://a@b/c", "psycopg")])
def test_an_absent_driver_is_named(address: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=f"needs the package '{package}'"):
        Database(engine=address)


def test_a_server_that_does_not_answer_is_infrastructure(monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent:
        MySQLError = OSError

        @staticmethod
        def connect(**_: object) -> None:
            raise OSError(2003, "no server")

    monkeypatch.setitem(sys.modules, "pymysql", Absent)
    env = Database(engine="mysql://root@127.0.0.1:1")
    with pytest.raises(InfrastructureError, match=r"expected a MySQL server at 127\.0\.0\.1:1"):
        env.reset(seed=0)


class ScriptedDriver:
    """Stands for `pymysql`: remembers what it is sent."""

    MySQLError = OSError

    def __init__(self, refuses: str = "never") -> None:
        self.sent: list[str] = []
        self.description, self.refuses = None, refuses

    def connect(self, **_: object) -> ScriptedDriver:
        return self

    def cursor(self) -> ScriptedDriver:
        return self

    def __enter__(self) -> ScriptedDriver:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def execute(self, sql: str) -> None:
        self.sent.append(sql)
        if self.refuses in sql:
            raise OSError(1166, "no")

    def executemany(self, sql: str, _: object) -> None:
        self.execute(sql)

    def close(self) -> None:
        self.sent.append("closed")


def test_a_server_is_sent_what_was_checked_and_not_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = ScriptedDriver()
    monkeypatch.setitem(sys.modules, "pymysql", driver)
    env = Database(engine="mysql://root@somewhere")
    env.reset(options={"task": FIRST})
    for hidden in ("SELECT 1 /*! INTO OUTFILE 'x' */", "SELECT 1 --1 INTO OUTFILE 'x'", "SELECT 1 # INTO OUTFILE 'x'"):
        env.step(f"sql[{hidden}]")
        assert driver.sent[-1] == "SELECT 1"
    for foreign in ("SELECT * FROM mysql.user", "SELECT LOAD_FILE('x')", "DELETE FROM sage_gym_1.t"):
        assert env.step(f"sql[{foreign}]")[4]["sql_error"]
        assert driver.sent[-1] == "SELECT 1"
    env.close()
    assert driver.sent[-2].startswith("DROP DATABASE IF EXISTS sage_gym_")
    assert driver.sent[-1] == "closed"


def test_a_server_that_refuses_a_table_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = ScriptedDriver(refuses="CREATE TABLE")
    monkeypatch.setitem(sys.modules, "pymysql", driver)
    with pytest.raises(InfrastructureError, match="that can hold the tables"):
        Database(engine="mysql://root@somewhere").reset(options={"task": FIRST})
    assert driver.sent[-2].startswith("DROP DATABASE IF EXISTS sage_gym_")


# Keys and records


def test_records_are_tasks_of_their_own_splits(records: str) -> None:
    env = Database(records=records, split="standard")
    assert env.splits() == (*SPLITS, "standard")
    assert [task.key for task in env.tasks("standard")] == ["database/standard/00000", "database/standard/00001"]
    first, _ = env.reset(options={"task": "database/standard/00000"})
    assert first.startswith("Which city has VIE?\nThe name of this table is Airport List.\n")
    assert env.step("Action: Operation\n```sql\nSELECT City FROM `Airport List`\n```")[0] == "[('Vienna',), ('Oslo',)]"
    _, reward, *_ = env.step('I see.\nAction: Answer\nFinal Answer: ["Vienna"]')
    assert reward == 1.0
    with pytest.raises(TaskKeyError, match="standard: database/standard/00000 to database/standard/00001"):
        env.reset(options={"task": "database/standard/00002"})


def test_a_record_without_a_hash_is_judged_by_what_its_gold_sql_leaves(records: str) -> None:
    env = Database(records=records, split="standard")
    env.reset(options={"task": "database/standard/00001"})
    env.step("sql[INSERT INTO `Airport List` (IATA, City) VALUES ('LIM', 'Lima')]")
    assert env.step("answer[ok]")[1] == 1.0
    assert unattainable(env, "standard") == {}


def test_a_task_that_its_own_record_contradicts_is_listed_with_the_reason(tmp_path: Path) -> None:
    wrong = {**INSERT, "answer_md5": f"[('{'0' * 32}',)]"}
    failing = {**INSERT, "answer_md5": f"[('{'0' * 32}',)]", "label": ["INSERT INTO nowhere VALUES (1)"]}
    (tmp_path / "dev.jsonl").write_text(json.dumps(wrong) + "\n" + json.dumps(failing))
    found = unattainable(Database(records=str(tmp_path)), "dev")
    assert list(found) == ["database/dev/00000", "database/dev/00001"]
    assert "the record wants 00000" in found["database/dev/00000"]
    assert "no such table: nowhere" in found["database/dev/00001"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 2"),
        (json.dumps({**SELECT, "table": {**TABLE, "table_info": {"columns": [], "rows": []}}}), "columns"),
        (json.dumps({**SELECT, "label": None}), "expected label or answer_md5"),
        (json.dumps(SELECT).replace('["Oslo", "OSL"]', '["Oslo"]'), "expected rows of 2 values"),
    ],
)
def test_a_bad_record_is_named_by_file_and_line(tmp_path: Path, line: str, complaint: str) -> None:
    (tmp_path / "dev.jsonl").write_text(json.dumps(SELECT) + "\n" + line)
    with pytest.raises(CatalogError, match=complaint) as caught:
        Database(records=str(tmp_path)).tasks("dev")
    assert "dev.jsonl, line 2" in str(caught.value)


def test_a_folder_without_records_is_said(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"expected dev.jsonl or standard.jsonl in .*, got neither"):
        Database(records=str(tmp_path))
