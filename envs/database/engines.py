"""Where a task's tables lie: in SQLite by default, or on a server given by its address."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from envs.database.embedded import Embedded
from envs.database.mysql import MySql
from envs.database.postgresql import PostgreSql
from envs.database.server import at_address
from envs.database.tables import Engine, Limits, Table
from sage_gym.errors import ConfigError

__all__ = ["Opener", "opener"]

Opener = Callable[[Sequence[Table], Limits], Engine]
EXPECTED = "expected sqlite, mysql://user:password@host:port or postgresql://user:password@host:port/database"


def opener(address: str) -> Opener:
    """Return what opens a fresh database at an address.

    Raises:
        ConfigError: no engine is known by that address, or its driver is not installed; the package is named.
    """
    scheme = address.partition(":")[0]
    if address == "sqlite":
        return Embedded
    if scheme in ("mysql", "mariadb"):
        return at_address(MySql(), address)
    if scheme in ("postgresql", "postgres"):
        return at_address(PostgreSql(), address)
    raise ConfigError([f"engine: {EXPECTED}, got {address!r}"])
