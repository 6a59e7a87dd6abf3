"""What statements of awk do once they are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from envs.terminal.stub.awk.expressions import Expression
from envs.terminal.stub.awk.memory import Memory
from envs.terminal.stub.awk.values import is_true, written

__all__ = [
    "Next",
    "Quit",
    "Statement",
    "all_of",
    "always",
    "between",
    "do",
    "do_nothing",
    "go_on",
    "loop",
    "print_record",
]

Statement = Callable[[Memory], None]


class Next(Exception):
    """Goes on with the next record."""


class Quit(Exception):
    """Ends the program with a code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def always(memory: Memory) -> bool:
    """Hold of every record."""
    return True


def do_nothing(memory: Memory) -> None:
    """Do nothing."""


def loop(first: Statement, test: Callable[[Memory], bool], last: Statement, body: Statement) -> Statement:
    """Return what repeats a body while a test holds."""

    def repeat(memory: Memory) -> None:
        first(memory)
        while test(memory):
            memory.step()
            body(memory)
            last(memory)

    return repeat


def between(start: Expression, end: Expression) -> Callable[[Memory], bool]:
    """Hold from a record that one test holds of to the next that the other holds of."""
    is_inside = False

    def test(memory: Memory) -> bool:
        nonlocal is_inside
        is_in = is_inside or is_true(start(memory))
        is_inside = is_in and not is_true(end(memory))
        return is_in

    return test


def all_of(statements: Sequence[Statement], memory: Memory) -> None:
    """Do one statement after the other."""
    for statement in statements:
        memory.step()
        statement(memory)


def do(value: Expression, memory: Memory) -> None:
    """Have a value made for what that changes."""
    value(memory)


def go_on(memory: Memory) -> None:
    """Go on with the next record."""
    raise Next


def print_record(memory: Memory) -> None:
    """Write the present record."""
    memory.say(memory.fields[0] + written(memory.get("ORS")))
