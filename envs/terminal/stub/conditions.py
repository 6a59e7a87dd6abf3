"""`[ … ]`, `test` and `[[ … ]]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from envs.terminal.stub.calls import Call, Complaint, Done, whole
from envs.terminal.stub.globs import is_like
from envs.terminal.stub.patterns import compiled
from sage_gym.sandbox.tree import Node

__all__ = ["condition"]

OF_FILES: Mapping[str, Callable[[Node], bool]] = {
    "-e": lambda node: True,
    "-f": lambda node: node.kind == "file",
    "-d": lambda node: node.kind == "folder",
    "-s": lambda node: bool(node.content) or node.kind == "folder",
    "-r": lambda node: bool(node.mode & 0o400),
    "-w": lambda node: bool(node.mode & 0o200),
    "-x": lambda node: bool(node.mode & 0o100),
}
OF_NUMBERS: Mapping[str, Callable[[int, int], bool]] = {
    "-eq": lambda a, b: a == b,
    "-ne": lambda a, b: a != b,
    "-lt": lambda a, b: a < b,
    "-le": lambda a, b: a <= b,
    "-gt": lambda a, b: a > b,
    "-ge": lambda a, b: a >= b,
}


def condition(call: Call) -> Done:
    """Tell whether a condition holds."""
    words = list(call.words)
    if call.name == "[" and words[-1:] == ["]"]:
        words.pop()
    return Done(code=int(not _Condition(call, words).holds()))


class _Condition:
    """Reads the words of a condition."""

    def __init__(self, call: Call, words: Sequence[str]) -> None:
        self._call, self._words, self._at = call, words, 0
        self._is_double = call.name == "[["

    def holds(self) -> bool:
        """Judge all of it.

        Raises:
            Complaint: it is none.
        """
        if not self._words:
            return False
        found = self._either()
        if self._at < len(self._words):
            raise Complaint(f"unexpected {self._words[self._at]!r}", 2)
        return found

    def _either(self) -> bool:
        found = self._all()
        while self._accept("-o", "||"):
            found = self._all() or found
        return found

    def _all(self) -> bool:
        found = self._one()
        while self._accept("-a", "&&"):
            found = self._one() and found
        return found

    def _one(self) -> bool:
        left = len(self._words) - self._at
        if left > 2 and self._words[self._at + 1] in (*OF_NUMBERS, "=", "==", "!=", "=~", "<", ">"):
            one, sign, other = self._next(), self._next(), self._next()
            return self._compared(one, sign, other)
        if self._accept("!"):
            return not self._one()
        if left > 2 and self._accept("("):
            found = self._either()
            if not self._accept(")"):
                raise Complaint("expected )", 2)
            return found
        word = self._next()
        if left == 1 or not word.startswith("-"):
            return bool(word)
        return self._of_one(word, self._next())

    def _of_one(self, sign: str, name: str) -> bool:
        if sign in ("-z", "-n"):
            return bool(name) is (sign == "-n")
        files, path = self._call.files, self._call.path(name)
        if sign in ("-L", "-h"):
            node = files.find(path, is_followed=False)
            return node is not None and node.kind == "link"
        if sign not in OF_FILES:
            raise Complaint(f"the stub does not know the condition {sign}", 2)
        found = files.find(path) if name else None
        return found is not None and OF_FILES[sign](found)

    def _compared(self, one: str, sign: str, other: str) -> bool:
        if sign in OF_NUMBERS:
            return OF_NUMBERS[sign](whole(one.strip()), whole(other.strip()))
        if sign == "=~":
            return compiled(other, is_extended=True).search(one) is not None
        if sign in "<>":
            return one < other if sign == "<" else one > other
        is_same = is_like(one, other) if self._is_double else one == other
        return is_same is (sign != "!=")

    def _accept(self, *words: str) -> bool:
        is_there = self._at < len(self._words) and self._words[self._at] in words
        self._at += is_there
        return is_there

    def _next(self) -> str:
        if self._at >= len(self._words):
            raise Complaint("argument expected", 2)
        self._at += 1
        return self._words[self._at - 1]
