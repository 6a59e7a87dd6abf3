"""MySQL's operators over SQLite's values: comparing, computing, matching, casting.

A value is None, an int, a float or a str. Text in a numeric place counts as its longest numeric prefix, and a number
beside a text is compared as a number. Left out: MySQL's exact decimals, for which a float stands.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import regex  # type: ignore[import-untyped]

from envs.database.collation import collate, fold

__all__ = [
    "MAX_TEXT",
    "OPERATORS",
    "REGEX_TIMEOUT_S",
    "Value",
    "bounded",
    "compare",
    "half_up",
    "like",
    "number",
    "text",
]

Value = None | int | float | str
MAX_TEXT = 65_535
"""Characters of a value; MySQL's TEXT has as many bytes."""
REGEX_TIMEOUT_S = 0.2
NUMERIC_PREFIX = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")


def number(value: Value) -> int | float | None:
    """Return a value in a numeric place; text becomes a float, as MySQL's double."""
    if value is None or isinstance(value, int | float):
        return value
    found = NUMERIC_PREFIX.match(text(value) or "")
    return float(found[1]) if found else 0.0


def text(value: Any) -> str | None:
    """Return a value as MySQL writes it into a text column: 11.0 as `11`."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if not isinstance(value, float):
        return None if value is None else str(value)
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value).replace("e+", "e")


def bounded(value: str) -> str:
    """Return the text, unless it is longer than a value may be.

    Raises:
        ValueError: it is.
    """
    if len(value) > MAX_TEXT:
        raise ValueError(f"expected a result of at most {MAX_TEXT} characters, got {len(value)}")
    return value


def compare(left: Value, right: Value) -> int | None:
    """Return -1, 0 or 1; None where either is NULL."""
    if left is None or right is None:
        return None
    if isinstance(left, str) and isinstance(right, str):
        return collate(left, right)
    first, second = number(left), number(right)
    assert first is not None
    assert second is not None
    return (first > second) - (first < second)


def same(left: Value, right: Value) -> int:
    """Give the null-safe `<=>`."""
    return int(left is right if left is None or right is None else compare(left, right) == 0)


def _arithmetic(operation: Callable[[Any, Any], int | float | None]) -> Callable[[Value, Value], int | float | None]:
    def apply(left: Value, right: Value) -> int | float | None:
        first, second = number(left), number(right)
        return None if first is None or second is None else operation(first, second)

    return apply


def _remainder(left: float, right: float) -> float | None:
    if right == 0:
        return None
    whole = isinstance(left, int) and isinstance(right, int)
    return int(math.fmod(left, right)) if whole else math.fmod(left, right)


def negative(value: Value) -> int | float | None:
    """Give the unary minus."""
    held = number(value)
    return None if held is None else -held


def regexp(value: Value, pattern: Value) -> int | None:
    """Give `value REGEXP pattern`, without regard to case.

    Raises:
        ValueError: the pattern is none.
        TimeoutError: it backtracks for too long.
    """
    if value is None or pattern is None:
        return None
    try:
        return int(regex.search(text(pattern), text(value), regex.IGNORECASE, timeout=REGEX_TIMEOUT_S) is not None)
    except regex.error as error:
        raise ValueError(f"Illegal argument to a regular expression: {error}") from error


def like(pattern: Value, value: Value, escape: str = "\\") -> int | None:
    """Give `value LIKE pattern`; the argument order is that of SQLite's function `like`."""
    if value is None or pattern is None:
        return None
    parts, chars = [], iter(fold(text(pattern) or ""))
    for char in chars:
        if char == escape:
            parts.append(re.escape(next(chars, escape)))
        else:
            parts.append({"%": ".*", "_": "."}.get(char) or re.escape(char))
    found = regex.fullmatch("".join(parts), fold(text(value) or ""), regex.DOTALL, timeout=REGEX_TIMEOUT_S)
    return int(found is not None)


def cast(value: Value, kind: str, scale: int) -> Value:
    """Give `CAST(value AS kind)`; `scale` is that of DECIMAL, or the length of CHAR (0: all)."""
    if value is None or kind == "CHAR":
        return (text(value) or "")[: scale or None] if value is not None else None
    held = number(value)
    assert held is not None
    if kind == "DOUBLE":
        return float(held)
    if kind == "DECIMAL":
        return half_up(held, scale)
    return math.trunc(held) if isinstance(value, str) else int(half_up(held, 0))


def together(*values: Value) -> str | None:
    """Give one value that is equal where all are, for COUNT(DISTINCT a, b); NULL where one is."""
    return None if None in values else "\0".join(fold(text(value) or "") for value in values)


def rounded(value: Value, digits: Value = 0) -> int | float | None:
    """Give `ROUND`: half to even for a text, which is a double to MySQL, else half up as its decimals."""
    held, places = number(value), number(digits)
    if held is None or places is None:
        return None
    wanted = max(min(int(places), 30), -30)
    if isinstance(value, str):
        return round(held * 10.0**wanted) / 10.0**wanted
    result = half_up(held, wanted)
    return float(result) if isinstance(held, float) and wanted <= 0 else result


def half_up(value: float, digits: int = 0) -> int | float:
    """Round half away from zero, as MySQL rounds its decimals."""
    if isinstance(value, int) and digits >= 0:
        return value
    factor = 10.0**digits
    rounded = math.copysign(math.floor(abs(value) * factor + 0.5 + 1e-9), value) / factor
    return int(rounded) if digits <= 0 else rounded


OPERATORS: dict[str, Callable[..., Any]] = {
    "compare": compare,
    "same": same,
    "add": _arithmetic(lambda a, b: a + b),
    "subtract": _arithmetic(lambda a, b: a - b),
    "multiply": _arithmetic(lambda a, b: a * b),
    "divide": _arithmetic(lambda a, b: None if b == 0 else a / b),
    "div": _arithmetic(lambda a, b: None if b == 0 else math.trunc(a / b)),
    "mod": _arithmetic(_remainder),
    "xor": _arithmetic(lambda a, b: int(bool(a) != bool(b))),
    "negative": negative,
    "number": number,
    "text": text,
    "cast": cast,
    "regexp": regexp,
    "together": together,
}
"""By the name that a translated statement calls them by."""
