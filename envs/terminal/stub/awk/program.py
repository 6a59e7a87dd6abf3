"""A program of awk, read and run over the records of some files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from envs.terminal.stub.awk.expressions import Expression, Expressions
from envs.terminal.stub.awk.memory import Memory
from envs.terminal.stub.awk.steps import (
    Next,
    Quit,
    Statement,
    all_of,
    always,
    between,
    do,
    do_nothing,
    go_on,
    loop,
    print_record,
)
from envs.terminal.stub.awk.tokens import WORDS, Tokens
from envs.terminal.stub.awk.values import Text, formatted, is_true, number, written
from envs.terminal.stub.calls import Call, Complaint, Done, Options, decoded, encoded, split_lines

__all__ = ["awk"]

ENDS = ("\n", ";", "}", "")


@dataclass(frozen=True, slots=True)
class Rule:
    """An action with what it is for: `BEGIN`, `END`, or the records that a test holds of."""

    when: str
    test: Callable[[Memory], bool]
    action: Statement


def awk(call: Call) -> Done:
    """Run awk."""
    options = Options(call.words, "", "Fvf")
    names = list(options.names)
    sources = [decoded(call.read(name)) for name in options.given.get("f", ())]
    if not sources:
        if not names:
            raise Complaint("expected a program", 2)
        sources = [names.pop(0)]
    memory, sign = Memory(), options.value("F", " ")
    memory.variables["FS"] = {"t": "\t", "\\t": "\t"}.get(sign, sign)
    for given in options.given.get("v", ()):
        name, _, value = given.partition("=")
        memory.variables[name] = Text(value)
    try:
        code = _run(Reader("\n".join(sources)).rules(), memory, call, names)
    except RecursionError:
        raise Complaint("the program is nested too deeply", 2) from None
    return Done(encoded("".join(memory.out)), code=code)


def _run(rules: Sequence[Rule], memory: Memory, call: Call, names: Sequence[str]) -> int:
    code = 0
    try:
        for rule in rules:
            if rule.when == "BEGIN":
                rule.action(memory)
        if all(rule.when == "BEGIN" for rule in rules):
            return 0
        for record in _records(memory, call, names):
            memory.take(record)
            _apply(rules, memory)
    except Quit as end:
        code = end.code
    try:
        for rule in rules:
            if rule.when == "END":
                rule.action(memory)
    except Quit as end:
        code = end.code
    return code


def _records(memory: Memory, call: Call, names: Sequence[str]) -> Iterator[str]:
    count = 0
    for name, text in call.texts(names):
        memory.variables["FILENAME"] = "" if name == "-" else name
        for at, line in enumerate(split_lines(text), 1):
            count += 1
            memory.variables |= {"NR": float(count), "FNR": float(at)}
            yield line


def _apply(rules: Sequence[Rule], memory: Memory) -> None:
    try:
        for rule in rules:
            memory.step()
            if rule.when == "record" and rule.test(memory):
                rule.action(memory)
    except Next:
        return


class Reader:
    """Reads rules and statements."""

    def __init__(self, source: str) -> None:
        self._tokens = Tokens(source)
        self._expressions = Expressions(self._tokens)

    def rules(self) -> list[Rule]:
        """Read them all.

        Raises:
            Complaint: it is no program, or has something in it that the stub does not know.
        """
        found = list[Rule]()
        self._tokens.skip("\n", ";")
        while self._tokens.peek().kind != "end":
            found.append(self._rule())
            self._tokens.skip("\n", ";")
        return found

    def _rule(self) -> Rule:
        for when in ("BEGIN", "END"):
            if self._tokens.accept(when):
                return Rule(when, always, self._block())
        test = always if self._tokens.is_next("{") else self._test()
        return Rule("record", test, self._block() if self._tokens.is_next("{") else print_record)

    def _test(self) -> Callable[[Memory], bool]:
        start = self._expressions.read().value
        if self._tokens.accept(","):
            return between(start, self._expressions.read().value)
        return lambda memory: is_true(start(memory))

    def _block(self) -> Statement:
        self._tokens.expect("{")
        inner = list[Statement]()
        self._tokens.skip("\n", ";")
        while not self._tokens.accept("}"):
            inner.append(self._statement())
            if not self._tokens.is_next(*ENDS):
                raise self._tokens.wrong()
            self._tokens.skip("\n", ";")
        return lambda memory: all_of(inner, memory)

    def _statement(self) -> Statement:
        if self._tokens.is_next("{"):
            return self._block()
        known = {
            "if": self._if, "for": self._for, "while": self._while,
            "print": self._print, "printf": self._printf, "exit": self._exit,
        }  # fmt: skip
        for word, read in known.items():
            if self._tokens.accept(word):
                return read()
        if self._tokens.accept("next"):
            return go_on
        if self._tokens.peek().kind == "name" and self._tokens.is_next(*WORDS):
            raise Complaint(f"the stub's awk does not know {self._tokens.peek().text!r}", 2)
        value = self._expressions.read().value
        return lambda memory: do(value, memory)

    def _if(self) -> Statement:
        self._tokens.expect("(")
        test = self._expressions.read().value
        self._tokens.expect(")")
        then, before = self._body(), self._tokens.at
        self._tokens.skip("\n", ";")
        if self._tokens.accept("else"):
            other = self._body()
            return lambda memory: then(memory) if is_true(test(memory)) else other(memory)
        self._tokens.at = before
        return lambda memory: then(memory) if is_true(test(memory)) else None

    def _for(self) -> Statement:
        self._tokens.expect("(")
        start = self._tokens.at
        if self._tokens.peek().kind == "name":
            name = self._tokens.name()
            if self._tokens.accept("in"):
                return self._for_each(name)
            self._tokens.at = start
        first = self._part(";")
        test = always if self._tokens.is_next(";") else self._test()
        self._tokens.expect(";")
        last = self._part(")")
        return loop(first, test, last, self._loop_body())

    def _while(self) -> Statement:
        self._tokens.expect("(")
        test = self._test()
        self._tokens.expect(")")
        return loop(do_nothing, test, do_nothing, self._loop_body())

    def _part(self, end: str) -> Statement:
        """Read the first or the last part of a loop's head, which may be empty."""
        part = do_nothing if self._tokens.is_next(end) else self._statement()
        self._tokens.expect(end)
        return part

    def _loop_body(self) -> Statement:
        return do_nothing if self._tokens.is_next(";") else self._body()

    def _for_each(self, name: str) -> Statement:
        array = self._tokens.name()
        self._tokens.expect(")")
        body = self._body()

        def repeat(memory: Memory) -> None:
            for key in list(memory.arrays.get(array, {})):
                memory.set(name, Text(key))
                memory.step()
                body(memory)

        return repeat

    def _body(self) -> Statement:
        self._tokens.skip("\n")
        return self._statement()

    def _print(self) -> Statement:
        values = self._printed()

        def write(memory: Memory) -> None:
            parts = [written(value(memory)) for value in values] or [memory.fields[0]]
            memory.say(written(memory.get("OFS")).join(parts) + written(memory.get("ORS")))

        return write

    def _printf(self) -> Statement:
        values = self._printed()
        if not values:
            raise self._tokens.wrong(": expected a pattern")
        return lambda memory: memory.say(formatted(written(values[0](memory)), [v(memory) for v in values[1:]]))

    def _printed(self) -> list[Expression]:
        """Read what is printed, all of it in parentheses or not."""
        if self._tokens.is_next(*ENDS):
            return []
        start, found = self._tokens.at, list[Expression]()
        if self._tokens.accept("("):
            found = self._expressions.listed(")")
            if not self._tokens.is_next(*ENDS):
                self._tokens.at, found = start, []
        if not found:
            self._expressions.is_printed = True
            found = [self._expressions.read().value]
            while self._tokens.accept(","):
                found.append(self._expressions.read().value)
            self._expressions.is_printed = False
        if self._tokens.is_next(">", ">>", "|"):
            raise Complaint("the stub's awk prints to no file and no program", 2)
        return found

    def _exit(self) -> Statement:
        value = (lambda memory: 0.0) if self._tokens.is_next(*ENDS) else self._expressions.read().value

        def leave(memory: Memory) -> None:
            raise Quit(int(number(value(memory))) & 255)

        return leave
