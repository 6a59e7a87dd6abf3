"""What an episode is worth: which of the expected changes are there, what else has changed, and the answer.

Score = share of the parts that hold (each expected change is one, the answer one more), halved by side effects.
1.0 is thus reached only by all of it and nothing else. A text that should hold a value may say more, but no number
that is neither that value nor in the instruction, so that listing guesses does not help.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from envs.tools.company import Change

__all__ = ["SHORTFALLS", "Score", "carries", "is_close", "score"]

NUMBER = re.compile(r"(?<![\d.])-?\d+(?:,\d{3})*(?:\.\d+)?(?!\d)")
WHOLE_NUMBER = re.compile(r"\s*-?\d+(?:\.\d+)?\s*")
TIME = re.compile(r"(?<!\d)(\d{1,2}):(\d{2})(?!\d)")
NEAR, NEAR_SHARE = 0.011, 1e-4
"""Rounding to two decimals along the way may move a value by so much."""
LONGEST_AROUND = 120
SIDE_EFFECTS = 0.5
FREE_TEXT = frozenset({"body", "text", "value"})
IDENTITY = frozenset({"id"})
EDGES = " \t\n\"'“”.,;:!"


SHORTFALLS = {
    "effects": "not all that was asked for was done, or not with the right values",
    "answer": "the answer was wrong or missing",
    "no_side_effects": "something was changed that nobody had asked for",
}
"""What a component below 1 means; for critiques of failed attempts."""


@dataclass(frozen=True, slots=True)
class Score:
    """A score in [0, 1] with its components; `side_effects` are told in words."""

    value: float
    components: Mapping[str, float]
    side_effects: tuple[str, ...]


def score(
    expected: Sequence[Change], actual: Iterable[Change], answer: str | None, given: str | None, instruction: str
) -> Score:
    """Compare what was to change with what has.

    Args:
        expected: the changes of the reference solution.
        actual: those of the episode.
        answer: None where none is asked for.
        given: the episode's answer.
        instruction: its numbers may stand beside a value.
    """
    left = list(actual)
    done = 0
    for wanted in expected:
        match = next((change for change in left if is_same(wanted, change, instruction)), None)
        if match is not None:
            left.remove(match)
            done += 1
    components = {"no_side_effects": float(not left)}
    if expected:
        components["effects"] = done / len(expected)
    is_answered = answer is not None and carries(given or "", answer, instruction)
    if answer is not None:
        components["answer"] = float(is_answered)
    share = (done + is_answered) / (len(expected) + (answer is not None))
    return Score(share * (SIDE_EFFECTS if left else 1.0), components, tuple(map(str, left)))


def is_same(wanted: Change, change: Change, instruction: str) -> bool:
    """Whether a change is the wanted one; what is new may have another key."""
    if (wanted.table, wanted.kind) != (change.table, change.kind):
        return False
    if wanted.before is not None and wanted.key != change.key:
        return False
    if wanted.table == "store" and wanted.key != change.key:
        return False
    if wanted.after is None or change.after is None:
        return True
    return all(
        _agrees(name, value, change.after.get(name), instruction)
        for name, value in wanted.after.items()
        if name not in IDENTITY
    )


def _agrees(name: str, wanted: Any, found: Any, instruction: str) -> bool:
    if isinstance(wanted, int | float) and isinstance(found, int | float):
        return is_close(float(found), float(wanted))
    if name in FREE_TEXT:
        return carries(str(found), str(wanted), instruction)
    return str(wanted).casefold().strip(EDGES) == str(found).casefold().strip(EDGES)


def carries(text: str, wanted: str, instruction: str) -> bool:
    """Whether a text gives a value, and no other that could be taken for it."""
    if len(text) > len(wanted) + LONGEST_AROUND:
        return False
    if TIME.fullmatch(wanted):
        times, allowed_times = set(_times(text)), set(_times(instruction))
        return wanted in times and times <= {wanted, *allowed_times}
    if not WHOLE_NUMBER.fullmatch(wanted):
        return wanted.casefold() in text.casefold()
    target = float(wanted)
    numbers = list(_numbers(text))
    allowed = set(_numbers(instruction))
    is_there = any(is_close(number, target) for number in numbers)
    return is_there and all(is_close(number, target) or number in allowed for number in numbers)


def is_close(number: float, target: float) -> bool:
    """Whether two numbers are the same but for rounding."""
    return abs(number - target) <= NEAR + NEAR_SHARE * abs(target)


def _times(text: str) -> Iterable[str]:
    return (f"{int(hours):02d}:{minutes}" for hours, minutes in TIME.findall(text))


def _numbers(text: str) -> Iterable[float]:
    return (float(found.replace(",", "")) for found in NUMBER.findall(text))
