"""What an agent may send to a database: one MySQL statement of a known kind, calling known functions.

The same check stands before every engine, so that what is allowed does not depend on where the tables lie.
"""

from __future__ import annotations

from typing import Any, ClassVar

import sqlglot
from sqlglot import ErrorLevel, TokenType, exp
from sqlglot.dialects.mysql import MySQL
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.parsers.mysql import MySQLParser

from envs.database.functions import FUNCTIONS

__all__ = ["QUERIES", "SqlError", "check_local", "in_mysql", "parse"]

MAX_LENGTH = 20_000
QUERIES = (exp.Select, exp.SetOperation, exp.Subquery)
CHANGES = (exp.Insert, exp.Update, exp.Delete, exp.TruncateTable)
NEUTRAL = (exp.Show, exp.Describe, exp.Use, exp.Commit, exp.Transaction, exp.Rollback)
SHOWN = ("TABLES", "COLUMNS", "CREATE TABLE")
SCHEMA_KINDS = ("TABLE", "VIEW", "INDEX")
AGGREGATES = ("count", "sum", "avg", "min", "max", "group_concat")
WINDOWS = ("row_number", "rank", "dense_rank", "lag", "lead", "first_value", "last_value", "ntile")
NATIVE = (*AGGREGATES, *WINDOWS, "ifnull", "coalesce", "values", "date_add", "date_sub", "adddate", "subdate")
CLOCK = ("now", "curdate", "current_date", "curtime", "sysdate", "unix_timestamp", "rand", "uuid", "sleep")


OWN_SYNTAX = ("CAST", "CONVERT", "EXTRACT", "GROUP_CONCAT", "POSITION", "SUBSTR", "SUBSTRING", "TRIM")
"""Functions whose arguments are not a plain list."""


class SqlError(ValueError):
    """What an engine answers to a statement that it does not carry out; in words, for the agent."""


class _Dialect(MySQL):
    """MySQL, but each function keeps its name and arguments as written."""

    class Parser(MySQLParser):
        FUNCTIONS: ClassVar[dict[str, Any]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Any]] = {
            name: reader for name, reader in MySQLParser.FUNCTION_PARSERS.items() if name in OWN_SYNTAX
        }

        def _parse_table_part(self, schema: bool = False) -> exp.Expr | None:
            """Take no text for the name of a table, as MySQL does not."""
            if self._curr and self._curr.token_type == TokenType.STRING:
                self.raise_error("expected the name of a table, in backticks where it has spaces")
            return super()._parse_table_part(schema=schema)

        def _warn_unsupported(self) -> None:
            """Say nothing: what is not understood is refused below, in words."""


def parse(sql: str) -> exp.Expr:
    """Read one statement.

    Raises:
        SqlError: it is none, more than one, too long, or of a kind that is not allowed; the message says which.
    """
    if len(sql) > MAX_LENGTH:
        raise SqlError(f"expected a statement of at most {MAX_LENGTH} characters, got {len(sql)}")
    if "\0" in sql:
        raise SqlError("expected a statement without the character NUL")
    found = [statement for statement in _read(sql) if statement is not None]
    if len(found) != 1:
        raise SqlError(f"expected one statement, got {len(found)}; send one at a time")
    _check_kind(found[0])
    for node in found[0].walk():
        _check_function(node)
    statement: exp.Expr = found[0]
    return statement


def _read(sql: str) -> list[Any]:
    try:
        return list(sqlglot.parse(sql, read=_Dialect))
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        near = f" near {first['highlight']!r} (line {first['line']}, column {first['col']})" if first else ""
        advice = "; put names in backticks, texts in quotes" if "name of a table" in str(error) else ""
        raise SqlError(f"You have an error in your SQL syntax{near}{advice}") from error
    except (SqlglotError, RecursionError) as error:
        raise SqlError("You have an error in your SQL syntax: unbalanced quotes, or nested too deeply") from error


def _check_kind(statement: exp.Expr) -> None:
    if isinstance(statement, (*QUERIES, *CHANGES, *NEUTRAL)):
        _check_description(statement)
        return
    if isinstance(statement, exp.Alter | exp.Create | exp.Drop):
        kind = str(statement.args.get("kind")).upper()
        if kind in SCHEMA_KINDS:
            return
        raise SqlError(f"expected a TABLE, VIEW or INDEX to change, got {kind}")
    word = statement.sql(dialect="mysql").split(maxsplit=1) or [""]
    raise SqlError(
        f"statements of the kind {word[0].upper()!r} are not available here; "
        "use SELECT, INSERT, UPDATE, DELETE, SHOW or DESCRIBE"
    )


def _check_description(statement: exp.Expr) -> None:
    if isinstance(statement, exp.Describe) and not isinstance(statement.this, exp.Table):
        raise SqlError("EXPLAIN is not available here; DESCRIBE takes the name of a table")
    if isinstance(statement, exp.Show) and str(statement.this) not in SHOWN:
        raise SqlError(f"SHOW {statement.this} is not available here; use SHOW TABLES or SHOW COLUMNS FROM a table")


def check_local(statement: exp.Expr) -> None:
    """Refuse a table of another database; for engines that hold more than one episode's.

    Raises:
        SqlError: the statement names one.
    """
    foreign = next((table for table in statement.find_all(exp.Table) if table.args.get("db")), None)
    if foreign is not None or (isinstance(statement, exp.Show) and statement.args.get("db")):
        raise SqlError("name a table without its database; only this task's tables are at hand")


def in_mysql(statement: exp.Expr) -> str:
    """Write a statement that was checked: what a server reads in the agent's own text could differ (`/*! … */`)."""
    return str(statement.sql(dialect=_Dialect, comments=False, unsupported_level=ErrorLevel.IGNORE))


def _check_function(node: exp.Expr) -> None:
    if isinstance(node, exp.CurrentDate | exp.CurrentTime | exp.CurrentTimestamp | exp.Rand):
        raise SqlError("the clock and random numbers are not available here: the same statements give the same results")
    if isinstance(node, exp.SessionParameter | exp.Parameter | exp.Placeholder):
        raise SqlError("variables and parameters are not available here; write the value itself")
    if not isinstance(node, exp.Anonymous):
        return
    name = str(node.this).lower()
    if name in CLOCK:
        raise SqlError(f"FUNCTION {name} is not available here: the same statements give the same results")
    if name not in FUNCTIONS and name not in NATIVE:
        raise SqlError(f"FUNCTION {name} does not exist here")
