"""MySQL's meaning on SQLite."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.database.collation import collate
from envs.database.embedded import Embedded
from envs.database.statements import SqlError
from envs.database.tables import Column, Table


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
