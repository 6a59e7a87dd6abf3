"""What an agent may write: `sql[…]` and `answer[…]`, or AgentBench's `Action: Operation` and `Action: Answer`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["HINT", "RESULT", "Action", "parse_action"]

HINT = 'expected sql[one statement] or answer[["first", "second"]]'
RESULT = "$result"
"""As an answer: the cells of the last result. A list that holds this text, `["$result"]`, is that text."""
OWN = re.compile(r"\s*(sql|answer)\[(.*)\]", re.DOTALL | re.IGNORECASE)
NAMED = re.compile(r"Action: (.*?)(?:\n|$)")
BLOCK = re.compile(r"```sql\n([\s\S]*?)\n```")
FINAL = re.compile(r"(?:^|\n)Final Answer:(.*)")


@dataclass(frozen=True, slots=True)
class Action:
    """A statement to carry out, the final answer (`result`: the last result is), or (`invalid`) why it is neither."""

    kind: Literal["sql", "answer", "result", "invalid"]
    content: str = ""


def parse_action(written: str) -> Action:
    """Read an action; text after the last `]` is ignored, and so is AgentBench's reasoning before `Action:`."""
    own = OWN.match(written)
    if own:
        return _own(own[1].lower(), own[2].strip())
    named = NAMED.search(written)
    if named and named[1].strip() == "Operation":
        return _operation(written)
    final = FINAL.search(written)
    if final:
        return Action("answer", final[1])
    if named:
        return Action("invalid", f"after 'Action: {named[1].strip()[:40]}', expected a line 'Final Answer: [\"…\"]'")
    return Action("invalid", f"{HINT}, got {written.strip()[:60]!r}")


def _own(kind: str, content: str) -> Action:
    if kind == "answer" and content.lower() == RESULT:
        return Action("result")
    if kind == "answer":
        return Action("answer", content or "[]")
    statement = _without_fence(content)
    return Action("sql", statement) if statement else Action("invalid", "expected a statement between sql[ and ]")


def _without_fence(content: str) -> str:
    fenced = re.fullmatch(r"```(?:sql)?\s*(.*?)\s*```", content, re.DOTALL)
    return fenced[1] if fenced else content


def _operation(written: str) -> Action:
    block = BLOCK.search(written)
    if block is None or not block[1].strip():
        return Action("invalid", "after 'Action: Operation', expected a block that opens with ```sql and ends with ```")
    return Action("sql", block[1].strip().replace("\n", " "))
