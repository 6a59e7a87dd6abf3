"""One problem: its words, tables, the gold SQL and what is compared in the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from envs.database.scoring import combined_hash, state_hash
from envs.database.tables import Engine, Table

__all__ = ["Problem", "final_hash"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A task with what a policy must not see."""

    key: str
    split: str
    question: str
    tables: tuple[Table, ...]
    gold_sql: str
    judged_by: Literal["answer", "state"]
    answers: tuple[str, ...] = ()
    state: str = ""
    """The hash to be reached, where `judged_by` is `state`."""
    family: str = ""

    @property
    def hash(self) -> str:
        """Over the content, so that two processes can compare their tasks."""
        tables = [[t.name, [[c.name, c.kind] for c in t.columns], t.rows] for t in self.tables]
        content = [self.question, tables, self.gold_sql, self.answers, self.state]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    @property
    def gold_answer(self) -> str:
        """What to write between `answer[` and `]`."""
        return json.dumps(list(self.answers), ensure_ascii=False)


def final_hash(engine: Engine, tables: Sequence[Table]) -> str:
    """Return the hash of the state that the tables are in."""
    return combined_hash([state_hash(engine.rows_of(table)) for table in tables])
