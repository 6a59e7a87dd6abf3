"""MySQL's meaning on SQLite, and what statements cannot do."""

from __future__ import annotations

import resource
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.database.collation import collate
from envs.database.embedded import HEAP_MIB, Embedded
from envs.database.scoring import state_hash
from envs.database.statements import SqlError
from envs.database.tables import Column, Limits, Table

TEAMS = Table(
    "Home Teams",
    (Column("Name"), Column("Home team"), Column("Points"), Column("rank", "INT")),
    (("José", "Ajax", "1,174", 3), ("bob", "PSV", "12", 5), ("Zoë", "ajax", "9", 7), ("amy", None, "10.5", 11)),
)
ENDLESS = "WITH RECURSIVE r AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM r) "


@pytest.fixture
def engine() -> Iterator[Embedded]:
    engine = Embedded([TEAMS], Limits(steps=200_000))
    yield engine
    engine.close()


# MySQL's meaning


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT Name FROM `Home Teams` WHERE Name = 'JOSE'", [("José",)]),
        ("SELECT name FROM `Home Teams` WHERE `HOME TEAM` = 'AJAX'", [("José",), ("Zoë",)]),
        ("SELECT Name FROM `Home Teams` WHERE Points > 9.5", [("bob",), ("amy",)]),
        ("SELECT Name FROM `Home Teams` WHERE Points = 12.0", [("bob",)]),
        ("SELECT Name FROM `Home Teams` WHERE Points > '10'", [("bob",), ("Zoë",), ("amy",)]),
        ("SELECT Name FROM `Home Teams` WHERE `rank` = '5'", [("bob",)]),
        ("SELECT Name FROM `Home Teams` WHERE Points IN (9, 12)", [("bob",), ("Zoë",)]),
        ("SELECT Name FROM `Home Teams` WHERE Points NOT IN (9, 12, 1)", [("amy",)]),
        ("SELECT Name FROM `Home Teams` WHERE Points BETWEEN 9 AND 11", [("Zoë",), ("amy",)]),
        ("SELECT Name FROM `Home Teams` WHERE Name LIKE 'ZO_'", [("Zoë",)]),
        ("SELECT 'a_b' LIKE 'a\\_b', 'axb' LIKE 'a\\_b', 'a%' LIKE 'a!%' ESCAPE '!'", [(1, 0, 1)]),
        ("SELECT Name FROM `Home Teams` WHERE Name REGEXP '^[AB]'", [("bob",), ("amy",)]),
        ("SELECT Name FROM `Home Teams` WHERE `Home team` <=> NULL", [("amy",)]),
        ('SELECT "Name" FROM `Home Teams` LIMIT 1', [("Name",)]),
        ("SELECT Name FROM `Home Teams` ORDER BY Name LIMIT 1, 2", [("bob",), ("José",)]),
        ("SELECT Name FROM `Home Teams` ORDER BY Points DESC LIMIT 1", [("Zoë",)]),
        ("SELECT Name FROM `Home Teams` ORDER BY Points + 0 DESC LIMIT 1", [("bob",)]),
        ("SELECT MAX(Points), MIN(Points + 0) FROM `Home Teams`", [("9", 1.0)]),
        ("SELECT SUM(Points), AVG(Points), SUM(`rank`) FROM `Home Teams`", [(32.5, 8.125, 26)]),
        ("SELECT COUNT(*), COUNT(`Home team`), COUNT(DISTINCT `Home team`) FROM `Home Teams`", [(4, 3, 2)]),
        ("SELECT GROUP_CONCAT(Name ORDER BY `rank` DESC SEPARATOR '; ') FROM `Home Teams`", [("amy; Zoë; bob; José",)]),
        ("SELECT GROUP_CONCAT(DISTINCT `Home team`) FROM `Home Teams`", [("Ajax,PSV",)]),
        ("SELECT 7 / 2, 7 DIV 2, 7 MOD 3, 1 / 0, 2 + '3x', -'4'", [(3.5, 3, 1, None, 5.0, -4.0)]),
        ("SELECT CAST('12abc' AS SIGNED), CAST(2.5 AS UNSIGNED), CAST('1.999' AS DECIMAL(5, 2))", [(12, 3, 2.0)]),
        ("SELECT CAST('1.999' AS DECIMAL), CAST(5 AS CHAR), CONVERT('7', SIGNED)", [(2, "5", 7)]),
        ("SELECT CONCAT('a', 1, NULL), CONCAT('a', 1), CONCAT_WS(',', 'a', NULL, 'b')", [(None, "a1", "a,b")]),
        ("SELECT SUBSTRING('hello', 2, 3), SUBSTRING('hello' FROM -3 FOR 2), LEFT('abc', 2)", [("ell", "ll", "ab")]),
        ("SELECT SUBSTRING_INDEX('a-b-c', '-', 2), SUBSTRING_INDEX('a-b-c', '-', -1)", [("a-b", "c")]),
        ("SELECT TRIM('  a '), TRIM(LEADING 'x' FROM 'xxa'), LPAD('5', 3, '0'), LENGTH('é')", [("a", "a", "005", 2)]),
        ("SELECT LOCATE('L', 'hello'), POSITION('z' IN 'hello'), INSTR('hello', 'l')", [(3, 0, 3)]),
        (
            "SELECT REPLACE('1,174', ',', '') + 0, ROUND(2.345, 2), ROUND(2.5), TRUNCATE(2.79, 1)",
            [(1174.0, 2.35, 3, 2.7)],
        ),
        ("SELECT IF('1x', 'y', 'n'), IFNULL(NULL, 'd'), NULLIF('A', 'a'), COALESCE(NULL, 2)", [("y", "d", None, 2)]),
        ("SELECT CASE 'B' WHEN 'b' THEN 1 ELSE 0 END, GREATEST(2, 10), LEAST('b', 'A')", [(1, 10, "A")]),
        (
            "SELECT YEAR('2020-03-04'), MONTHNAME('2020-03-04'), DATEDIFF('2020-03-01', '2020-02-28')",
            [(2020, "March", 2)],
        ),
        (
            "SELECT DATE_ADD('2020-01-31', INTERVAL 1 MONTH), '2020-01-01' - INTERVAL 1 DAY",
            [("2020-02-29", "2019-12-31")],
        ),
        ("SELECT STR_TO_DATE('March 4, 2020', '%M %e, %Y'), STR_TO_DATE('x', '%Y')", [("2020-03-04", None)]),
        ("SELECT DATE_FORMAT('2020-03-04', '%e %b %Y'), EXTRACT(MONTH FROM '2020-03-04')", [("4 Mar 2020", 3)]),
        ("SELECT 1 || 0, 1 && 0, 1 XOR 1, NOT 0, !1", [(1, 0, 0, 1, 0)]),
        (
            "SELECT ROUND('2.5'), ROUND(2.5), ROUND('1.005', 2), ROUND(1234.5, -2), CEIL('1.2')",
            [(2.0, 3.0, 1.0, 1200.0, 2)],
        ),
        ("SELECT COUNT(DISTINCT `Home team`, `rank`), SUM(DISTINCT Points) FROM `Home Teams`", [(3, 32.5)]),
        ("SELECT CAST(12 AS CHAR(1)), CHAR(65, 66), LOG(2, 8), 1 FROM DUAL", [("1", "AB", 3.0, 1)]),
        ("SELECT ISNULL(NULL), NULL = NULL, NULL IN (1), 1 IN (NULL, 1)", [(1, None, None, 1)]),
        ("SELECT a.Name FROM `Home Teams` a JOIN `Home Teams` b ON a.`rank` = b.`rank` - 2 LIMIT 1", [("José",)]),
        ("SELECT Name FROM `Home Teams` WHERE `rank` = (SELECT MAX(`rank`) FROM `Home Teams`)", [("amy",)]),
        ("SELECT `main`.`Home Teams`.Name FROM `x`.`Home Teams` AS `main` LIMIT 0", "no such column"),
        ("SELECT Name FROM `home teams`", "Table 'home teams' doesn't exist; did you mean 'Home Teams'"),
        ("SELECT Name FROM 'Home Teams'", "error in your SQL syntax near .*Home Teams.*put names in backticks"),
        ('SELECT COUNT(*) AS "How many" FROM `Home Teams`', [(4,)]),
        ("SHOW TABLES", [("Home Teams",)]),
        (
            "SHOW COLUMNS FROM `Home Teams`",
            [(name, "text", "YES", "", None, "") for name in ("Name", "Home team", "Points")],
        ),
        ("USE anything", []),
        ("COMMIT", []),
    ],
)
def test_statements_mean_what_they_mean_in_mysql(
    engine: Embedded, sql: str, rows: list[tuple[object, ...]] | str
) -> None:
    if isinstance(rows, str):
        with pytest.raises(SqlError, match=rows):
            engine.run(sql)
    elif sql.startswith("SHOW COLUMNS"):
        assert engine.run(sql) == [*rows, ("rank", "int", "YES", "", None, "")]
    else:
        assert engine.run(sql) == rows


@pytest.mark.parametrize(
    ("sql", "row"),
    [
        ("INSERT INTO `Home Teams` VALUES ('x', NULL, -3.50, 4)", ("x", None, "-3.50", 4)),
        ("INSERT INTO `Home Teams` (Name, Points) VALUES ('x', 007)", ("x", None, "7", None)),
        ("INSERT INTO `Home Teams` SET Name = 'x', `rank` = '4'", ("x", None, None, 4)),
        ("INSERT INTO `Home Teams` SELECT 'x', Name, Points + 1, `rank` FROM `Home Teams` WHERE `rank` = 5", None),
        ("UPDATE `Home Teams` SET Name = 'x', Points = Points + 1 WHERE `rank` = 7", ("x", "ajax", "10", 7)),
        ("UPDATE `Home Teams` SET Points = 5, `Home team` = Points, Name = 'x' WHERE Name = 'BOB'", ("x", "5", "5", 5)),
        ("UPDATE `Home Teams` SET Name = 'x' ORDER BY `rank` DESC LIMIT 1", ("x", None, "10.5", 11)),
        ("UPDATE `Home Teams` SET Name = 'x' WHERE Name = 'zoe' AND Points = 9", ("x", "ajax", "9", 7)),
        (
            "UPDATE `Home Teams` SET `Home team` = 'a\\nb\\\\n''c', Name = 'x' WHERE `rank` = 3",
            ("x", "a\nb\\n'c", "1,174", 3),
        ),
    ],
)
def test_changes_store_what_mysql_stores(engine: Embedded, sql: str, row: tuple[object, ...] | None) -> None:
    assert engine.run(sql) == []
    assert engine.run("SELECT * FROM `Home Teams` WHERE Name = 'x'") == [row or ("x", "bob", "13", 5)]


def test_a_number_column_takes_numbers_only(engine: Embedded) -> None:
    with pytest.raises(SqlError, match="Incorrect integer value for column 'rank'"):
        engine.run("UPDATE `Home Teams` SET `rank` = 'first'")
    assert engine.run("SELECT SUM(`rank`) FROM `Home Teams`") == [(26,)]


@settings(max_examples=50)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30))
def test_any_text_comes_back_as_it_was_written(value: str) -> None:
    engine = Embedded([Table("t", (Column("a"),), ())])
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    engine.run(f"INSERT INTO t VALUES ('{escaped}')")
    assert engine.rows_of(Table("t", (Column("a"),), ())) == [(value,)]
    assert engine.run(f"SELECT COUNT(*) FROM t WHERE a = '{escaped}'") == [(1,)]
    engine.close()


@given(
    st.one_of(
        st.text(max_size=40),
        st.lists(st.sampled_from(["SELECT", "*", "FROM", "t", "(", ")", "'", '"', "`", ",", "=", "1", ";", "--", "["])),
    )
)
def test_nonsense_is_refused_in_words_and_never_raises_anything_else(written: str | list[str]) -> None:
    engine = Embedded([Table("t", (Column("a"),), (("1",),))])
    try:
        engine.run(written if isinstance(written, str) else " ".join(written))
    except SqlError as error:
        said = str(error)
    else:
        said = "rows"
    finally:
        engine.close()
    assert said


@given(st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))
def test_the_collation_is_a_total_preorder(a: str, b: str, c: str) -> None:
    assert collate(a, a) == 0
    assert collate(a, b) == -collate(b, a)
    if collate(a, b) <= 0 and collate(b, c) <= 0:
        assert collate(a, c) <= 0


# What statements cannot do


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
