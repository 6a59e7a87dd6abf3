"""A MySQL-compatible server, through PyMySQL; each episode has a database of its own, dropped at the end.

What a statement may do beyond its kind and functions is up to the account: give it rights on `sage_gym_%` alone.
"""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlglot import exp

from envs.database.statements import SqlError, check_local, in_mysql, parse
from envs.database.tables import Limits, Row, Table
from envs.database.translation import quoted
from sage_gym.errors import ConfigError, InfrastructureError

__all__ = ["MySql"]

SERVER_GONE = (2003, 2006, 2013, 2014, 2055)
SETTINGS = (
    "SET SESSION max_execution_time = {ms}",
    "SET SESSION max_statement_time = {s}",
    "SET SESSION sql_mode = REPLACE(@@sql_mode, 'STRICT_TRANS_TABLES', '')",
)
"""MySQL's time limit (of a SELECT only), MariaDB's, of which one is refused, and that is well; and the leniency that
two of AgentBench's recorded states show: a change whose condition compares a text with a number goes through."""


def _driver() -> Any:
    try:
        return importlib.import_module("pymysql")
    except ModuleNotFoundError as error:
        raise ConfigError(["engine: mysql:// needs the package 'pymysql'; pip install pymysql"]) from error


class MySql:
    """One episode's database on a server.

    Args:
        driver: the module `pymysql`.
        address: `mysql://user:password@host:port`.
        tables: created and filled.
        limits: for each statement.

    Raises:
        InfrastructureError: the server does not answer, or refuses.
    """

    def __init__(self, driver: Any, address: str, tables: Sequence[Table], limits: Limits) -> None:
        self._driver, self._limits = driver, limits
        self._name = f"sage_gym_{secrets.token_hex(8)}"
        parts = urlsplit(address)
        try:
            self._connection = driver.connect(
                host=parts.hostname or "localhost",
                port=parts.port or 3306,
                user=unquote(parts.username or "root"),
                password=unquote(parts.password or ""),
                charset="utf8mb4",
                autocommit=True,
                connect_timeout=10,
                read_timeout=limits.timeout_s + 5,
            )
        except driver.MySQLError as error:
            raise InfrastructureError(f"expected a MySQL server at {parts.hostname}:{parts.port}: {error}") from error
        try:
            self._set_up(tables)
        except driver.MySQLError as error:
            self.close()
            raise InfrastructureError(f"expected a MySQL server that can hold the tables: {error}") from error

    @classmethod
    def at(cls, address: str) -> Callable[[Sequence[Table], Limits], MySql]:
        """Return what opens databases at an address.

        Raises:
            ConfigError: the driver is not installed.
        """
        driver = _driver()
        return lambda tables, limits: cls(driver, address, tables, limits)

    def run(self, sql: str) -> list[Row]:
        """Carry out one statement.

        Raises:
            SqlError: it was not carried out; the message is for the agent.
            InfrastructureError: the server is gone.
        """
        statement = parse(sql)
        check_local(statement)
        if isinstance(statement, exp.Use | exp.Commit | exp.Transaction | exp.Rollback):
            return []
        try:
            return self._query(in_mysql(statement), self._limits.rows)
        except self._driver.MySQLError as error:
            code = error.args[0] if error.args else 0
            if code in SERVER_GONE:
                raise InfrastructureError(f"lost the MySQL server: {error}") from error
            raise SqlError(": ".join(str(part) for part in error.args)) from error

    def rows_of(self, table: Table) -> list[Row] | None:
        """Read a task's table by its own columns; None where it, or one of them, is gone."""
        names = ", ".join(quoted(column.name) for column in table.columns)
        try:
            return self._query(f"SELECT {names} FROM {quoted(table.name)}", None)
        except self._driver.MySQLError as error:
            if error.args and error.args[0] in SERVER_GONE:
                raise InfrastructureError(f"lost the MySQL server: {error}") from error
            return None

    def close(self) -> None:
        """Drop the database."""
        with suppress(self._driver.MySQLError):
            self._query(f"DROP DATABASE IF EXISTS {self._name}", 0)
            self._connection.close()

    def _set_up(self, tables: Sequence[Table]) -> None:
        self._query(f"CREATE DATABASE {self._name} CHARACTER SET utf8mb4", 0)
        self._query(f"USE {self._name}", 0)
        for setting in SETTINGS:
            with suppress(self._driver.MySQLError):
                self._query(setting.format(ms=int(self._limits.timeout_s * 1000), s=self._limits.timeout_s), 0)
        for table in tables:
            columns = ", ".join(f"{quoted(column.name)} {column.kind}" for column in table.columns)
            self._query(f"CREATE TABLE {quoted(table.name)} ({columns})", 0)
            marks = ", ".join(["%s"] * len(table.columns))
            with self._connection.cursor() as cursor:
                cursor.executemany(f"INSERT INTO {quoted(table.name).replace('%', '%%')} VALUES ({marks})", table.rows)

    def _query(self, sql: str, rows: int | None) -> list[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            if cursor.description is None:
                return []
            return list(cursor.fetchall() if rows is None else cursor.fetchmany(rows))
