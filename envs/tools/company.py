"""One episode's company: the world, and what was done to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from envs.tools.records import Records
from envs.tools.world import World

__all__ = ["Change", "Company", "Sent", "Tables", "changes"]

Tables = dict[str, dict[str, Any]]
"""Table → key → what stands there: a frozen dataclass, or a mapping of fields."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A mail that the user has sent."""

    to: str
    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one thing: `before` None where it is new, `after` None where it is gone."""

    table: str
    key: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    @property
    def kind(self) -> str:
        """`created`, `removed` or `changed`."""
        return "created" if self.before is None else "removed" if self.after is None else "changed"

    def __str__(self) -> str:
        return f"{self.table} {self.key} {self.kind}"


class Company:
    """Mutable, one an episode; tools read and change it.

    Args:
        world: where it begins.
        run_python: runs a program and returns what it printed.
    """

    def __init__(self, world: World, run_python: Callable[[str], str]) -> None:
        self.world, self.run_python = world, run_python
        self.events = {event.id: event for event in world.events}
        self.notes = {note.title.casefold(): note for note in world.notes}
        self.store = dict(world.store)
        self.approvals = {approval.id: approval for approval in world.approvals}
        self.sent: list[Sent] = []
        self._records: Records | None = None

    @property
    def records(self) -> Records:
        """The SQL records, made when first asked for."""
        if self._records is None:
            self._records = Records(self.world.tables)
        return self._records

    def changes(self) -> list[Change]:
        """Return all that differs from the world."""
        fresh = Company(self.world, self.run_python)
        found = changes(fresh._tables(), self._tables())
        if self._records is None:
            return found
        before, after = _by_row(fresh.records), _by_row(self.records)
        fresh.close()
        return found + changes(before, after)

    def close(self) -> None:
        """Free what it holds."""
        if self._records is not None:
            self._records.close()

    def _tables(self) -> Tables:
        return {
            "event": dict(self.events),
            "note": dict(self.notes),
            "store": {key: {"value": value} for key, value in self.store.items()},
            "approval": dict(self.approvals),
            "mail": {f"s{number}": sent for number, sent in enumerate(self.sent, 1)},
        }


def changes(before: Tables, after: Tables) -> list[Change]:
    """List what differs, table by table."""
    return [
        Change(table, key, _fields(before[table].get(key)), _fields(rows.get(key)))
        for table, rows in after.items()
        for key in dict.fromkeys([*before[table], *rows])
        if before[table].get(key) != rows.get(key)
    ]


def _fields(thing: Any) -> dict[str, Any] | None:
    if thing is None or isinstance(thing, dict):
        return thing
    return asdict(thing)


def _by_row(records: Records) -> Tables:
    """Key rows by table and position; that a row was removed shows as later ones having moved up."""
    return {name: {f"{place}": dict(row) for place, row in enumerate(rows)} for name, rows in records.rows().items()}
