"""MySQL's GROUP_CONCAT; the other aggregates are SQLite's own."""

from __future__ import annotations

from typing import Any

from envs.database.collation import fold
from envs.database.operators import Value, number, text

__all__ = ["GroupConcat"]

MAX_JOINED = 1_000_000


class GroupConcat:
    """The aggregate, with MySQL's limit of 1,024 characters."""

    def __init__(self) -> None:
        self.held: list[tuple[Any, str]] = []
        self.separator, self.is_distinct, self.is_descending, self.size = ",", 0, 0, 0

    def step(self, value: Value, separator: str, is_distinct: int, is_descending: int, key: Value) -> None:
        """Take one row.

        Raises:
            ValueError: there is too much to join.
        """
        self.separator, self.is_distinct, self.is_descending = separator, is_distinct, is_descending
        if value is not None:
            order = (
                (0, 0.0, "") if key is None else (1, number(key) if not isinstance(key, str) else 0.0, fold(str(key)))
            )
            self.held.append((order, text(value) or ""))
            self.size += len(self.held[-1][1]) + 1
            if self.size > MAX_JOINED:
                raise ValueError(f"expected at most {MAX_JOINED} characters to join")

    def finalize(self) -> str | None:
        """Give the joined values."""
        self.held.sort(key=lambda pair: pair[0], reverse=bool(self.is_descending))
        values = [value for _, value in self.held]
        if self.is_distinct:
            firsts: dict[str, str] = {}
            for value in values:
                firsts.setdefault(fold(value), value)
            values = list(firsts.values())
        return self.separator.join(values)[:1024] if values else None
