"""What introspection found, for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from sage_gym.evaluation.introspection.records import Difference, Faithfulness, Introspection, SignalTest
from sage_gym.evaluation.introspection.wording import verdict
from sage_gym.evaluation.report.wording import fixed, neutralise, p_value

__all__ = ["print_faithfulness", "print_introspection"]


def print_introspection(found: Introspection, console: Console) -> None:
    """Print one episode's turns as a table, and its explanation."""
    console.print(neutralise(f"{found.trajectory}, {found.file}: {found.instruction}"), soft_wrap=True)
    table = Table("turn", "action", "weight", "effect", "p(fail) before", "p(fail)", "entropy")
    for column in table.columns[2:]:
        column.justify = "right"
    named = {point.turn for point in found.points}
    for turn in found.turns:
        mark = "*" if turn.turn in named else " "
        numbers = (turn.weight, turn.effect, turn.p_fail_before, turn.p_fail, turn.entropy)
        table.add_row(f"{turn.turn + 1}{mark}", neutralise(turn.action), *(fixed(number, 2) for number in numbers))
    console.print(table)
    for line in (found.explanation, *found.notes):
        console.print(neutralise(line), soft_wrap=True)
    if found.told_by != "template":
        console.print(f"(told by {neutralise(found.told_by)} from these numbers)")


def print_faithfulness(found: Faithfulness, console: Console) -> None:
    """Print every signal's test as a table, and what it comes to in sentences."""
    console.print(
        f"{found.trajectories} trajectories of {found.run}, round {found.round}; {found.failures} did not succeed; "
        f"{found.turns:.1f} turns each that can be taken away, {found.named_per_trajectory:.1f} named",
        soft_wrap=True,
    )
    for reason, count in found.left_out.items():
        console.print(f"  {count} left out: {reason}")
    table = Table("signal", "named", "others", "− matched", "p", "− last", "p", "deletion", "insertion", "rank")
    for column in table.columns[1:]:
        column.justify = "right"
    for test in found.signals:
        table.add_row(*_cells(test))
    console.print(table)
    console.print("in nats; − matched, − last: differences, p by Holm; rank: with leave-one-out", soft_wrap=True)
    for line in (*verdict(found), *found.notes):
        console.print(f"- {line}", soft_wrap=True)


def _cells(test: SignalTest) -> Iterator[str]:
    yield test.name
    yield fixed(test.named.value)
    yield fixed(test.others.value)
    for one in (test.matched, test.last):
        yield fixed(one.mean.value if one else None)
        yield p_value(_p(one))
    yield fixed(test.deletion_area.value)
    yield fixed(test.insertion_area.value)
    yield fixed(test.rank.value, 2)


def _p(one: Difference | None) -> float | None:
    if one is None:
        return None
    return one.p_holm if one.p_holm is not None else one.p
