"""An action as text, read: a call in JSON or in the short form, or the end of the episode.

    call[{"name": "convert_units", "arguments": {"value": 12, "from_unit": "km", "to_unit": "mile"}}]
    convert_units[12, km, mile]            convert_units[12, km, to_unit=mile]
    answer[19.31]                          done[]

The short form takes arguments in the schema's order, apart by commas; `"…"` holds one with commas, and the last text
takes the rest as it is. What follows the last `]` is ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from envs.tools.schema import Tool
from envs.tools.toolbox import TOOLS
from sage_gym.errors import nearest

__all__ = ["Call", "Ending", "Mistake", "parse", "spell"]

ACTION = re.compile(r"\s*(\w+)\s*\[(.*)\]", re.DOTALL)
QUOTED = re.compile(r'\s*"(?:[^"\\]|\\.)*"\s*(?=,|$)', re.DOTALL)
NAMED = re.compile(r"\s*(\w+)=(.*)", re.DOTALL)
GRAMMAR = 'expected tool[arguments], call[{"name": …, "arguments": {…}}], answer[text] or done[]'
MAY_ACCOMPANY = frozenset({"id", "type"})
"""Keys beside name and arguments that OpenAI's format has and that say nothing here."""
LONGEST = 20_000
LONGEST_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool that exists; its arguments are not checked yet. `is_json`: their types are as written."""

    tool: Tool[Any]
    arguments: Mapping[str, Any]
    is_json: bool


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of the episode, with the answer; None where `done[]` gives none."""

    answer: str | None


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with an action; `tool` is the one that was meant, where that is known."""

    problems: tuple[str, ...]
    tool: Tool[Any] | None = None


def parse(action: str) -> Call | Ending | Mistake:
    """Read an action; never raises."""
    match = ACTION.match(action) if len(action) <= LONGEST else None
    if match is None:
        return Mistake((f"{GRAMMAR}, got {_brief(action)}",))
    name, inside = match[1].casefold(), match[2]
    if any("\ud800" <= sign <= "\udfff" for sign in inside):
        return Mistake(("the action holds half a character (a lone surrogate)",), TOOLS.get(name))
    if name == "answer":
        return Ending(inside.strip())
    if name == "done":
        return Ending(None)
    if name == "call":
        return _read_json(inside)
    tool = TOOLS.get(name)
    return _unknown(match[1]) if tool is None else _read_short(tool, inside)


def spell(tool: str, arguments: Mapping[str, Any], *, is_json: bool = False) -> str:
    """Write a call that `parse` reads back."""
    if is_json:
        return f"call[{json.dumps({'name': tool, 'arguments': dict(arguments)}, ensure_ascii=False)}]"
    held = TOOLS[tool]
    texts = [str(arguments[name]) for name in held.required]
    last = len(texts) - 1 if _most_parts(held) == len(texts) else None
    parts = [_quoted(text, takes_rest=place == last) for place, text in enumerate(texts)]
    parts += [f"{name}={str(value).lower()}" for name, value in arguments.items() if name not in held.required]
    return f"{tool}[{', '.join(parts)}]"


def _quoted(text: str, *, takes_rest: bool) -> str:
    is_plain = text == text.strip() != "" and text[0] != '"' and not NAMED.match(text)
    return text if is_plain and (takes_rest or "," not in text) else json.dumps(text, ensure_ascii=False)


def _read_json(inside: str) -> Call | Mistake:
    try:
        held = json.loads(inside, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        return Mistake((f"the inside of call[…] is not JSON: {error}; got {_brief(inside)}",))
    if not isinstance(held, dict):
        return Mistake((f"expected a JSON object with name and arguments, got {_brief(inside)}",))
    name, arguments = held.get("name"), held.get("arguments", {})
    if not isinstance(name, str):
        return Mistake((f'the call misses "name", got {_brief(inside)}',))
    tool = TOOLS.get(name.strip().casefold())
    if tool is None:
        return _unknown(name)
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            return Mistake((f'"arguments" is text that is not JSON: {error}',), tool)
    if not isinstance(arguments, dict):
        return Mistake((f'"arguments" should be an object, got {_brief(json.dumps(arguments))}',), tool)
    strange = held.keys() - {"name", "arguments"} - MAY_ACCOMPANY
    if strange:
        return Mistake(tuple(f'the call has no place for "{key}"' for key in sorted(strange)), tool)
    return Call(tool, arguments, is_json=True)


def _read_short(tool: Tool[Any], inside: str) -> Call | Mistake:
    parts = _split(inside, _most_parts(tool))
    arguments: dict[str, Any] = {}
    for part in parts:
        named = NAMED.match(part)
        left = [name for name in tool.kinds if name not in arguments]
        if named and named[1] in left:
            arguments[named[1]] = _unquote(named[2])
        elif left:
            arguments[left[0]] = _unquote(part)
        else:
            return Mistake((f"takes at most {len(tool.kinds)} arguments, got {len(parts)}",), tool)
    return Call(tool, arguments, is_json=False)


def _most_parts(tool: Tool[Any]) -> int | None:
    """Return how many parts there may be where the last is a text that takes the rest, else None."""
    last = list(tool.kinds)[-1]
    return len(tool.kinds) if tool.kinds[last] == "string" else None


def _split(inside: str, most: int | None) -> list[str]:
    """Split at commas outside of double quotes; a quote only counts where an argument begins with it."""
    parts: list[str] = []
    rest: str | None = inside if inside.strip() else None
    while rest is not None:
        quoted = QUOTED.match(rest)
        end = quoted.end() if quoted else rest.find(",")
        if len(parts) + 1 == most or not 0 <= end < len(rest):
            return [*parts, rest]
        parts.append(rest[:end])
        rest = rest[end + 1 :]
    return parts


def _unquote(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text, strict=False))
        except ValueError:
            return text
    return text


def _unknown(name: str) -> Mistake:
    known = f"{nearest(name, TOOLS)}; tools: {', '.join(TOOLS)}; to end: answer, done"
    return Mistake((f"no tool named {_brief(name)}{known}",))


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def _brief(text: str) -> str:
    return repr(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…")
