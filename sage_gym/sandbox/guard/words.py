"""Words of bash to the fields they expand to, as far as that can be told without running anything."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from sage_gym.sandbox.guard.places import UNKNOWN, quoted
from sage_gym.sandbox.guard.syntax import Node, parse, read_back, text_of

__all__ = ["MOST_FIELDS", "Scope", "brace_commands", "expand", "literal"]

MOST_FIELDS = 64
BRACES = re.compile(r"\{[^{}\s'\"$`]*(,|\.\.)[^{}\s'\"$`]*\}")
BRACE_COMMAND = re.compile(r"(^|[;&|\n(`]\s*)(\{[^{}\s'\"$`;]*,[^{}\s'\"$`;]*\})")
SEQUENCE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?$")
ESCAPES = {"a": "\a", "b": "\b", "e": "\033", "E": "\033", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
GLOB_IN = re.compile(r"[*?\[]")
LISTS = re.compile(r"\"?(\$[@*]|\$\{[@*]\}|\$\{\w+\[[@*]\]\})\"?")
CODES = re.compile(r"\\(x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,8}|[0-7]{1,3}|.)", re.DOTALL)


@dataclass(slots=True)
class Scope:
    """What a shell knows at one point: its folder, variables, functions, aliases, arguments, and links it has made."""

    cwd: str
    variables: dict[str, str] = field(default_factory=dict)
    functions: dict[str, Node] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    script: str = "bash"

    def inner(self) -> Scope:
        """Return a copy, as a subshell has it."""
        return replace(
            self,
            variables=dict(self.variables),
            functions=dict(self.functions),
            aliases=dict(self.aliases),
            links=dict(self.links),
        )

    def value(self, name: str) -> str | None:
        """Return a parameter's value; None where it is not set."""
        if name in ("@", "*"):
            return " ".join(self.arguments)
        if name == "#":
            return str(len(self.arguments))
        if name.isdecimal():
            index = int(name)
            return (self.script, *self.arguments)[index] if index <= len(self.arguments) else None
        if name in ("?", "$", "!", "-", "_", "RANDOM", "SECONDS", "LINENO"):
            return UNKNOWN
        if name == "PWD":
            return self.cwd
        return self.variables.get(name)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a word; what is not quoted is split at blanks where it came out of an expansion."""

    text: str
    is_split: bool = False


Run = Callable[[Node, Scope], str]
"""Gives what the statements of a substitution print, `UNKNOWN` where that cannot be told."""


def unescape(text: str) -> str:
    """Decode what `$'...'`, `echo -e` and `printf` understand."""

    def one(match: re.Match[str]) -> str:
        code = match.group(1)
        if code[0] in "xuU" and len(code) > 1:
            return chr(int(code[1:], 16))
        if code[0] in "01234567":
            return chr(int(code, 8) & 0xFF)
        return ESCAPES.get(code, code if code in "\\'\"?" else f"\\{code}")

    return CODES.sub(one, text)


def expand(node: Node, scope: Scope, run: Run) -> list[str]:
    """Return the fields of one word, tilde, braces, variables, substitutions and quotes resolved; patterns stay."""
    source = text_of(node)
    if node.type in ("word", "concatenation", "brace_expression", "command_name") and BRACES.search(source):
        fields: list[str] = []
        for text in itertools.islice(_braces(source), MOST_FIELDS):
            fields += _expand(_as_word(text), scope, run) if text else []
        return fields
    return _expand(node, scope, run)


def brace_commands(text: str) -> str:
    """Expand braces that a command begins with (`{rm,-rf,/}`), which the parser does not take for a word."""
    return BRACE_COMMAND.sub(lambda match: match.group(1) + " ".join(_braces(match.group(2))), text)


def literal(node: Node, scope: Scope, run: Run) -> str:
    """Return a word as one text, without splitting, as in an assignment or a here-document."""
    return _tilde("".join(piece.text for piece in _pieces(node, scope, run)), text_of(node), scope)


def _expand(node: Node, scope: Scope, run: Run) -> list[str]:
    fields: list[str] = []
    is_open = False
    for piece in _pieces(node, scope, run):
        if not piece.is_split:
            if is_open:
                fields[-1] += piece.text
            else:
                fields.append(piece.text)
            is_open = True
            continue
        parts = piece.text.split()
        if parts and is_open and not piece.text[0].isspace():
            fields[-1] += parts.pop(0)
        fields += parts
        is_open = (bool(piece.text) and not piece.text[-1].isspace() and bool(fields)) or (is_open and not piece.text)
    source = text_of(node)
    return [_tilde(found, source, scope) if at == 0 else found for at, found in enumerate(fields[:MOST_FIELDS])]


def _tilde(text: str, source: str, scope: Scope) -> str:
    if not source.startswith("~") or not text.startswith("~"):
        return text
    name, slash, rest = text[1:].partition("/")
    home = {"": scope.variables.get("HOME", ""), "+": scope.cwd, "root": "/root"}.get(name, f"/home/{name}")
    return home + slash + rest


def _braces(text: str) -> Iterator[str]:
    match = BRACES.search(text)
    if match is None:
        yield text
        return
    inside = match.group()[1:-1]
    bounds = SEQUENCE.match(inside)
    if bounds:
        first, last = int(bounds.group(1)), int(bounds.group(2))
        step = abs(int(bounds.group(3) or 1)) or 1
        values = [str(n) for n in range(first, last + (1 if last >= first else -1), step if last >= first else -step)]
    elif ".." in inside and "," not in inside:
        values = [inside]
    else:
        values = inside.split(",")
    for value in values[:MOST_FIELDS]:
        yield from _braces(text[: match.start()] + value + text[match.end() :])


def _as_word(text: str) -> Node:
    root = parse(f": {text}")
    command = root.children[0]
    return command.named_children[-1] if len(command.named_children) > 1 else command


def _pieces(node: Node, scope: Scope, run: Run) -> Iterator[_Piece]:
    kind, source = node.type, text_of(node)
    if LISTS.fullmatch(source):
        yield _Piece(_parameter(node if "expansion" in kind else node.named_children[0], scope, run), is_split=True)
    elif kind in TEXTS:
        yield _Piece(quoted(TEXTS[kind](source)))
    elif kind in ("string", "translated_string", "heredoc_body"):
        yield _Piece(quoted("".join(_quoted(node, scope, run))))
    elif kind in ("simple_expansion", "expansion"):
        yield _Piece(_parameter(node, scope, run), is_split=True)
    elif kind == "command_substitution":
        yield _Piece(run(node, scope.inner()).rstrip("\n"), is_split=True)
    elif kind == "process_substitution":
        run(node, scope.inner())
        yield _Piece("/dev/fd/63")
    elif kind in ("concatenation", "command_name"):
        yield from _sequence(node, scope, run)
    elif kind == "array":
        yield _Piece(" ".join(itertools.chain.from_iterable(expand(c, scope, run) for c in node.named_children)))
    else:
        yield _Piece(PLAIN.get(kind, _unescaped)(source))


def _unescaped(source: str) -> str:
    return re.sub(r"\\(\n|.)", lambda m: "" if m.group(1) == "\n" else m.group(1), source)


def _sequence(node: Node, scope: Scope, run: Run) -> Iterator[_Piece]:
    """Yield the pieces of a node's children; a `$` before a quoted string only marks it for translation."""
    children = node.children
    for at, child in enumerate(children):
        follows = children[at + 1].type if at + 1 < len(children) else ""
        if child.type == "$" and follows in ("string", "raw_string"):
            continue
        yield from _pieces(child, scope, run)


def _quoted(node: Node, scope: Scope, run: Run) -> Iterator[str]:
    """Yield the parts of a double-quoted string or a here-document's body, with what stands between the nodes."""
    data = node.text or b""
    at, end = node.start_byte, node.end_byte
    if node.type == "translated_string" and node.named_children:
        yield from _quoted(node.named_children[0], scope, run)
        return
    if node.type == "string":
        at, end = at + 1, end - 1
    for child in node.children:
        if child.type in ("simple_expansion", "expansion"):
            value = _parameter(child, scope, run)
        elif child.type == "command_substitution":
            value = run(child, scope.inner()).rstrip("\n")
        elif child.type == "arithmetic_expansion":
            value = _arithmetic(text_of(child))
        else:
            continue
        yield _plain(data[at - node.start_byte : child.start_byte - node.start_byte])
        yield value
        at = child.end_byte
    yield _plain(data[at - node.start_byte : end - node.start_byte])


def _plain(data: bytes) -> str:
    return re.sub(r"\\([\\\"$`\n])", lambda m: "" if m.group(1) == "\n" else m.group(1), read_back(data))


def _arithmetic(source: str) -> str:
    inside = source.removeprefix("$((").removesuffix("))").strip()
    return inside if inside.isdecimal() else UNKNOWN


TEXTS: dict[str, Callable[[str], str]] = {
    "raw_string": lambda source: source[1:-1],
    "ansi_c_string": lambda source: unescape(source[2:-1]),
}
PLAIN: dict[str, Callable[[str], str]] = {"arithmetic_expansion": _arithmetic}


def _parameter(node: Node, scope: Scope, run: Run) -> str:
    """Return what `$name` or `${name...}` stands for; empty where it is not set."""
    source = text_of(node)
    if node.type == "simple_expansion":
        return scope.value(source[1:]) or ""
    inside = source[2:-1]
    match = re.match(r"(!?)([A-Za-z_]\w*|[@*#?$!-]|\d+)(\[[^\]]*\])?(.*)$", inside, re.DOTALL)
    if match is None or (inside.startswith("#") and len(inside) > 1):
        return UNKNOWN
    is_indirect, name, _, rest = match.groups()
    value = scope.value(name)
    if is_indirect:
        value = scope.value(value) if value else None
    if name == "IFS" and value is None:
        return " "
    return _modified(value, rest, scope, run)


def _modified(value: str | None, rest: str, scope: Scope, run: Run) -> str:
    """Apply what follows a parameter's name: defaults, substrings, cut ends, replacements, case."""
    if not rest:
        return value or ""
    default = re.match(r":?[-=](.*)$", rest, re.DOTALL)
    if default:
        return value or literal(_as_word(f'"{default.group(1)}"'), scope, run)
    if re.match(r":?\?", rest):
        return value or UNKNOWN
    if re.match(r":?\+", rest):
        return literal(_as_word(f'"{rest.lstrip(":")[1:]}"'), scope, run) if value else ""
    if value is None or UNKNOWN in value:
        return value or ""
    part = re.match(r":\s*(-?\d+)(?::(-?\d+))?$", rest)
    if part:
        first = int(part.group(1))
        length = int(part.group(2)) if part.group(2) else None
        tail = value[first:]
        return tail if length is None else tail[:length]
    swap = re.match(r"//?([^/]*)/?(.*)$", rest, re.DOTALL)
    if swap and rest.startswith("/") and not GLOB_IN.search(swap.group(1)):
        return value.replace(swap.group(1), swap.group(2), -1 if rest.startswith("//") else 1)
    cases: dict[str, Callable[[str], str]] = {",,": str.lower, "^^": str.upper, ",": str.lower, "^": str.capitalize}
    if rest in cases:
        return cases[rest](value)
    cut = re.match(r"(##?|%%?)(.*)$", rest, re.DOTALL)
    return _cut(value, *cut.groups()) if cut else UNKNOWN


def _cut(value: str, sign: str, pattern: str) -> str:
    """Take from the beginning (`#`) or the end (`%`) what a pattern matches, the shortest or (doubled) the longest."""
    sizes = range(len(value) + 1) if len(sign) == 1 else range(len(value), -1, -1)
    for size in sizes:
        end = value[:size] if sign[0] == "#" else value[len(value) - size :]
        if fnmatchcase(end, pattern):
            return value[size:] if sign[0] == "#" else value[: len(value) - size]
    return value
