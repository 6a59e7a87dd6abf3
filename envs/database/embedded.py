"""The default engine: SQLite in memory, one database an episode, that takes MySQL's statements.

A statement cannot leave its database: an authoriser denies all but reading and changing the tables, work and time are
counted, and values, pages and rows are bounded.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlglot import exp

from envs.database.aggregates import GroupConcat
from envs.database.collation import collate
from envs.database.functions import FUNCTIONS
from envs.database.operators import MAX_TEXT, like
from envs.database.statements import NATIVE, SqlError, parse
from envs.database.tables import Column, Limits, Row, Table
from envs.database.translation import PREFIX, quoted, to_sqlite

__all__ = ["Embedded"]

WRONG_NUMBER = "Incorrect integer value for column"
STRIDE = 200
"""Steps between two looks at the clock."""
HEAP_MIB = 256
"""What SQLite may hold in this process; only a statement that sorts or joins without end comes near."""
COLLATION = "utf8mb4_0900_ai_ci"
ALLOWED = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_DELETE,
    sqlite3.SQLITE_RECURSIVE,
    sqlite3.SQLITE_CREATE_TABLE,
    sqlite3.SQLITE_CREATE_INDEX,
    sqlite3.SQLITE_CREATE_VIEW,
    sqlite3.SQLITE_DROP_TABLE,
    sqlite3.SQLITE_DROP_INDEX,
    sqlite3.SQLITE_DROP_VIEW,
    sqlite3.SQLITE_ALTER_TABLE,
    sqlite3.SQLITE_REINDEX,
}
BUILT_IN = frozenset({*NATIVE, "like", "iif", "sqlite_rename_table", "sqlite_rename_column"}) | {
    "sqlite_rename_test",
    "sqlite_rename_quotefix",
    "sqlite_drop_column",
    "printf",
    "substr",
    "length",
}
"""What SQLite's own ALTER TABLE calls is among them."""


class Embedded:
    """An in-memory database that holds a task's tables.

    Args:
        tables: created and filled.
        limits: for each statement.
    """

    def __init__(self, tables: Sequence[Table], limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._fault, self._steps, self._deadline = "", 0, float("inf")
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._is_trusted = True
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 4 * MAX_TEXT)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self._connection.execute("PRAGMA trusted_schema = OFF")
        self._connection.execute(f"PRAGMA max_page_count = {self._limits.memory_mib * 256}")
        self._connection.execute("PRAGMA temp_store = MEMORY")
        self._connection.execute(f"PRAGMA hard_heap_limit = {HEAP_MIB << 20}")
        self._offer_functions()
        for table in tables:
            self._create(table)
        self._connection.set_authorizer(self._authorise)
        self._connection.set_progress_handler(self._watch, STRIDE)
        self._is_trusted = False

    def run(self, sql: str) -> list[Row]:
        """Carry out one statement.

        Raises:
            SqlError: it was not carried out, or stopped; the message is for the agent.
        """
        statement = parse(sql)
        if isinstance(statement, exp.Use | exp.Commit | exp.Transaction | exp.Rollback):
            return []  # each statement is committed, as AgentBench does
        if isinstance(statement, exp.Show | exp.Describe):
            return self._describe(statement)
        if isinstance(statement, exp.TruncateTable):
            statement = exp.Delete(this=statement.expressions[0])
        self._check_case(statement)
        return self._execute(to_sqlite(statement))

    def rows_of(self, table: Table) -> list[Row] | None:
        """Read a task's table by its own columns; None where it, or one of them, is gone."""
        names = ", ".join(quoted(column.name) for column in table.columns)
        try:
            return self._connection.execute(f"SELECT {names} FROM {quoted(table.name)}").fetchall()
        except sqlite3.Error:
            return None

    def close(self) -> None:
        """Free the memory."""
        self._connection.close()

    # What is set up before the agent comes

    def _offer_functions(self) -> None:
        self._connection.create_collation(COLLATION, collate)
        for name, function in FUNCTIONS.items():
            self._connection.create_function(PREFIX + name, -1, self._guarded(function), deterministic=True)
        for arity in (2, 3):
            self._connection.create_function("like", arity, self._guarded(like), deterministic=True)
        self._connection.create_aggregate(PREFIX + "group_concat", 5, GroupConcat)  # type: ignore[arg-type]

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Keep what a function complains of: SQLite would only say that one did."""

        def call(*arguments: Any) -> Any:
            try:
                return _storable(function(*arguments))
            except TimeoutError:
                self._fault = "Timeout exceeded in regular expression match"
            except TypeError:
                self._fault = "Incorrect parameters in the call to a native function"
            except (ArithmeticError, ValueError) as error:
                self._fault = str(error)
            raise ValueError(self._fault)

        return call

    def _create(self, table: Table) -> None:
        columns = ", ".join(_declared(column) for column in table.columns)
        self._connection.execute(f"CREATE TABLE {quoted(table.name)} ({columns})")
        marks = ", ".join("?" * len(table.columns))
        self._connection.executemany(f"INSERT INTO {quoted(table.name)} VALUES ({marks})", table.rows)

    # While the agent acts

    def _authorise(self, action: int, first: str | None, second: str | None, database: str | None, by: Any) -> int:
        if self._is_trusted or action in ALLOWED:
            return sqlite3.SQLITE_OK
        name = (second or "").lower()
        is_known = action == sqlite3.SQLITE_FUNCTION and (name in BUILT_IN or name.startswith(PREFIX))
        return sqlite3.SQLITE_OK if is_known else sqlite3.SQLITE_DENY

    def _watch(self) -> int:
        self._steps += STRIDE
        return int(self._steps > self._limits.steps or time.monotonic() > self._deadline)

    def _execute(self, sql: str) -> list[Row]:
        self._fault, self._steps = "", 0
        self._deadline = time.monotonic() + self._limits.timeout_s
        try:
            cursor = self._connection.execute(sql)
            rows: list[Row] = cursor.fetchmany(self._limits.rows)
            cursor.close()
            return rows
        except (sqlite3.Error, sqlite3.Warning, OverflowError, MemoryError) as error:
            raise SqlError(self._explain(error)) from error
        finally:
            self._deadline = float("inf")

    def _explain(self, error: BaseException) -> str:
        message = str(error)
        if message == "interrupted":
            return "Query execution was interrupted: it took too long; the tables are as they were before it"
        if self._fault:
            return self._fault
        if message.startswith("not authorized"):
            return "that is not permitted here: statements can only read and change this database's tables"
        if isinstance(error, MemoryError) or "full" in message or "too big" in message:
            return f"too large: at most {self._limits.memory_mib} MiB a database, {MAX_TEXT} characters a value"
        if message.startswith("user-defined"):
            return "a function was given too much, or a value that it does not take"
        return message.replace(PREFIX, "").removeprefix("CHECK constraint failed: ")

    def _check_case(self, statement: exp.Expr) -> None:
        """Mind the case of tables' names, as MySQL does on Linux and SQLite does not."""
        names = {name.lower(): name for (name,) in self._connection.execute("SELECT name FROM sqlite_master")}
        for table in statement.find_all(exp.Table):
            if names.get(table.name.lower(), table.name) != table.name:
                raise SqlError(f"Table {table.name!r} doesn't exist; did you mean {names[table.name.lower()]!r}?")

    def _describe(self, statement: exp.Expr) -> list[Row]:
        self._is_trusted = True
        try:
            return _described(self._connection, statement)
        finally:
            self._is_trusted = False


def _storable(value: Any) -> Any:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("BIGINT value is out of range")
    return value


def _declared(column: Column) -> str:
    name = quoted(column.name)
    if column.kind == "TEXT":
        return f"{name} TEXT COLLATE {COLLATION}"
    complaint = quoted(f"{WRONG_NUMBER} {column.name!r}")
    return f"{name} INTEGER CONSTRAINT {complaint} CHECK (typeof({name}) IN ('integer', 'null'))"


def _described(connection: sqlite3.Connection, statement: exp.Expr) -> list[Row]:
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")]
    wanted = statement.this.name if isinstance(statement, exp.Describe) else str(statement.this)
    if isinstance(statement, exp.Show):
        if wanted == "TABLES":
            return [(name,) for name in names]
        wanted = str(statement.args["target"].name)
    if wanted not in names:
        raise SqlError(f"Table {wanted!r} doesn't exist")
    columns = connection.execute(f"PRAGMA table_info({quoted(wanted)})").fetchall()
    kinds = [(name, "int" if kind == "INTEGER" else kind.lower()) for _, name, kind, *_ in columns]
    if isinstance(statement, exp.Show) and str(statement.this) == "CREATE TABLE":
        body = ",\n".join(f"  {quoted(name)} {kind}" for name, kind in kinds)
        return [(wanted, f"CREATE TABLE {quoted(wanted)} (\n{body}\n)")]
    return [(name, kind, "YES", "", None, "") for name, kind in kinds]
