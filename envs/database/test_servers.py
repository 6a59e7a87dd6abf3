"""Databases on a server, spoken to by a script in its place."""

from __future__ import annotations

import sys

import pytest

from envs.database.environment import Database
from sage_gym.errors import ConfigError, InfrastructureError

FIRST = "database/synthetic/00000"


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


class Refusal(Exception):
    """Stands for psycopg's error."""

    class diag:
        message_primary = "it is refused"


class ScriptedPostgres(ScriptedDriver):
    """Stands for `psycopg`, connection and cursor."""

    Error, closed = Refusal, False

    def connect(self, *_: object, **__: object) -> ScriptedPostgres:
        return self

    def execute(self, sql: str) -> None:
        self.sent.append(sql)
        if self.refuses in sql:
            raise Refusal


def test_postgresql_is_sent_its_own_words_and_answers_for_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = ScriptedPostgres(refuses="nowhere")
    monkeypatch.setitem(sys.modules, "psycopg", driver)
    env = Database(engine="postgresql://someone@somewhere/some")
    env.reset(options={"task": FIRST})
    assert driver.sent[0].startswith("CREATE SCHEMA sage_gym_")
    table = env.problem.tables[0]
    column = table.columns[0].name
    env.step(f"sql[SELECT `{column.upper()}` FROM `{table.name.upper()}` LIMIT 2, 3]")
    assert driver.sent[-1] == f'SELECT "{column}" FROM "{table.name}" LIMIT 3 OFFSET 2'
    sent = len(driver.sent)
    assert env.step("sql[SHOW TABLES]")[0] == str([(table.name,) for table in env.problem.tables])
    assert env.step(f"sql[DESCRIBE {table.name}]")[0].startswith(f"[('{column}', 'text', 'YES'")
    assert "only this task's tables" in env.step("sql[SELECT * FROM pg_user]")[0]
    assert len(driver.sent) == sent
    assert env.step("sql[SELECT * FROM nowhere]")[4]["sql_error"] == "it is refused"
    env.close()
    assert driver.sent[-2:] == [
        driver.sent[0].replace("CREATE", "DROP").replace("SCHEMA", "SCHEMA IF EXISTS") + " CASCADE",
        "closed",
    ]


@pytest.mark.parametrize("asks", ["step", "state"])
def test_a_server_that_goes_away_is_infrastructure(monkeypatch: pytest.MonkeyPatch, asks: str) -> None:
    driver = ScriptedPostgres()
    monkeypatch.setitem(sys.modules, "psycopg", driver)
    env = Database(engine="postgresql://someone@somewhere/some")
    env.reset(options={"task": FIRST})
    driver.refuses, driver.closed = "SELECT", True
    with pytest.raises(InfrastructureError, match="lost the PostgreSQL server"):
        env.step("sql[SELECT 1]") if asks == "step" else env.is_in_wanted_state()
