"""sort, in the order of bytes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from envs.terminal.stub.calls import Call, Complaint, Done, Options, encoded, joined, told

__all__ = ["sort"]

KEY = re.compile(r"(\d+)(?:\.(\d+))?([bdfghinrV]*)(?:,(\d+)(?:\.(\d+))?([bdfghinrV]*))?")
NUMBER = re.compile(r"\s*(-?\d*(?:\.\d+)?)")
SIZE = re.compile(r"\s*(-?\d+(?:\.\d+)?)([KMGTP]?)")
SIZES = {unit: 1024**at for at, unit in enumerate(" KMGTP") if unit.strip()} | {"": 1}
LONG = {
    "numeric-sort": "n", "reverse": "r", "unique": "u", "key": "k", "field-separator": "t", "output": "o",
    "ignore-case": "f", "human-numeric-sort": "h", "version-sort": "V", "check": "c", "stable": "s",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Key:
    """From which field to which, counted from 1, and how they are compared; no last field is the end of the line."""

    first: int
    last: int
    kind: str


def sort(call: Call) -> Done:
    """Run sort."""
    options = Options(call.words, "nrufghVcsbd", "kto", LONG)
    lines, sign = call.lines(options.names), options.value("t")
    if len(sign) > 1:
        raise Complaint(f"multi-character tab {sign!r}", 2)
    kind = "".join(letter for letter in "nfghVbd" if letter in options)
    keys = [_key(written, kind + "r" * ("r" in options)) for written in options.given.get("k", ())]
    keys = keys or [Key(1, 0, kind + "r" * ("r" in options))]
    found = list(lines)
    if not options.given.keys() & {"s", "u"}:
        found.sort(key=encoded, reverse="r" in options)
    for key in reversed(keys):
        found.sort(key=partial(_value, key=key, sign=sign), reverse="r" in key.kind)
    if "u" in options:
        found = list({tuple(_value(line, key, sign) for key in keys): line for line in reversed(found)}.values())[::-1]
    if "c" in options:
        return Done(code=int(found != lines))
    if "o" in options:
        with told(options.value("o")):
            call.files.put(call.path(options.value("o")), joined(found))
        return Done()
    return Done(joined(found))


def _key(written: str, kind: str) -> Key:
    found = KEY.fullmatch(written)
    if found is None or "0" in (found[1], found[4]):
        raise Complaint(f"invalid number at field start: {written!r}", 2)
    if found[2] or found[5]:
        raise Complaint("the stub compares whole fields only", 2)
    own = (found[3] or "") + (found[6] or "")
    return Key(int(found[1]), int(found[4] or 0), own or kind)


def _value(line: str, key: Key, sign: str) -> Any:
    text = line if key.first == 1 and not key.last else _fields(line, key, sign)
    if "n" in key.kind or "g" in key.kind:
        return float(NUMBER.match(text)[1].rstrip("-") or 0)  # type: ignore[index]
    if "h" in key.kind:
        size = SIZE.match(text)
        return float(size[1]) * SIZES[size[2]] if size else 0.0
    if "V" in key.kind:
        return _version(text)
    text = text.lstrip() if "b" in key.kind else text
    return encoded(text.upper() if "f" in key.kind else text)


def _version(text: str) -> list[Any]:
    """Order numbers within a text by what they count, and letters before other signs.

    Raises:
        Complaint: it is no plain name: others are ordered by rules that the stub does not know.
    """
    if re.match(r"\.|.*[^\w.#-]", text):
        raise Complaint(f"the stub does not know where {text!r} stands among versions", 2)
    parts = re.split(r"(\d+)", text)
    return [
        int(part) if part.isdecimal() else tuple(ord(sign) + (0 if sign.isalpha() else 256) for sign in part)
        for part in parts
    ]


def _fields(line: str, key: Key, sign: str) -> str:
    """Return the fields of a key with what stands between them; without a sign, blanks before a field are its own."""
    parts: Sequence[str] = line.split(sign) if sign else re.findall(r"\s*\S+", line)
    return (sign if sign else "").join(parts[key.first - 1 : key.last or None])
