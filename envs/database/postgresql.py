"""How a PostgreSQL server is spoken to, through psycopg.

The agent writes MySQL here too, and sqlglot translates it. PostgreSQL stays as strict as it is: it compares no text
with a number. The account must be none that may read the server's files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlglot
from sqlglot import ErrorLevel, exp

from envs.database.server import load_driver
from envs.database.statements import SqlError
from envs.database.tables import Limits, Row, Table

__all__ = ["PostgreSql"]


class PostgreSql:
    """A dialect whose places are schemas; addresses are `postgresql://user:password@host:port/database`.

    Raises:
        ConfigError: psycopg is not installed.
    """

    name = "PostgreSQL"

    def __init__(self) -> None:
        self._driver = load_driver("psycopg", "postgresql", "'psycopg[binary]'")
        self.failure: type[Exception] = self._driver.Error

    def connect(self, address: str, limits: Limits) -> Any:
        """Open a connection."""
        return self._driver.connect(address, autocommit=True, connect_timeout=10)

    def opening(self, place: str, limits: Limits) -> Sequence[str]:
        """Make a schema, look into no other, and limit a statement's time."""
        return (
            f"CREATE SCHEMA {place}",
            f"SET search_path = {place}",
            f"SET statement_timeout = {int(limits.timeout_s * 1000)}",
        )

    def settings(self, limits: Limits) -> Sequence[str]:
        """Set nothing more."""
        return ()

    def closing(self, place: str) -> str:
        """Drop the schema."""
        return f"DROP SCHEMA IF EXISTS {place} CASCADE"

    def quoted(self, name: str) -> str:
        """Write a name in double quotes."""
        return '"' + name.replace('"', '""') + '"'

    def prepare(self, statement: exp.Expr, sql: str, tables: Sequence[Table]) -> str | list[Row]:
        """Translate; SHOW TABLES and DESCRIBE, which PostgreSQL lacks, are answered as MySQL would.

        Raises:
            SqlError: it names one of the server's own tables, which stand in every schema's path.
        """
        if any(table.name.lower().startswith("pg_") for table in statement.find_all(exp.Table)):
            raise SqlError("only this task's tables are at hand")
        if isinstance(statement, exp.Show | exp.Describe):
            return _described(statement, tables)
        return _translated(sql, tables)

    def is_lost(self, error: Exception, connection: Any) -> bool:
        """Ask the connection."""
        return bool(connection.closed)

    def told(self, error: Any) -> str:
        """Give the message without its place in the server's source."""
        return str(error.diag.message_primary or error)


def _described(statement: exp.Expr, tables: Sequence[Table]) -> list[Row]:
    if isinstance(statement, exp.Show) and str(statement.this) == "TABLES":
        return [(table.name,) for table in tables]
    named = statement.this if isinstance(statement, exp.Describe) else statement.args["target"]
    found = next((table for table in tables if table.name.lower() == named.name.lower()), None)
    if found is None:
        raise SqlError(f"Table {named.name!r} doesn't exist")
    return [(column.name, column.kind.lower(), "YES", "", None, "") for column in found.columns]


def _translated(sql: str, tables: Sequence[Table]) -> str:
    """Translate, with names spelled as the tables spell them: MySQL does not mind their case."""
    names = (name for table in tables for name in (table.name, *(column.name for column in table.columns)))
    spelling = {name.lower(): name for name in names}
    statement = sqlglot.parse_one(sql, read="mysql")
    for name in statement.find_all(exp.Identifier):
        name.set("this", spelling.get(name.name.lower(), name.name))
    return str(statement.sql(dialect="postgres", identify=True, comments=False, unsupported_level=ErrorLevel.IGNORE))
