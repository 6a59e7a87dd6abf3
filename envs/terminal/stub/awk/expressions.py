"""Expressions of awk, read into functions of the memory; a method for each level of precedence."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from envs.terminal.stub.awk.memory import Memory
from envs.terminal.stub.awk.tokens import WORDS, Tokens
from envs.terminal.stub.awk.values import COMPARED, Text, Value, compared, computed, is_true, number, written
from envs.terminal.stub.calls import Complaint
from envs.terminal.stub.patterns import compiled

__all__ = ["Expression", "Expressions", "Term"]

Expression = Callable[[Memory], Value]
ASSIGNED = ("=", "+=", "-=", "*=", "/=", "%=", "^=")
MOST_CHARACTERS = 1 << 16
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "/": "/"}
FUNCTIONS: dict[str, Callable[..., Value]] = {
    "length": lambda text: float(len(written(text))),
    "tolower": lambda text: written(text).lower(),
    "toupper": lambda text: written(text).upper(),
    "int": lambda value: float(int(number(value))),
    "index": lambda text, part: float(written(text).find(written(part)) + 1),
    "substr": lambda text, start, count=float("inf"): _part(written(text), number(start), number(count)),
}
ARGUMENTS = {"index": (2, 2), "substr": (2, 3)}


@dataclass(frozen=True, slots=True)
class Term:
    """An expression, how to give it a value where it can have one, and its text where it is a regular expression."""

    value: Expression
    store: Callable[[Memory, Value], None] | None = None
    pattern: str | None = None


class Expressions:
    """Reads expressions from tokens."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.is_printed = False
        """Whether `>` would be a file to print to."""

    def read(self) -> Term:
        """Read one, assignments and all.

        Raises:
            Complaint: there is none.
        """
        left = self._choice()
        if not self.tokens.is_next(*ASSIGNED):
            return left
        store = left.store
        if store is None:
            raise self.tokens.wrong()
        sign = self.tokens.take().text
        right = self.read().value
        if sign == "=":
            return Term(lambda memory: _stored(store, memory, right(memory)))
        return Term(lambda memory: _stored(store, memory, computed(sign[0], left.value(memory), right(memory))))

    def listed(self, end: str) -> list[Expression]:
        """Read expressions with commas between them, up to a sign."""
        found, was = list[Expression](), self.is_printed
        self.is_printed = False
        while not self.tokens.accept(end):
            if found:
                self.tokens.expect(",")
            found.append(self.read().value)
        self.is_printed = was
        return found

    def _choice(self) -> Term:
        test = self._or()
        if not self.tokens.accept("?"):
            return test
        yes = self.read().value
        self.tokens.expect(":")
        no = self.read().value
        return Term(lambda memory: yes(memory) if is_true(test.value(memory)) else no(memory))

    def _or(self) -> Term:
        left = self._and()
        while self.tokens.accept("||"):
            left = _either(left.value, self._and().value)
        return left

    def _and(self) -> Term:
        left = self._membership()
        while self.tokens.accept("&&"):
            left = _both(left.value, self._membership().value)
        return left

    def _membership(self) -> Term:
        left = self._match()
        while self.tokens.accept("in"):
            left = _is_in(left.value, self.tokens.name())
        return left

    def _match(self) -> Term:
        left = self._comparison()
        while self.tokens.is_next("~", "!~"):
            is_wanted = self.tokens.take().text == "~"
            left = _matches(left.value, self._comparison(), is_wanted=is_wanted)
        return left

    def _comparison(self) -> Term:
        left = self._concatenation()
        if self.tokens.is_next(*COMPARED) and not (self.is_printed and self.tokens.is_next(">")):
            sign, right = self.tokens.take().text, self._concatenation().value
            return Term(lambda memory: compared(sign, left.value(memory), right(memory)))
        return left

    def _concatenation(self) -> Term:
        left = self._sum()
        while self._begins_operand():
            left = _put_together(left.value, self._sum().value)
        return left

    def _begins_operand(self) -> bool:
        kind, text = self.tokens.peek()
        if kind == "sign":
            return text in ("$", "(", "++", "--")
        return kind in ("number", "text") or (kind == "name" and text not in WORDS)

    def _sum(self) -> Term:
        left = self._product()
        while self.tokens.is_next("+", "-"):
            left = _counted(self.tokens.take().text, left.value, self._product().value)
        return left

    def _product(self) -> Term:
        left = self._signed()
        while self.tokens.is_next("*", "/", "%"):
            left = _counted(self.tokens.take().text, left.value, self._signed().value)
        return left

    def _signed(self) -> Term:
        if self.tokens.accept("!"):
            inner = self._signed().value
            return Term(lambda memory: float(not is_true(inner(memory))))
        if self.tokens.is_next("+", "-"):
            sign, inner = self.tokens.take().text, self._signed().value
            return Term(lambda memory: computed(sign, 0.0, inner(memory)))
        base = self._stepped()
        return _counted("^", base.value, self._signed().value) if self.tokens.accept("^") else base

    def _stepped(self) -> Term:
        if self.tokens.is_next("++", "--"):
            sign = self.tokens.take().text[0]
            return self._changing(self._primary(), sign, is_old=False)
        found = self._primary()
        if found.store is not None and self.tokens.is_next("++", "--"):
            return self._changing(found, self.tokens.take().text[0], is_old=True)
        return found

    def _changing(self, term: Term, sign: str, *, is_old: bool) -> Term:
        store = term.store
        if store is None:
            raise self.tokens.wrong()

        def change(memory: Memory) -> Value:
            old = number(term.value(memory))
            new = _stored(store, memory, computed(sign, old, 1.0))
            return old if is_old else new

        return Term(change)

    def _primary(self) -> Term:
        kind, text = self.tokens.peek()
        if kind == "number":
            plain: Value = float(self.tokens.take().text)
            return Term(lambda memory: plain)
        if kind == "text":
            self.tokens.take()
            plain = re.sub(r"\\(.)", lambda m: ESCAPES.get(m[1], f"\\{m[1]}"), text[1:-1], flags=re.DOTALL)
            return Term(lambda memory: plain)
        if kind == "regex":
            pattern = self.tokens.take().text[1:-1].replace("\\/", "/")
            return Term(lambda memory: _found(pattern, memory.fields[0]), pattern=pattern)
        if self.tokens.accept("$"):
            at = (self._stepped() if self.tokens.is_next("++", "--") else self._primary()).value
            return Term(
                lambda memory: memory.field(number(at(memory))),
                lambda memory, value: memory.set_field(number(at(memory)), value),
            )
        if self.tokens.accept("("):
            inner = self.listed(")")
            if len(inner) != 1:
                raise self.tokens.wrong()
            return Term(inner[0])
        if kind == "name" and text in FUNCTIONS:
            return self._call()
        return self._variable()

    def _call(self) -> Term:
        name = self.tokens.take().text
        arguments: list[Expression] = self.listed(")") if self.tokens.accept("(") else []
        least, most = ARGUMENTS.get(name, (1, 1))
        if name == "length" and not arguments:
            arguments = [lambda memory: memory.fields[0]]
        if not least <= len(arguments) <= most:
            raise Complaint(f"{name}: expected {least} to {most} arguments, got {len(arguments)}", 2)
        return Term(lambda memory: FUNCTIONS[name](*(argument(memory) for argument in arguments)))

    def _variable(self) -> Term:
        name = self.tokens.name()
        if self.tokens.is_next("("):
            raise Complaint(f"the stub's awk does not know the function {name}", 2)
        if not self.tokens.accept("["):
            return Term(lambda memory: memory.get(name), lambda memory, value: memory.set(name, value))
        parts = self.listed("]")

        def key(memory: Memory) -> str:
            return written(memory.get("SUBSEP")).join(written(part(memory)) for part in parts)

        return Term(
            lambda memory: memory.arrays.setdefault(name, {}).setdefault(key(memory), Text("")),
            lambda memory, value: memory.arrays.setdefault(name, {}).update({key(memory): value}),
        )


def _stored(store: Callable[[Memory, Value], None], memory: Memory, value: Value) -> Value:
    memory.step()
    store(memory, value)
    return value


def _either(left: Expression, right: Expression) -> Term:
    return Term(lambda memory: float(is_true(left(memory)) or is_true(right(memory))))


def _both(left: Expression, right: Expression) -> Term:
    return Term(lambda memory: float(is_true(left(memory)) and is_true(right(memory))))


def _is_in(key: Expression, array: str) -> Term:
    return Term(lambda memory: float(written(key(memory)) in memory.arrays.get(array, {})))


def _counted(sign: str, left: Expression, right: Expression) -> Term:
    return Term(lambda memory: computed(sign, left(memory), right(memory)))


def _put_together(left: Expression, right: Expression) -> Term:
    def together(memory: Memory) -> Value:
        text = written(left(memory)) + written(right(memory))
        if len(text) > MOST_CHARACTERS:
            raise Complaint("the stub stops a text that grows so long", 2)
        return text

    return Term(together)


def _matches(text: Expression, wanted: Term, *, is_wanted: bool) -> Term:
    def holds(memory: Memory) -> Value:
        pattern = wanted.pattern if wanted.pattern is not None else written(wanted.value(memory))
        return float(bool(_found(pattern, written(text(memory)))) is is_wanted)

    return Term(holds)


def _found(pattern: str, text: str) -> float:
    return float(compiled(pattern, is_extended=True).search(text) is not None)


def _part(text: str, start: float, count: float) -> str:
    """Return the characters from a place, counted from 1, that lie within the text."""
    first = round(start)
    end = len(text) + 1 if count == float("inf") else first + round(count)
    return text[max(first, 1) - 1 : max(end - 1, 0)]
