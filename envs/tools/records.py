"""The company's SQL records in an SQLite of its own in memory, which may read and change these tables and no more.

An authorizer refuses everything but SELECT, INSERT, UPDATE and DELETE on them with a few functions of values alone:
no ATTACH, PRAGMA, schema, extension, clock or chance. Work and sizes are bounded.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["COLUMNS", "Records", "RecordsError", "Row"]

Row = dict[str, str | float | None]

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "products": ("name", "price", "currency", "weight_kg", "list_price"),
    "stock": ("product", "warehouse", "units"),
    "invoices": ("number", "customer", "amount", "status"),
    "offices": ("city", "distance_km"),
    "projects": ("name", "owner", "budget"),
}
NUMBERS = {"price", "weight_kg", "list_price", "units", "amount", "distance_km", "budget"}
FUNCTIONS = frozenset(
    [
        "abs",
        "avg",
        "coalesce",
        "count",
        "ifnull",
        "length",
        "like",
        "lower",
        "max",
        "min",
        "nullif",
        "round",
        "substr",
        "sum",
        "total",
        "trim",
        "upper",
    ]
)
DEEDS = frozenset(
    (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_DELETE)
)
CHANGES = frozenset((sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_DELETE))
MOST_ROWS = 20
MOST_STEPS = 200
"""Of 1,000 of SQLite's virtual instructions."""
LONGEST = 2_000
"""Of a statement, in characters."""
LONGEST_VALUE = 10_000


class RecordsError(ValueError):
    """A statement that is refused or that SQLite does not understand."""


class Records:
    """The tables; one an episode.

    Args:
        tables: name → rows, in the order of `COLUMNS`.
    """

    def __init__(self, tables: Mapping[str, Iterable[tuple[str | float, ...]]]) -> None:
        self._base = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        for name, columns in COLUMNS.items():
            kinds = ", ".join(f"{c} {'REAL' if c in NUMBERS else 'TEXT COLLATE NOCASE'}" for c in columns)
            self._base.execute(f"CREATE TABLE {name} ({kinds})")
            marks = ", ".join("?" * len(columns))
            self._base.executemany(f"INSERT INTO {name} VALUES ({marks})", tables[name])
        self._may_change = False
        self._steps_left = MOST_STEPS
        self._base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
        self._base.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, LONGEST)
        self._base.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        self._base.set_authorizer(self._allow)
        self._base.set_progress_handler(self._is_too_long, 1_000)

    def select(self, query: str, values: tuple[str, ...] = ()) -> list[Row]:
        """Return at most 20 rows of a reading statement.

        Raises:
            RecordsError: it is refused, wrong, or works too long.
        """
        cursor = self._run(query, values, may_change=False)
        columns = [column[0] for column in cursor.description or ()]
        try:
            return [dict(zip(columns, row, strict=True)) for row in cursor.fetchmany(MOST_ROWS)]
        except sqlite3.Error as error:
            raise RecordsError(str(error)) from error

    def change(self, statement: str) -> int:
        """Carry out an INSERT, UPDATE or DELETE whole or not at all; return how many rows it changed.

        Raises:
            RecordsError: it is refused, wrong, or works too long; nothing has changed then.
        """
        return max(0, self._run(statement, (), may_change=True).rowcount)

    def rows(self) -> dict[str, list[Row]]:
        """Return all that is recorded."""
        found = {}
        for name, columns in COLUMNS.items():
            cursor = self._run(f"SELECT {', '.join(columns)} FROM {name} ORDER BY rowid", (), may_change=False)
            found[name] = [dict(zip(columns, row, strict=True)) for row in cursor]
        return found

    def close(self) -> None:
        """Free it."""
        self._base.close()

    def _run(self, statement: str, values: tuple[str, ...], *, may_change: bool) -> sqlite3.Cursor:
        self._may_change, self._steps_left = may_change, MOST_STEPS
        try:
            return self._base.execute(statement, values)
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            raise RecordsError(str(error)) from error

    def _allow(self, deed: int, first: str | None, second: str | None, base: Any, source: Any) -> int:
        if deed == sqlite3.SQLITE_FUNCTION:
            return sqlite3.SQLITE_OK if (second or "").lower() in FUNCTIONS else sqlite3.SQLITE_DENY
        if deed not in DEEDS or (deed in CHANGES and not self._may_change):
            return sqlite3.SQLITE_DENY
        is_known = deed == sqlite3.SQLITE_SELECT or (first or "").lower() in COLUMNS or first == ""
        return sqlite3.SQLITE_OK if is_known else sqlite3.SQLITE_DENY

    def _is_too_long(self) -> bool:
        self._steps_left -= 1
        return self._steps_left < 0
