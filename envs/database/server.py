"""One episode's own database on a server: made for it, filled, and dropped at the end.

What differs between servers is a `Dialect`; `envs.database.mysql` and `envs.database.postgresql` have one each.
"""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol
from urllib.parse import urlsplit

from sqlglot import exp

from envs.database.statements import SqlError, check_local, parse
from envs.database.tables import Limits, Row, Table
from sage_gym.errors import ConfigError, InfrastructureError

__all__ = ["Dialect", "Server", "at_address", "load_driver"]


class Dialect(Protocol):
    """How a kind of server is spoken to.

    Attributes:
        name: of the kind, for messages.
        failure: what its driver raises.
    """

    name: str
    failure: type[Exception]

    def connect(self, address: str, limits: Limits) -> Any:
        """Open a connection that commits each statement."""
        ...

    def opening(self, place: str, limits: Limits) -> Sequence[str]:
        """Give the statements that make an episode's place on the server and settle in it."""
        ...

    def settings(self, limits: Limits) -> Sequence[str]:
        """Give statements that some servers of the kind refuse, and then do without."""
        ...

    def closing(self, place: str) -> str:
        """Give the statement that drops the place with all that is in it."""
        ...

    def quoted(self, name: str) -> str:
        """Write a name."""
        ...

    def prepare(self, statement: exp.Expr, sql: str, tables: Sequence[Table]) -> str | list[Row]:
        """Write a checked statement as the server takes it, or answer it where the server cannot.

        Raises:
            SqlError: this kind of server must be kept from it; in words, for the agent.
        """
        ...

    def is_lost(self, error: Exception, connection: Any) -> bool:
        """Whether a failure means that the server is gone."""
        ...

    def told(self, error: Exception) -> str:
        """Give the server's reason, for the agent."""
        ...


class Server:
    """One episode's database on a server.

    Args:
        dialect: how the server is spoken to.
        address: with the account and the port.
        tables: created and filled.
        limits: for each statement.

    Raises:
        InfrastructureError: the server does not answer, or refuses.
    """

    def __init__(self, dialect: Dialect, address: str, tables: Sequence[Table], limits: Limits) -> None:
        self._dialect, self._limits, self._tables = dialect, limits, tables
        self._place = f"sage_gym_{secrets.token_hex(8)}"
        try:
            self._connection = dialect.connect(address, limits)
        except dialect.failure as error:
            raise InfrastructureError(f"expected a {dialect.name} server at {_host(address)}: {error}") from error
        try:
            self._set_up()
        except dialect.failure as error:
            self.close()
            raise InfrastructureError(f"expected a {dialect.name} server that can hold the tables: {error}") from error

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
        prepared = self._dialect.prepare(statement, sql, self._tables)
        if not isinstance(prepared, str):
            return prepared
        try:
            return self._query(prepared, self._limits.rows)
        except self._dialect.failure as error:
            self._check_alive(error)
            raise SqlError(self._dialect.told(error)) from error

    def rows_of(self, table: Table) -> list[Row] | None:
        """Read a task's table by its own columns; None where it, or one of them, is gone."""
        names = ", ".join(self._dialect.quoted(column.name) for column in table.columns)
        try:
            return self._query(f"SELECT {names} FROM {self._dialect.quoted(table.name)}", None)
        except self._dialect.failure as error:
            self._check_alive(error)
            return None

    def close(self) -> None:
        """Drop the database."""
        with suppress(self._dialect.failure):
            self._query(self._dialect.closing(self._place), 0)
            self._connection.close()

    def _set_up(self) -> None:
        for statement in self._dialect.opening(self._place, self._limits):
            self._query(statement, 0)
        for statement in self._dialect.settings(self._limits):
            with suppress(self._dialect.failure):
                self._query(statement, 0)
        for table in self._tables:
            self._create(table)

    def _create(self, table: Table) -> None:
        quoted, name = self._dialect.quoted, self._dialect.quoted(table.name)
        columns = ", ".join(f"{quoted(column.name)} {column.kind}" for column in table.columns)
        self._query(f"CREATE TABLE {name} ({columns})", 0)
        marks = ", ".join(["%s"] * len(table.columns))
        with self._connection.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {name.replace('%', '%%')} VALUES ({marks})", table.rows)

    def _check_alive(self, error: Exception) -> None:
        if self._dialect.is_lost(error, self._connection):
            raise InfrastructureError(f"lost the {self._dialect.name} server: {error}") from error

    def _query(self, sql: str, rows: int | None) -> list[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            if cursor.description is None:
                return []
            return list(cursor.fetchall() if rows is None else cursor.fetchmany(rows))


def load_driver(package: str, scheme: str, requirement: str) -> Any:
    """Import a driver.

    Raises:
        ConfigError: it is not installed; says how to.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError([f"engine: {scheme}:// needs the package '{package}'; pip install {requirement}"]) from error


def at_address(dialect: Dialect, address: str) -> Callable[[Sequence[Table], Limits], Server]:
    """Return what opens databases at an address."""
    return lambda tables, limits: Server(dialect, address, tables, limits)


def _host(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
