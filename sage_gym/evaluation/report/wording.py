"""Numbers and foreign text as the report shows them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sage_gym.evaluation.intervals import Interval

__all__ = ["FILTERS", "compact", "count", "duration", "fixed", "interval", "neutralise", "p_value", "percent", "points"]

NOTHING = "–"


def percent(value: float | None) -> str:
    """0.4567 -> `45.7 %`."""
    return NOTHING if value is None else f"{100 * value:.1f} %"


def points(value: float | None) -> str:
    """A difference of shares: 0.02 -> `+2.0`, with a true minus sign."""
    return NOTHING if value is None else f"{100 * value:+.1f}".replace("-", "−")


def fixed(value: float | None, digits: int = 3) -> str:
    """Round, with a true minus sign."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.{digits}f}".replace("-", "−")


def interval(found: Interval | None, scale: float = 1.0, digits: int = 3) -> str:
    """`[low, high]` of an interval, each times `scale`."""
    if found is None:
        return ""
    return f"[{fixed(found.low * scale, digits)}, {fixed(found.high * scale, digits)}]"


def p_value(value: float | None) -> str:
    """Two significant digits; below 0.0001 only that."""
    if value is None:
        return NOTHING
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}" if value < 0.01 else f"{value:.2f}"


def count(value: float | None) -> str:
    """Thousands apart, by a narrow no-break space."""
    return NOTHING if value is None else f"{value:,.0f}".replace(",", "\u202f")


def compact(value: float) -> str:
    """An axis label: 120000 -> `120 k`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}\u202f{unit}"
    return f"{value:g}"


def duration(seconds: float) -> str:
    """Seconds as `43 s`, `12 min 5 s` or `2 h 3 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def neutralise(text: str) -> str:
    """Make what would act on the page visible instead: control and format characters, lone surrogates.

    Escapes of a terminal, reversed writing and invisible characters in a page or a policy's text must not
    change how the report reads. Line breaks and tabs stay; so do the joiners inside emoji and scripts that need them.
    """
    return text if text.isascii() and text.isprintable() else text.translate(_SHOWN)


class _Shown(dict[int, str]):
    """What stands for each character, looked up once."""

    def __missing__(self, code: int) -> str:
        self[code] = _show(chr(code))
        return self[code]


_SHOWN = _Shown()


def _show(character: str) -> str:
    code = ord(character)
    if character in "\n\t\u200c\u200d":
        return character
    if code < 0x20:
        return chr(0x2400 + code)  # Unicode's pictures of the control characters
    return f"⟨U+{code:04X}⟩" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") else character


FILTERS: dict[str, Callable[..., Any]] = {
    "percent": percent,
    "points": points,
    "fixed": fixed,
    "interval": interval,
    "p_value": p_value,
    "count": count,
    "duration": duration,
    "neutralise": neutralise,
}
