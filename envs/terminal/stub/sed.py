"""sed: addresses, `s`, `d`, `p`, `q`, `=`, `y`, `a`, `i`, `c`, and `-n -i -e -E`; no labels and no hold space."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import regex  # type: ignore[import-untyped]

from envs.terminal.stub.calls import Call, Complaint, Done, Options, decoded, joined, split_lines, told, whole
from envs.terminal.stub.patterns import Pattern, compiled

__all__ = ["sed"]

LONG = {"quiet": "n", "silent": "n", "in-place": "i", "expression": "e", "regexp-extended": "E", "file": "f"}
ADDRESS = re.compile(r"\s*(?:(\d+)(?:~(\d+))?|(\$))")
MOST_CHARACTERS = 1 << 18
LETTERS = {"n": "\n", "t": "\t", "&": "&", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Place:
    """A line by number, the last one (-1), every `step`-th from one on, or those that match."""

    number: int = 0
    step: int = 0
    pattern: Pattern | None = None

    def holds(self, at: int, line: str, last: int) -> bool:
        """Whether it is that line."""
        if self.pattern is not None:
            return self.pattern.search(line) is not None
        if self.step:
            return at >= self.number and (at - self.number) % self.step == 0
        return at == (last if self.number == -1 else self.number)


@dataclass(slots=True)
class Command:
    """One command with the lines that it is for."""

    name: str
    start: Place | None = None
    end: Place | None = None
    is_inverted: bool = False
    pattern: Pattern | None = None
    text: str = ""
    flags: str = ""
    block: list[Command] = field(default_factory=list)
    _is_inside: bool = False

    def is_for(self, at: int, line: str, last: int) -> bool:
        """Whether it is to be done on a line; remembers where a range began."""
        if self.start is None:
            return not self.is_inverted
        if self.end is None:
            return self.start.holds(at, line, last) is not self.is_inverted
        if self._is_inside:
            is_in, self._is_inside = True, not self.end.holds(at, line, last)
        else:
            is_in = self.start.holds(at, line, last)
            is_number = self.end.pattern is None and self.end.number != -1 and not self.end.step
            ends = is_number and at >= self.end.number
            self._is_inside = is_in and not ends and not (self.end.number == -1 and at == last)
        return is_in is not self.is_inverted


def sed(call: Call) -> Done:
    """Run sed."""
    options = Options(call.words, "nErsi", "ef", LONG)
    names = options.names
    written = list(options.given.get("e", ())) + [decoded(call.read(name)) for name in options.given.get("f", ())]
    if not written:
        if not names:
            raise Complaint("no script")
        written, names = [names[0]], names[1:]
    script = "\n".join(written)
    if "i" not in options:
        return Done(_edited(script, options, "".join(text for _, text in call.texts(names))))
    for name, text in call.texts(names) if names else ():
        with told(name):
            call.files.put(call.path(name), _edited(script, options, text))
    return Done()


def _edited(script: str, options: Options, text: str) -> bytes:
    """Run a script over a text; where that ends without a line feed, so does what becomes of it."""
    data = joined(_Edit(script, options).run(split_lines(text)))
    return data if text.endswith("\n") or not text else data.removesuffix(b"\n")


class _Edit:
    """A script, run once over some lines."""

    def __init__(self, script: str, options: Options) -> None:
        self._is_silent = "n" in options
        self._commands = _Reader(script, is_extended=bool(options.given.keys() & {"E", "r"})).commands()
        self._is_over = False

    def run(self, lines: Sequence[str]) -> list[str]:
        out = list[str]()
        for at, line in enumerate(lines, 1):
            after = list[str]()
            kept = self._block(self._commands, line, (at, len(lines)), out, after)
            out += [*([kept] if kept is not None and not self._is_silent else []), *after]
            if self._is_over:
                break
        return [part for line in out for part in line.split("\n")]

    def _block(
        self, commands: Sequence[Command], line: str | None, place: tuple[int, int], out: list[str], after: list[str]
    ) -> str | None:
        at, last = place
        for command in commands:
            if line is None or self._is_over:
                break
            if not command.is_for(at, line, last):
                continue
            if command.name == "{":
                line = self._block(command.block, line, place, out, after)
            elif command.name == "s":
                changed = _substituted(line, command)
                out += [changed or ""] * (changed is not None and "p" in command.flags)
                line = line if changed is None else changed
                if len(line) > MOST_CHARACTERS:
                    raise Complaint("the stub stops a line that grows so long", 2)
            elif command.name == "y":
                line = line.translate(dict(zip(map(ord, command.flags), command.text, strict=True)))
            elif command.name in "dc":
                out += [command.text] * (command.name == "c")
                line = None
            elif command.name == "a":
                after.append(command.text)
            else:
                out += {"p": [line], "=": [str(at)], "i": [command.text]}.get(command.name, [])
                self._is_over = command.name == "q"
        return line


def _substituted(line: str, command: Command) -> str | None:
    """Return a line with what matches replaced; None where nothing does."""
    pattern = command.pattern
    numbers = re.findall(r"\d+", command.flags)
    wanted, is_all = int(numbers[0]) if numbers else 1, "g" in command.flags
    out, at, count, copied, before = list[str](), 0, 0, 0, -1
    while pattern is not None and at <= len(line):
        found = pattern.search(line, at)
        if found is None:
            break
        is_twice = found.end() == found.start() == before  # nothing, right behind what matched
        count, before = count + (not is_twice), found.end()
        if not is_twice and (count == wanted or (is_all and count > wanted)):
            out += [line[copied : found.start()], _replacement(command.text, found)]
            copied = found.end()
            if not is_all:
                break
        at = found.end() + (found.end() == found.start())
    return None if not out else "".join([*out, line[copied:]])


def _replacement(text: str, found: regex.Match[str]) -> str:
    def one(sign: re.Match[str]) -> str:
        if sign[0] == "&":
            return str(found.group())
        if sign[1].isdecimal():
            if int(sign[1]) > len(found.groups()):
                raise Complaint(f"invalid reference \\{sign[1]} in the replacement")
            return str(found.group(int(sign[1])) or "")
        return LETTERS.get(sign[1], sign[1])

    return re.sub(r"\\(.|\n)|&", one, text)


class _Reader:
    """Reads a script."""

    def __init__(self, script: str, *, is_extended: bool) -> None:
        self._text, self._at, self._is_extended = script, 0, is_extended

    def commands(self, *, is_inner: bool = False) -> list[Command]:
        found = list[Command]()
        while True:
            self._skip(" \t\n;")
            if self._at >= len(self._text):
                if is_inner:
                    raise Complaint("unmatched {")
                return found
            if self._text[self._at] == "}":
                self._at += 1
                return found
            if self._text[self._at] == "#":
                self._until("\n")
                continue
            found.append(self._command())

    def _command(self) -> Command:
        start = self._place()
        end = None
        if start is not None and self._next(","):
            end = self._place()
            if end is None:
                raise Complaint("unexpected ,")
        self._skip(" \t")
        is_inverted = self._next("!")
        self._skip(" \t")
        name = self._text[self._at : self._at + 1]
        self._at += 1
        command = Command(name, start, end, is_inverted)
        if name == "{":
            return replace(command, block=self.commands(is_inner=True))
        if name == "s":
            pattern, text = self._halves()
            flags = self._flags()
            compiled_ = self._compiled(pattern, is_case_ignored=bool(set(flags) & set("iI")))
            return replace(command, pattern=compiled_, text=text, flags=flags)
        if name == "y":
            one, other = self._halves()
            if len(one) != len(other):
                raise Complaint("strings for y are of different lengths")
            return replace(command, flags=one, text=other)
        if name and name in "aic":
            self._skip(" \t")
            self._next("\\")
            self._skip("\n")
            return replace(command, text=self._until("\n").removeprefix(" "))
        if not name or name not in "dpq=":
            raise Complaint(f"the stub's sed does not know the command {name!r}")
        return command

    def _place(self) -> Place | None:
        found = ADDRESS.match(self._text, self._at)
        if found:
            self._at = found.end()
            return Place(whole(found[1]) if found[1] else -1, whole(found[2] or "0"))
        self._skip(" \t")
        if self._next("/"):
            return Place(pattern=self._compiled(self._until_sign("/"), is_case_ignored=self._next("I")))
        return None

    def _halves(self) -> tuple[str, str]:
        sign = self._text[self._at : self._at + 1]
        if not sign or sign in "\\\n":
            raise Complaint("unterminated command")
        self._at += 1
        return self._until_sign(sign), self._until_sign(sign)

    def _until_sign(self, sign: str) -> str:
        """Read up to a sign that no backslash stands before, and no bracket is around."""
        out, is_bracket = "", False
        while self._at < len(self._text):
            here = self._text[self._at]
            self._at += 1
            if here == "\\" and self._at < len(self._text):
                after = self._text[self._at]
                self._at += 1
                out += after if after == sign and sign not in "|(){}+?" else here + after
                continue
            if here == sign and not is_bracket:
                return out
            is_bracket = here == "[" or (is_bracket and here != "]")
            out += here
        raise Complaint("unterminated command")

    def _flags(self) -> str:
        found = re.compile(r"[gpiI\d]*").match(self._text, self._at)
        self._at = found.end() if found else self._at
        if self._text[self._at : self._at + 1] not in ("", ";", "\n", "}", " ", "\t"):
            raise Complaint(f"unknown option to s: {self._text[self._at]!r}")
        return found[0] if found else ""

    def _compiled(self, written: str, *, is_case_ignored: bool) -> Pattern:
        return compiled(written, is_extended=self._is_extended, is_case_ignored=is_case_ignored)

    def _skip(self, signs: str) -> None:
        while self._at < len(self._text) and self._text[self._at] in signs:
            self._at += 1

    def _next(self, sign: str) -> bool:
        is_there = self._text.startswith(sign, self._at)
        self._at += len(sign) if is_there else 0
        return is_there

    def _until(self, sign: str) -> str:
        end = self._text.find(sign, self._at)
        end = len(self._text) if end == -1 else end
        found, self._at = self._text[self._at : end], end
        return found
