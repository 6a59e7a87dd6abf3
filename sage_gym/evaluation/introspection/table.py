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
    console.print(neutralise(f"{found.trajectory} in {found.file}\n{found.instruction}"), markup=False, soft_wrap=True)
    table = _table("turn", "weight", "effect", "p(fail)", "entropy", "action")
    named = {point.turn for point in found.points}
    for turn in found.turns:
        numbers = (fixed(number, 2) for number in (turn.weight, turn.effect, turn.p_fail, turn.entropy))
        mark = "*" if turn.turn in named else ""
        table.add_row(f"{mark}{turn.turn + 1}", *numbers, _quoted(turn.action))
    console.print(table)
    for line in (found.explanation, *found.notes):
        console.print(neutralise(line), markup=False, soft_wrap=True)
    if found.told_by != "template":
        console.print(f"(told by {neutralise(found.told_by)} from these numbers)", markup=False, soft_wrap=True)
    console.print()


def print_faithfulness(found: Faithfulness, console: Console) -> None:
    """Print every signal's test as a table, and what it comes to in sentences."""
    console.print(
        f"{found.trajectories} trajectories of {found.families} task families, {found.failures} of them not succeeded; "
        f"{found.turns:.1f} turns each that can be taken away, {found.named_per_trajectory:.1f} named",
        soft_wrap=True,
    )
    for reason, count in found.left_out.items():
        console.print(f"left out: {count}, {reason}", markup=False, soft_wrap=True)
    table = _table("signal", "named", "others", "- matched", "p", "- last", "p", "rank")
    for test in found.signals:
        table.add_row(*_cells(test))
    console.print(table)
    console.print("nats; differences to matched and to last turns, p by Holm; rank: with leave-one-out", soft_wrap=True)
    for line in (*verdict(found), *found.notes):
        console.print(f"- {line}", markup=False, soft_wrap=True)


def _table(first: str, *others: str) -> Table:
    """Return an empty table whose numbers stand to the right, and a last column of text, where it has one, to wrap."""
    table = Table(box=None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in others:
        is_text = name == "action"
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text)
    return table


def _cells(test: SignalTest) -> Iterator[str]:
    yield test.name
    yield fixed(test.named.value, 2)
    yield fixed(test.others.value, 2)
    for one in (test.matched, test.last):
        yield fixed(one.mean.value if one else None, 2)
        yield p_value(_p(one))
    yield fixed(test.rank.value, 2)


def _quoted(text: str) -> str:
    """Keep foreign text from being read as markup."""
    return neutralise(text).replace("[", r"\[")


def _p(one: Difference | None) -> float | None:
    if one is None:
        return None
    return one.p_holm if one.p_holm is not None else one.p
