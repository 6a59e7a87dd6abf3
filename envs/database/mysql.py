"""How a MySQL-compatible server is spoken to, through PyMySQL.

What a statement may do beyond its kind and functions is up to the account: give it rights on `sage_gym_%` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from sqlglot import exp

from envs.database.server import load_driver
from envs.database.statements import in_mysql
from envs.database.tables import Limits, Table
from envs.database.translation import quoted

__all__ = ["MySql"]

SERVER_GONE = (2003, 2006, 2013, 2014, 2055)
SETTINGS = (
    "SET SESSION max_execution_time = {ms}",
    "SET SESSION max_statement_time = {s}",
    "SET SESSION sql_mode = REPLACE(@@sql_mode, 'STRICT_TRANS_TABLES', '')",
)
"""MySQL's time limit (of a SELECT only), MariaDB's, of which one is refused, and that is well; and the leniency that
two of AgentBench's recorded states show: a change whose condition compares a text with a number goes through."""


class MySql:
    """A dialect whose places are databases; addresses are `mysql://user:password@host:port`.

    Raises:
        ConfigError: PyMySQL is not installed.
    """

    name = "MySQL"

    def __init__(self) -> None:
        self._driver = load_driver("pymysql", "mysql", "pymysql")
        self.failure: type[Exception] = self._driver.MySQLError

    def connect(self, address: str, limits: Limits) -> Any:
        """Open a connection."""
        parts = urlsplit(address)
        return self._driver.connect(
            host=parts.hostname or "localhost",
            port=parts.port or 3306,
            user=unquote(parts.username or "root"),
            password=unquote(parts.password or ""),
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=10,
            read_timeout=limits.timeout_s + 5,
        )

    def opening(self, place: str, limits: Limits) -> Sequence[str]:
        """Make a database and use it."""
        return (f"CREATE DATABASE {place} CHARACTER SET utf8mb4", f"USE {place}")

    def settings(self, limits: Limits) -> Sequence[str]:
        """Limit a statement's time, and be as lenient as AgentBench's server was."""
        return [setting.format(ms=int(limits.timeout_s * 1000), s=limits.timeout_s) for setting in SETTINGS]

    def closing(self, place: str) -> str:
        """Drop the database."""
        return f"DROP DATABASE IF EXISTS {place}"

    def quoted(self, name: str) -> str:
        """Write a name in backticks."""
        return quoted(name)

    def prepare(self, statement: exp.Expr, sql: str, tables: Sequence[Table]) -> str:
        """Write it from what was parsed, not as the agent wrote it."""
        return in_mysql(statement)

    def is_lost(self, error: Exception, connection: Any) -> bool:
        """Tell by the error's number."""
        return bool(error.args) and error.args[0] in SERVER_GONE

    def told(self, error: Exception) -> str:
        """Give number and message."""
        return ": ".join(str(part) for part in error.args)
