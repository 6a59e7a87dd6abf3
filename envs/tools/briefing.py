"""The first observation: who, when, what, by which rules, and with which tools."""

from __future__ import annotations

import json
from typing import Literal

from envs.tools.generator import Puzzle
from envs.tools.toolbox import TOOLS

__all__ = ["SHOWN", "Shown", "brief"]

SHOWN = ("signatures", "schemas", "none")
Shown = Literal["signatures", "schemas", "none"]
RULES = (
    'One action a turn: tool[arguments in order], or call[{"name": …, "arguments": {…}}]. '
    "$field stands for a field of the latest answer that has it, $2.field for one of answer 2. "
    "A call that timed out or failed can be made again; an answer of an earlier date can be refreshed. "
    "Amounts are in EUR unless said otherwise; round to two decimals. "
    "Put the value alone into mails, notes and answers. End with answer[…] where something is asked, else with done[]."
)


def brief(puzzle: Puzzle, shown: Shown) -> str:
    """Return the text; `shown` says how much of the tools."""
    world = puzzle.world
    head = f"You assist at {world.company}. Today is {world.today}.\nTask: {puzzle.task.instruction}\n{RULES}"
    return head if shown == "none" else f"{head}\nTools:\n{_tools(shown)}"


def _tools(shown: Shown) -> str:
    if shown == "signatures":
        return "\n".join(f"{tool.signature}: {tool.description}" for tool in TOOLS.values())
    return "\n".join(json.dumps(tool.schema(), ensure_ascii=False) for tool in TOOLS.values())
