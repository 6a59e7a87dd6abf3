"""What a task's tables are, and what an engine answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

__all__ = ["Cell", "Column", "Engine", "Limits", "Row", "Table", "shown"]

Cell = None | int | float | str
Row = tuple[Cell, ...]
NOTICE = "[TRUNCATED]"


@dataclass(frozen=True, slots=True)
class Column:
    """A column; AgentBench's are all TEXT, whatever their records say."""

    name: str
    kind: Literal["TEXT", "INT"] = "TEXT"


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its rows."""

    name: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one statement may take."""

    timeout_s: float = 5.0
    steps: int = 5_000_000
    """Of SQLite's virtual machine: reached at the same place on every machine."""
    rows: int = 250
    """Fetched at most; what is shown is cut sooner."""
    memory_mib: int = 64
    """Of one episode's database; what statements hold beside it is bounded for all of a process's SQLite together."""


class Engine(Protocol):
    """One episode's own database."""

    def run(self, sql: str) -> list[Row]:
        """Carry out one statement; no rows where it gives none.

        Raises:
            SqlError: it was not carried out; the message is for the agent.
            InfrastructureError: the server is gone.
        """
        ...

    def rows_of(self, table: Table) -> list[Row] | None:
        """Read a task's table by its own columns; None where it, or one of them, is gone."""
        ...

    def close(self) -> None:
        """Drop the database."""
        ...


def shown(rows: list[Row], limit: int) -> str:
    """Write rows as AgentBench prints them, cut with a notice."""
    written = str(rows)
    return written if len(written) <= limit else written[:limit] + NOTICE
