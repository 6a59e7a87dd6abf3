"""`$field` in an argument: a value of an earlier answer, so that a small policy can pass it on without copying it.

`$email` is the field `email` of the latest answer that has one, `$2.email` that of the second answer, `$rows.0.total`
a field further in, `$$` a dollar sign. An argument that is one reference takes the value as it is; within text it is
written out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from envs.tools.plan import show

__all__ = ["UnknownReferenceError", "paths", "resolve"]

REFERENCE = re.compile(r"\$(?:(\d{1,4})\.)?([A-Za-z_]\w*(?:\.\w+)*)|\$\$")
MOST_NAMED = 12


class UnknownReferenceError(LookupError):
    """A reference to nothing."""


def resolve(text: str, answers: Sequence[Mapping[str, Any]]) -> Any:
    """Put values in the place of references.

    Args:
        text: an argument.
        answers: in the order in which they were given.

    Raises:
        UnknownReferenceError: no answer has such a field; those that there are are named.
    """
    whole = REFERENCE.fullmatch(text.strip())
    if whole and whole[2]:
        return _find(whole, answers)
    return REFERENCE.sub(lambda found: "$" if found[2] is None else show(_find(found, answers)), text)


def paths(answer: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path of every plain value in an answer."""
    pairs = answer.items() if isinstance(answer, Mapping) else enumerate(answer) if isinstance(answer, list) else None
    if pairs is None:
        yield before, answer
        return
    for name, value in pairs:
        yield from paths(value, f"{before}.{name}" if before else str(name))


def _find(found: re.Match[str], answers: Sequence[Mapping[str, Any]]) -> Any:
    number, path = found[1], found[2].casefold()
    if number is not None:
        place = int(number) - 1
        asked = answers[place : place + 1] if place >= 0 else ()
    else:
        asked = answers[::-1]
    for answer in asked:
        for name, value in paths(answer):
            if name.casefold() == path:
                return value
    held = dict.fromkeys(name for answer in (asked or answers[::-1]) for name, _ in paths(answer))
    known = ", ".join(f"${name}" for name in list(held)[:MOST_NAMED]) or "none yet"
    raise UnknownReferenceError(f"no earlier answer has {found[0]!r}; known: {known} (write $$ for a dollar sign)")
