"""MySQL's functions of text and numbers, and the table of all that a statement may call.

Left out: the clock and everything random, since the same actions must give the same episode.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from typing import Any

import regex  # type: ignore[import-untyped]

from envs.database.collation import fold
from envs.database.dates import DATE_FUNCTIONS
from envs.database.operators import (
    MAX_TEXT,
    OPERATORS,
    REGEX_TIMEOUT_S,
    Value,
    bounded,
    compare,
    half_up,
    number,
    rounded,
    text,
)

__all__ = ["FUNCTIONS"]


def _on_text(function: Callable[..., Value]) -> Callable[..., Value]:
    """Apply to the first argument as text; NULL anywhere gives NULL."""

    def apply(value: Value, *others: Value) -> Value:
        return None if value is None or None in others else function(text(value) or "", *others)

    return apply


def _on_number(function: Callable[..., Value]) -> Callable[..., Value]:
    def apply(*values: Value) -> Value:
        held = [number(value) for value in values]
        return None if None in held else function(*held)

    return apply


def _substring(value: str, start: Value, length: Value = MAX_TEXT) -> str:
    first, size = int(number(start) or 0), int(number(length) or 0)
    if first == 0 or size <= 0 or -first > len(value):
        return ""
    at = first - 1 if first > 0 else len(value) + first
    return value[at : at + size]


def _substring_index(value: str, separator: Value, count: Value) -> str:
    parts, wanted = value.split(str(separator)) if separator else [""], int(number(count) or 0)
    return str(separator).join(parts[:wanted] if wanted >= 0 else parts[wanted:])


def _locate(wanted: str, value: Value, start: Value = 1) -> int:
    first = int(number(start) or 0)
    return fold(text(value) or "").find(fold(wanted), first - 1) + 1 if first > 0 else 0


def _trim(value: str, removed: Value = " ", side: Value = "BOTH") -> str:
    part = text(removed) or ""
    first, last = 0, len(value)
    while part and side in ("BOTH", "LEADING") and value.startswith(part, first):
        first += len(part)
    while part and side in ("BOTH", "TRAILING") and last > first and value.endswith(part, first, last):
        last -= len(part)
    return value[first:last]


def _pad(value: str, size: Value, filler: Value, is_left: bool) -> str | None:
    wanted = min(int(number(size) or 0), MAX_TEXT + 1)
    missing, part = max(wanted - len(value), 0), text(filler) or ""
    if missing and not part:
        return None
    padding = bounded((part * missing)[:missing])
    return padding + value if is_left and missing else (value + padding)[:wanted]


def _repeat(value: str, count: Value) -> str:
    times = max(int(number(count) or 0), 0)
    return bounded(value * min(times, MAX_TEXT + 1)) if value else ""


def _replace(value: str, old: Value, new: Value) -> str:
    return bounded(value.replace(text(old) or "", text(new) or "")) if old != "" else value


def _join(separator: Value, *values: Value) -> str | None:
    return None if separator is None else bounded(str(separator).join(text(v) or "" for v in values if v is not None))


def _concat(*values: Value) -> str | None:
    return None if None in values else _join("", *values)


def _extreme(sign: int) -> Callable[..., Value]:
    def choose(*values: Value) -> Value:
        if None in values:
            return None
        best = values[0]
        for value in values[1:]:
            if (compare(value, best) or 0) * sign > 0:
                best = value
        return best

    return choose


def _place(wanted: Value, *values: Value) -> int:
    return next((i for i, value in enumerate(values, 1) if compare(wanted, value) == 0), 0)


def _comma(value: float, digits: Value) -> str:
    places = max(int(number(digits) or 0), 0)
    return f"{half_up(float(value), places):,.{min(places, 30)}f}"


def _shorten(value: float, digits: Value) -> Value:
    factor = 10.0 ** int(number(digits) or 0)
    return math.trunc(value * factor) / factor if factor > 1 else int(math.trunc(value * factor) / factor)


def _replace_matches(value: str, pattern: Value, new: Value) -> str:
    return bounded(regex.sub(text(pattern), text(new), value, flags=regex.IGNORECASE, timeout=REGEX_TIMEOUT_S))


def _first_match(value: str, pattern: Value) -> str | None:
    found = regex.search(text(pattern), value, regex.IGNORECASE, timeout=REGEX_TIMEOUT_S)
    return str(found[0]) if found else None


def _logarithm(first: float, second: float | None = None) -> float | None:
    if second is None:
        return None if first <= 0 else math.log(first)
    return None if first <= 0 or first == 1 or second <= 0 else math.log(second) / math.log(first)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    **OPERATORS,
    **DATE_FUNCTIONS,
    "regexp_like": OPERATORS["regexp"],
    "regexp_replace": _on_text(_replace_matches),
    "regexp_substr": _on_text(_first_match),
    "concat": _concat,
    "concat_ws": _join,
    "substring": _on_text(_substring),
    "substr": _on_text(_substring),
    "mid": _on_text(_substring),
    "left": _on_text(lambda v, n: v[: max(int(number(n) or 0), 0)]),
    "right": _on_text(lambda v, n: v[max(len(v) - max(int(number(n) or 0), 0), 0) :]),
    "substring_index": _on_text(_substring_index),
    "locate": _on_text(_locate),
    "instr": lambda value, wanted: _on_text(_locate)(wanted, value),
    "trim": _on_text(_trim),
    "ltrim": _on_text(lambda v: v.lstrip(" ")),
    "rtrim": _on_text(lambda v: v.rstrip(" ")),
    "lpad": _on_text(lambda v, n, s: _pad(v, n, s, True)),
    "rpad": _on_text(lambda v, n, s: _pad(v, n, s, False)),
    "upper": _on_text(lambda v: v.upper()),
    "ucase": _on_text(lambda v: v.upper()),
    "lower": _on_text(lambda v: v.lower()),
    "lcase": _on_text(lambda v: v.lower()),
    "length": _on_text(lambda v: len(v.encode())),
    "octet_length": _on_text(lambda v: len(v.encode())),
    "char_length": _on_text(len),
    "character_length": _on_text(len),
    "reverse": _on_text(lambda v: v[::-1]),
    "repeat": _on_text(_repeat),
    "space": lambda n: _on_text(_repeat)(" ", n),
    "replace": _on_text(_replace),
    "ascii": _on_text(lambda v: v.encode()[0] if v else 0),
    "md5": _on_text(lambda v: hashlib.md5(v.encode(), usedforsecurity=False).hexdigest()),
    "strcmp": compare,
    "field": _place,
    "find_in_set": lambda v, s: None if v is None or s is None else _place(text(v), *str(s).split(",")),
    "elt": lambda n, *values: values[int(n) - 1] if n is not None and 0 < int(n) <= len(values) else None,
    "greatest": _extreme(1),
    "least": _extreme(-1),
    "isnull": lambda value: int(value is None),
    "nullif": lambda a, b: None if compare(a, b) == 0 else a,
    "abs": _on_number(abs),
    "sign": _on_number(lambda v: (v > 0) - (v < 0)),
    "truncate": _on_number(_shorten),
    "char": lambda *codes: "".join(chr(int(number(code) or 0)) for code in codes if code is not None),
    "round": rounded,
    "floor": _on_number(math.floor),
    "ceil": _on_number(math.ceil),
    "ceiling": _on_number(math.ceil),
    "sqrt": _on_number(lambda v: None if v < 0 else math.sqrt(v)),
    "pow": _on_number(math.pow),
    "power": _on_number(math.pow),
    "exp": _on_number(math.exp),
    "ln": _on_number(lambda v: None if v <= 0 else math.log(v)),
    "log": _on_number(_logarithm),
    "log10": _on_number(lambda v: None if v <= 0 else math.log10(v)),
    "log2": _on_number(lambda v: None if v <= 0 else math.log2(v)),
    "pi": lambda: math.pi,
    "format": _on_number(_comma),
}
"""What an agent may call, by MySQL's name in lower case, with the operators."""
