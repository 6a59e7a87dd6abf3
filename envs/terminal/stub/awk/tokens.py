"""The words and signs of a program of awk, read from left to right."""

from __future__ import annotations

import re
from typing import NamedTuple

from envs.terminal.stub.calls import Complaint

__all__ = ["WORDS", "Token", "Tokens"]

TOKEN = re.compile(
    r"(?P<space>(?:[ \t\r]|\\\n|\#[^\n]*)+)|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
    r'|(?P<text>"(?:[^"\\\n]|\\.)*")|(?P<name>[A-Za-z_]\w*)'
    r"|(?P<sign>\+\+|--|\+=|-=|\*=|/=|%=|\^=|==|!=|<=|>=|!~|&&|\|\||>>|[-+*/%^!<>=~?:;,(){}\[\]$|\n])",
    re.DOTALL,
)
REGEX = re.compile(r"(?P<regex>/(?:[^/\\\n\[]|\\.|\[\^?\]?[^\]\n]*\])*/)")
BEFORE_REGEX = (
    "", "\n", "(", ",", "{", "}", ";", "!", "&&", "||", "~", "!~", "=", "==", "!=", "?", ":", "print",
)  # fmt: skip
"""After these, and at the beginning, a slash begins a regular expression."""
WORDS = (
    "BEGIN", "END", "if", "else", "while", "for", "do", "in", "print", "printf", "next", "nextfile", "exit", "delete",
    "break", "continue", "function", "func", "getline", "return",
)  # fmt: skip


class Token(NamedTuple):
    """`kind` is `number`, `text`, `name`, `sign`, `regex`, or `end`."""

    kind: str
    text: str


class Tokens:
    """A program's tokens and the place that reading has come to."""

    def __init__(self, source: str) -> None:
        self._tokens, self.at = _tokens(source), 0

    def peek(self) -> Token:
        """Return the next token."""
        return self._tokens[min(self.at, len(self._tokens) - 1)]

    def take(self) -> Token:
        """Return the next token and go past it."""
        self.at += 1
        return self._tokens[min(self.at, len(self._tokens)) - 1]

    def is_next(self, *texts: str) -> bool:
        """Whether a sign or word comes next."""
        return self.peek().kind in ("sign", "name", "end") and self.peek().text in texts

    def accept(self, *texts: str) -> bool:
        """Go past a sign or word if it comes next."""
        is_there = self.is_next(*texts) and self.peek().kind != "end"
        self.at += is_there
        return is_there

    def expect(self, text: str) -> None:
        """Go past a sign or word.

        Raises:
            Complaint: something else comes next.
        """
        if not self.accept(text):
            raise self.wrong(f": expected {text!r}")

    def name(self) -> str:
        """Go past a name.

        Raises:
            Complaint: something else comes next.
        """
        if self.peek().kind != "name" or self.peek().text in WORDS:
            raise self.wrong(": expected a name")
        return self.take().text

    def skip(self, *texts: str) -> None:
        """Go past signs, however many."""
        while self.accept(*texts):
            pass

    def wrong(self, more: str = "") -> Complaint:
        """Return what to raise at this place."""
        return Complaint(f"syntax error near {self.peek().text or 'the end of the program'!r}{more}", 2)


def _tokens(source: str) -> list[Token]:
    found, at = list[Token](), 0
    while at < len(source):
        before = found[-1] if found else Token("sign", "")
        is_regex = source[at] == "/" and before.kind in ("sign", "name") and before.text in BEFORE_REGEX
        match = (REGEX if is_regex else TOKEN).match(source, at)
        if match is None:
            raise Complaint(f"syntax error near {source[at : at + 20]!r}", 2)
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match[0]))
        at = match.end()
    return [*found, Token("end", "")]
