"""A PostgreSQL server, through psycopg; each episode has a schema of its own, dropped at the end.

The agent writes MySQL here too, and sqlglot translates it. PostgreSQL stays as strict as it is: it compares no text
with a number. The account must be none that may read the server's files.
"""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import sqlglot
from sqlglot import ErrorLevel, exp

from envs.database.statements import SqlError, check_local, parse
from envs.database.tables import Limits, Row, Table
from sage_gym.errors import ConfigError, InfrastructureError

__all__ = ["PostgreSql"]


def _driver() -> Any:
    try:
        return importlib.import_module("psycopg")
    except ImportError as error:
        raise ConfigError(
            ["engine: postgresql:// needs the package 'psycopg'; pip install 'psycopg[binary]'"]
        ) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class PostgreSql:
    """One episode's schema on a server.

    Args:
        driver: the module `psycopg`.
        address: `postgresql://user:password@host:port/database`.
        tables: created and filled.
        limits: for each statement.

    Raises:
        InfrastructureError: the server does not answer, or refuses.
    """

    def __init__(self, driver: Any, address: str, tables: Sequence[Table], limits: Limits) -> None:
        self._driver, self._limits, self._tables = driver, limits, tables
        self._name = f"sage_gym_{secrets.token_hex(8)}"
        self._spelling = {
            name.lower(): name for table in tables for name in (table.name, *(column.name for column in table.columns))
        }
        try:
            self._connection = driver.connect(address, autocommit=True, connect_timeout=10)
        except driver.Error as error:
            raise InfrastructureError(f"expected a PostgreSQL server: {error}") from error
        try:
            self._set_up(tables)
        except driver.Error as error:
            self.close()
            raise InfrastructureError(f"expected a PostgreSQL server that can hold the tables: {error}") from error

    @classmethod
    def at(cls, address: str) -> Callable[[Sequence[Table], Limits], PostgreSql]:
        """Return what opens schemas at an address.

        Raises:
            ConfigError: the driver is not installed.
        """
        driver = _driver()
        return lambda tables, limits: cls(driver, address, tables, limits)

    def run(self, sql: str) -> list[Row]:
        """Carry out one statement, in PostgreSQL's words.

        Raises:
            SqlError: it was not carried out; the message is for the agent.
            InfrastructureError: the server is gone.
        """
        statement = parse(sql)
        check_local(statement)
        if any(table.name.lower().startswith("pg_") for table in statement.find_all(exp.Table)):
            raise SqlError("only this task's tables are at hand")
        if isinstance(statement, exp.Use | exp.Commit | exp.Transaction | exp.Rollback):
            return []
        if isinstance(statement, exp.Show | exp.Describe):
            return self._describe(statement)
        try:
            return self._query(self._translated(sql), self._limits.rows)
        except self._driver.Error as error:
            self._check_alive(error)
            raise SqlError(str(error.diag.message_primary or error)) from error

    def rows_of(self, table: Table) -> list[Row] | None:
        """Read a task's table by its own columns; None where it, or one of them, is gone."""
        names = ", ".join(_quoted(column.name) for column in table.columns)
        try:
            return self._query(f"SELECT {names} FROM {_quoted(table.name)}", None)
        except self._driver.Error as error:
            self._check_alive(error)
            return None

    def close(self) -> None:
        """Drop the schema."""
        with suppress(self._driver.Error):
            self._query(f"DROP SCHEMA IF EXISTS {self._name} CASCADE", 0)
            self._connection.close()

    def _set_up(self, tables: Sequence[Table]) -> None:
        self._query(f"CREATE SCHEMA {self._name}", 0)
        self._query(f"SET search_path = {self._name}", 0)
        self._query(f"SET statement_timeout = {int(self._limits.timeout_s * 1000)}", 0)
        for table in tables:
            columns = ", ".join(f"{_quoted(column.name)} {column.kind}" for column in table.columns)
            self._query(f"CREATE TABLE {_quoted(table.name)} ({columns})", 0)
            marks = ", ".join(["%s"] * len(table.columns))
            with self._connection.cursor() as cursor:
                cursor.executemany(f"INSERT INTO {_quoted(table.name).replace('%', '%%')} VALUES ({marks})", table.rows)

    def _translated(self, sql: str) -> str:
        """Translate, with names spelled as the tables spell them: MySQL does not mind their case."""
        statement = sqlglot.parse_one(sql, read="mysql")
        for name in statement.find_all(exp.Identifier):
            name.set("this", self._spelling.get(name.name.lower(), name.name))
        return str(
            statement.sql(dialect="postgres", identify=True, comments=False, unsupported_level=ErrorLevel.IGNORE)
        )

    def _describe(self, statement: exp.Expr) -> list[Row]:
        if isinstance(statement, exp.Show) and str(statement.this) == "TABLES":
            return [(table.name,) for table in self._tables]
        named = statement.this if isinstance(statement, exp.Describe) else statement.args["target"]
        found = next((table for table in self._tables if table.name.lower() == named.name.lower()), None)
        if found is None:
            raise SqlError(f"Table {named.name!r} doesn't exist")
        return [(column.name, column.kind.lower(), "YES", "", None, "") for column in found.columns]

    def _check_alive(self, error: BaseException) -> None:
        if self._connection.closed:
            raise InfrastructureError(f"lost the PostgreSQL server: {error}") from error

    def _query(self, sql: str, rows: int | None) -> list[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            if cursor.description is None:
                return []
            return list(cursor.fetchall() if rows is None else cursor.fetchmany(rows))
