"""Numbers and texts as awk has them, and what is done with two of them."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

from envs.terminal.stub.calls import Complaint

__all__ = ["COMPARED", "Text", "Value", "compared", "computed", "formatted", "is_true", "number", "written"]

NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
CONVERSION = re.compile(r"%([-+ 0#]*)(\d{0,4})(?:\.(\d{1,3}))?([a-zA-Z%])")
ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "%": math.fmod, "^": math.pow,
}  # fmt: skip
COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, "==": operator.eq, "!=": operator.ne, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
MOST_CHARACTERS = 1 << 20
LARGEST = 1 << 31
"""From here on a whole number is no longer written out, as in mawk."""


class Text(str):
    """A text that came from outside: it counts as a number where it looks like one."""

    __slots__ = ()


Value = float | str


def number(value: Value) -> float:
    """Return a value as a number: what a text begins with, else 0."""
    if isinstance(value, float):
        return value
    found = NUMBER.match(value)
    return float(found[0]) if found else 0.0


def written(value: Value) -> str:
    """Return a value as a text."""
    if isinstance(value, str):
        return value
    is_whole = abs(value) < LARGEST and value == int(value)
    return str(int(value)) if is_whole else f"{value:.6g}"


def is_numeric(value: Value) -> bool:
    """Whether a value is compared as a number; what was never set is."""
    return isinstance(value, float) or (
        isinstance(value, Text) and (not value or NUMBER.fullmatch(value.rstrip()) is not None)
    )


def is_true(value: Value) -> bool:
    """Whether a condition holds."""
    return number(value) != 0 if is_numeric(value) else bool(value)


def computed(sign: str, left: Value, right: Value) -> float:
    """Return what an operator makes of two numbers.

    Raises:
        Complaint: it makes none of them.
    """
    try:
        return float(ARITHMETIC[sign](number(left), number(right)))
    except (ArithmeticError, ValueError):
        raise Complaint(f"cannot compute {written(left)} {sign} {written(right)}", 2) from None


def compared(sign: str, left: Value, right: Value) -> float:
    """Return 1.0 where a comparison holds: of numbers where both are some, else of texts."""
    if is_numeric(left) and is_numeric(right):
        return float(COMPARED[sign](number(left), number(right)))
    return float(COMPARED[sign](written(left), written(right)))


def formatted(pattern: str, values: Sequence[Value]) -> str:
    """Fill in `printf`'s pattern.

    Raises:
        Complaint: it asks for something unknown.
    """
    left, room = list(values), MOST_CHARACTERS

    def one(found: re.Match[str]) -> str:
        nonlocal room
        text = _converted(found, left)
        room -= len(text)
        if room < 0:
            raise Complaint("printf: more than the stub writes", 2)
        return text

    return CONVERSION.sub(one, pattern)


def _converted(found: re.Match[str], left: list[Value]) -> str:
    """Write the next value as one conversion has it."""
    flags, width, places, kind = found.groups()
    if kind == "%":
        return "%"
    value = left.pop(0) if left else ""
    spot = f"%{flags}{width}" + (f".{places}" if places else "")
    if kind in "dixXo":
        return f"{spot}{'d' if kind == 'i' else kind}" % int(number(value))
    if kind in "feEgG":
        return f"{spot}{kind}" % number(value)
    if kind in "sc":
        return f"{spot}s" % (written(value)[:1] if kind == "c" else written(value))
    raise Complaint(f"printf: the stub does not know {found[0]}", 2)
