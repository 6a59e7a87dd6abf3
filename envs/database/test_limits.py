"""What statements cannot do: leave their tables, go on without end, take the machine's memory."""

from __future__ import annotations

import resource
import sqlite3
import time
from pathlib import Path

import pytest

from envs.database.conftest import TEAMS
from envs.database.embedded import HEAP_MIB, Embedded
from envs.database.scoring import state_hash
from envs.database.statements import SqlError
from envs.database.tables import Limits

ENDLESS = "WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r) "


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH DATABASE '{path}' AS x",
        "VACUUM INTO '{path}'",
        "PRAGMA database_list",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('{path}')",
        "SELECT readfile('/etc/passwd')",
        "SELECT writefile('{path}', 'x')",
        "SELECT load_file('/etc/passwd')",
        "SELECT 'x' INTO OUTFILE '{path}'",
        "LOAD DATA INFILE '/etc/passwd' INTO TABLE `Home Teams`",
        "SELECT fts3_tokenizer('x')",
        "SELECT sys_exec('touch {path}')",
        "SELECT zeroblob(1000000000)",
        "SELECT randomblob(9)",
        "SELECT RAND()",
        "SELECT NOW()",
        "SELECT SLEEP(1000)",
        "SELECT @@version",
        "SET @x = 1",
        "CREATE VIRTUAL TABLE v USING fts5(a)",
        "CREATE TRIGGER g AFTER INSERT ON `Home Teams` BEGIN SELECT 1; END",
        "CREATE TEMPORARY TABLE q (a TEXT)",
        "CREATE DATABASE x",
        "DROP DATABASE x",
        "GRANT ALL ON *.* TO x",
        "CALL something()",
        "EXPLAIN SELECT 1",
        "SHOW PROCESSLIST",
        "SELECT 1; DELETE FROM `Home Teams`",
        "",
        "-- only a remark",
        "SELECT '" + "a" * 30_000 + "'",
        "SELECT 'a\0b'",
        "SELECT " + "(" * 500 + "1" + ")" * 500,
        "SELECT " + " + ".join(["1"] * 3_000),
        "SELECT REPEAT('a', 100000000)",
        "SELECT 9223372036854775807 + 1",
        "SELECT POW(10, 400)",
        "SELECT LEFT()",
        "SELECT 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' REGEXP '(a+)+(b+)+$(c+)+('",
    ],
)
def test_what_leaves_the_tables_or_never_ends_is_refused_in_words(engine: Embedded, tmp_path: Path, sql: str) -> None:
    path = tmp_path / "out"
    with pytest.raises(SqlError) as caught:
        engine.run(sql.replace("{path}", str(path)))
    assert str(caught.value)
    assert not path.exists()
    assert len(engine.rows_of(TEAMS) or []) == 4
    assert engine.run("SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH DATABASE '{path}' AS x",
        "VACUUM INTO '{path}'",
        "PRAGMA writable_schema = ON",
        "SELECT * FROM pragma_database_list",
        "SELECT load_extension('{path}')",
        "CREATE VIRTUAL TABLE v USING fts5(a)",
        "CREATE TEMP TRIGGER g AFTER INSERT ON `Home Teams` BEGIN SELECT 1; END",
        "SELECT zeroblob(10)",
        "DETACH DATABASE main",
    ],
)
def test_the_authoriser_holds_without_the_check_before_it(engine: Embedded, tmp_path: Path, sql: str) -> None:
    path = tmp_path / "out"
    with pytest.raises(SqlError):
        engine._execute(sql.replace("{path}", str(path)))
    assert not path.exists()


@pytest.mark.parametrize(
    "sql",
    [
        ENDLESS + "SELECT COUNT(*) FROM r",
        ENDLESS + "SELECT x, REPEAT('a', 60000) FROM r ORDER BY 2",
        "INSERT INTO `Home Teams` (Name) " + ENDLESS + "SELECT REPEAT('a', 60000) FROM r",
        "SELECT COUNT(*) FROM " + ", ".join(f"`Home Teams` t{i}" for i in range(12)),
        "SELECT REPEAT('aaaaaaaaaa', 3000) LIKE '%a%a%a%a%a%a%ab'",
    ],
)
def test_what_never_ends_is_stopped_and_the_tables_stay(engine: Embedded, sql: str) -> None:
    begun = time.monotonic()
    with pytest.raises(SqlError, match=r"interrupted|too large|Timeout"):
        engine.run(sql)
    assert time.monotonic() - begun < 5
    assert engine.rows_of(TEAMS) == list(TEAMS.rows)


def test_a_sort_that_never_ends_is_stopped_by_its_memory() -> None:
    engine = Embedded([TEAMS], Limits(timeout_s=60, steps=10**12))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SqlError, match="too large"):
        engine.run(ENDLESS + "SELECT x, REPEAT('a', 60000) FROM r ORDER BY 2")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2 * HEAP_MIB << 10  # in KiB
    assert engine.run("SELECT COUNT(*) FROM `Home Teams`") == [(4,)]


def test_the_clock_stops_what_the_count_of_steps_would_let_run() -> None:
    engine = Embedded([TEAMS], Limits(timeout_s=0.05, steps=10**12))
    with pytest.raises(SqlError, match="interrupted"):
        engine.run(ENDLESS + "SELECT COUNT(*) FROM r")


def test_a_table_that_was_dropped_has_no_state(engine: Embedded) -> None:
    engine.run("DROP TABLE `Home Teams`")
    assert engine.rows_of(TEAMS) is None
    assert state_hash(None) is None


def test_the_database_is_in_memory(engine: Embedded) -> None:
    engine._is_trusted = True
    assert engine._connection.execute("PRAGMA database_list").fetchall() == [(0, "main", "")]
    engine.close()
    with pytest.raises(sqlite3.ProgrammingError):
        engine._connection.execute("SELECT 1")
