"""A task's hidden plan: calls whose arguments name earlier answers, and how such names are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from envs.tools.pools import table

__all__ = ["Act", "Plan", "Threshold", "field_of", "fill", "fit", "show"]

SLOT = re.compile(r"\{(\d+)\.([\w.]+)\}")
NUMBER = re.compile(r"-?\d+(\.\d+)?")
Argument = str | float | int | bool


@dataclass(frozen=True, slots=True)
class Threshold:
    """A condition: whether `left` is above `right` (or, not `is_above`, is not)."""

    left: str
    right: str
    is_above: bool


@dataclass(frozen=True, slots=True)
class Act:
    """A call. In text, `{2.rate}` stands for the field `rate` of what the plan's third call answered."""

    tool: str
    arguments: tuple[tuple[str, Argument], ...]
    when: Threshold | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What solves a task. `answer` is None where none is asked for; `family` the tools of all its branches."""

    shape: str
    steps: tuple[str, ...]
    acts: tuple[Act, ...]
    answer: str | None
    instruction: str

    @property
    def family(self) -> str:
        """Return the combination of tools, which splits hold out."""
        return "+".join(sorted({act.tool for act in self.acts}))


def show(value: Any) -> str:
    """Write a value as an argument has it: whole numbers without `.0`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def field_of(answer: Any, path: Sequence[str]) -> Any:
    """Walk into an answer; a field that came under its other name is found too.

    Raises:
        KeyError: there is no such field.
    """
    for name in path:
        if isinstance(answer, list) and name.isdigit() and int(name) < len(answer):
            answer = answer[int(name)]
        elif isinstance(answer, Mapping):
            answer = answer[name] if name in answer else answer[table("renamed").get(name, name)]
        else:
            raise KeyError(name)
    return answer


def fill(text: Argument, answers: Callable[[int, Sequence[str]], Any]) -> Any:
    """Put answers into the slots of an argument; an argument that is one slot takes the value as it is."""
    if not isinstance(text, str):
        return text
    whole = SLOT.fullmatch(text)
    if whole:
        return answers(int(whole[1]), whole[2].split("."))
    return SLOT.sub(lambda slot: show(answers(int(slot[1]), slot[2].split("."))), text)


def fit(value: Any, kind: str) -> Any:
    """Bring a value into a JSON type where that loses nothing, else return it as it is."""
    if kind == "string" and isinstance(value, str | int | float):
        return show(value)
    if isinstance(value, str):
        word = value.strip()
        if kind in ("number", "integer") and NUMBER.fullmatch(word):
            number = float(word)
            return int(number) if kind == "integer" and number.is_integer() else number
        if kind == "boolean" and word.casefold() in ("true", "false"):
            return word.casefold() == "true"
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value
