"""A policy that draws schema-valid calls at random: the floor that tasks must stand above.

It is no weak one: texts are drawn from what the instruction puts in quotes, from its runs of words, and from values
that were answered.
"""

from __future__ import annotations

import re
from random import Random
from typing import Any

from envs.tools.calls import spell
from envs.tools.environment import Tools
from envs.tools.plan import show
from envs.tools.references import paths
from envs.tools.toolbox import TOOLS

__all__ = ["RandomCalls"]

QUOTED = re.compile(r'"([^"]+)"')
NUMBER = re.compile(r"\d+(?:\.\d+)?")
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
MOST_WORDS = 4
END_SHARE = 0.08
TRIES = 20


class RandomCalls:
    """Gives the next action; every call passes its tool's schema.

    Args:
        env: whose observations are read; the plan is not.
        seed: of what is drawn.
    """

    def __init__(self, env: Tools, seed: int) -> None:
        self._env, self._rng = env, Random(seed)

    def action(self) -> str:
        """Draw an action."""
        rng = self._rng
        if rng.random() < END_SHARE:
            return rng.choice(("done[]", f"answer[{self._text()}]"))
        while True:
            tool = TOOLS[rng.choice(list(TOOLS))]
            properties = tool.schema()["function"]["parameters"]["properties"]
            for _ in range(TRIES):
                arguments = {name: self._value(described) for name, described in properties.items()}
                if not tool.check(arguments):
                    return spell(tool.name, arguments, is_json=True)

    def _value(self, described: dict[str, Any]) -> Any:
        rng = self._rng
        if "enum" in described:
            return rng.choice(described["enum"])
        if described["type"] == "boolean":
            return rng.random() < 0.5
        if described["type"] == "integer":
            return rng.choice((30, 60, 90))
        if described["type"] == "number":
            return float(rng.choice(self._numbers()))
        if r"\d{4}" in described.get("pattern", ""):
            return rng.choice(self._days())
        if "pattern" in described:
            return f"{rng.randrange(9, 17):02d}:{rng.choice(('00', '30'))}"
        return self._text()

    def _text(self) -> str:
        rng, instruction = self._rng, self._instruction
        kinds: list[list[str]] = [QUOTED.findall(instruction), self._seen(), [self._some_words()]]
        return rng.choice(rng.choice([kind for kind in kinds if kind]))

    def _some_words(self) -> str:
        words = self._instruction.strip(".").split()
        start = self._rng.randrange(len(words))
        return " ".join(words[start : start + self._rng.randint(1, MOST_WORDS)])

    def _numbers(self) -> list[str]:
        found = NUMBER.findall(self._instruction) + [text for text in self._seen() if NUMBER.fullmatch(text)]
        return found or ["1"]

    def _days(self) -> list[str]:
        return DAY.findall(self._instruction) or list(self._env.session.puzzle.world.days)

    def _seen(self) -> list[str]:
        return [show(value) for entry in self._env.session.log for _, value in paths(entry.answer)]

    @property
    def _instruction(self) -> str:
        return self._env.session.puzzle.task.instruction
