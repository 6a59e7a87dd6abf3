"""Regular expressions as grep, sed and awk have them, in Python's form."""

from __future__ import annotations

from functools import lru_cache

import regex  # type: ignore[import-untyped]

from envs.terminal.stub.calls import Complaint

__all__ = ["Pattern", "compiled"]

TIMEOUT_S = 0.2
"""Of one search: an agent's pattern may need longer than the universe."""
BARE = "+?|(){}"
"""What is plain in a basic expression, and special behind a backslash; in an extended one the other way round."""
SHORT = {"w": r"\w", "W": r"\W", "s": r"\s", "S": r"\S", "b": r"\b", "B": r"\B", "<": r"\b(?=\w)", ">": r"\b(?<=\w)"}


class Pattern:
    """A compiled expression whose searches end in time."""

    def __init__(self, source: str, *, is_case_ignored: bool = False) -> None:
        try:
            self._compiled = regex.compile(source, regex.IGNORECASE if is_case_ignored else 0)
        except (regex.error, RecursionError, OverflowError) as error:
            raise Complaint(f"invalid regular expression: {error}", 2) from error

    def search(self, text: str, start: int = 0) -> regex.Match[str] | None:
        """Find the first match.

        Raises:
            Complaint: it takes too long.
        """
        try:
            return self._compiled.search(text, start, timeout=TIMEOUT_S)
        except TimeoutError:
            raise Complaint("the regular expression takes too long", 2) from None


@lru_cache(maxsize=256)
def compiled(
    written: str,
    *,
    is_extended: bool = False,
    is_fixed: bool = False,
    is_case_ignored: bool = False,
    around: str = "{}",
) -> Pattern:
    """Compile an expression.

    Args:
        written: as grep or sed takes it.
        is_extended: whether it is one of `grep -E`.
        is_fixed: whether it is plain text.
        is_case_ignored: whether capitals match small letters.
        around: what Python's expression is put into.

    Raises:
        Complaint: it is none.
    """
    source = regex.escape(written) if is_fixed else _in_python(written, is_extended=is_extended)
    return Pattern(around.format(f"(?:{source})"), is_case_ignored=is_case_ignored)


def _in_python(written: str, *, is_extended: bool) -> str:
    out, at = list[str](), 0
    while at < len(written):
        sign = written[at]
        if sign == "[":
            end = _bracket_end(written, at)
            out.append(_bracket(written[at : end + 1]))
            at = end + 1
            continue
        if sign == "\\" and at + 1 < len(written):
            out.append(_escaped(written[at + 1], is_extended=is_extended))
            at += 2
            continue
        is_first = not out or out[-1] in ("(", "|")
        if sign == "*" and (is_first or out[-1] == "^"):
            out.append(r"\*")
        elif not is_extended and (sign in BARE or (sign in "^$" and not _is_anchor(written, at, out))):
            out.append(f"\\{sign}")
        else:
            out.append(sign if sign in f"{BARE}.*^$" else regex.escape(sign))
        at += 1
    return "".join(out)


def _is_anchor(written: str, at: int, before: list[str]) -> bool:
    if written[at] == "^":
        return not before or before[-1] in ("(", "|")
    return at + 1 == len(written) or written.startswith((r"\)", r"\|"), at + 1)


def _escaped(sign: str, *, is_extended: bool) -> str:
    if sign in BARE:
        return f"\\{sign}" if is_extended else sign
    if sign.isdecimal() and sign != "0":
        return f"(?:\\{sign})"
    return SHORT.get(sign, "\t" if sign == "t" else "\n" if sign == "n" else regex.escape(sign))


def _bracket_end(written: str, at: int) -> int:
    """Return where a bracket closes; `]` right after its opening, and within `[:…:]`, does not close it."""
    end = at + 1
    end += written[end : end + 1] == "^"
    end += written[end : end + 1] == "]"
    while end < len(written) and written[end] != "]":
        if written.startswith(("[:", "[.", "[="), end):
            closing = written.find(f"{written[end + 1]}]", end + 2)
            end = closing + 1 if closing != -1 else end
        end += 1
    if end >= len(written):
        raise Complaint("invalid regular expression: unmatched [", 2)
    return end


def _bracket(text: str) -> str:
    """Write a bracket for Python: a backslash in it is plain."""
    inside = text[1:-1]
    sign = "^" if inside.startswith("^") else ""
    inside = inside[len(sign) :].replace("\\", "\\\\")
    first = "\\]" if inside.startswith("]") else ""
    inside = inside[1:] if first else inside
    parts, at = list[str](), 0
    while at < len(inside):
        if inside.startswith("[:", at) and ":]" in inside[at:]:
            end = inside.index(":]", at) + 2
            parts.append(inside[at:end])
            at = end
        else:
            parts.append("\\[" if inside[at] == "[" else inside[at])
            at += 1
    return f"[{sign}{first}{''.join(parts)}]"
