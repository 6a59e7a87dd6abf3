"""Two trajectories side by side, turn by turn: of two rounds, of two runs, or of one group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sage_gym.evaluation.viewer.charts import Line, forecast_chart, line_of
from sage_gym.evaluation.viewer.index import Index
from sage_gym.evaluation.viewer.pages.asked import Asked, Crumb, Desk, Page, PageError, Row, describe_row
from sage_gym.evaluation.viewer.pages.trajectory import TurnView, critiques, view_turns
from sage_gym.evaluation.viewer.query import to_link
from sage_gym.types import Trajectory

__all__ = ["show_comparison"]

MOST_CHOICES = 600


@dataclass(frozen=True, slots=True)
class Choice:
    """A trajectory that a side can be changed to."""

    at: str
    text: str
    group: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two."""

    row: Row
    trajectory: Trajectory
    turns: tuple[TurnView, ...]
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """The same turn of both; either may have ended before it."""

    number: int
    turns: tuple[TurnView | None, TurnView | None]
    is_same: bool
    is_same_state: bool


def show_comparison(desk: Desk, asked: Asked) -> Page:
    """Show two trajectories, the second one chosen where only one is named."""
    index = desk.index
    words = (asked.all("at") or asked.all("pick"))[:2]
    if not words:
        raise PageError(400, "expected two trajectories to compare (at=…&at=…), got none; choose them in a list")
    rows = [desk.find(index, word) for word in words]
    if len(rows) == 1:
        rows.append(_opposite(index, rows[0]))
    sides = [_side(desk, index, row) for row in rows]
    lines = [
        Line(f"{name}: {side.row.run}, round {side.row.round}", style, (), line_of(side.trajectory, "").after)
        for side, name, style in zip(sides, "AB", ("main", "rival"), strict=True)
    ]
    steps = _steps(*sides)
    content = {
        "sides": sides,
        "steps": steps,
        "same_turns": next((step.number - 1 for step in steps if not step.is_same), len(steps)),
        "chart": forecast_chart(lines),
        "is_one_task": sides[0].row.task == sides[1].row.task,
        "swapped": to_link("/compare", [("at", side.row.at) for side in reversed(sides)]),
        "task_link": to_link("/task", [("task", sides[0].row.task)]),
    }
    return Page("compare.html.j2", f"{sides[0].row.task}, two", content, [Crumb("runs", "/"), Crumb("comparison")])


def _opposite(index: Index, row: int) -> int:
    """Return what a trajectory is most naturally held against: the same task elsewhere, played for the same.

    Of several, the same attempt, and of these the one whose round is furthest away.

    Raises:
        PageError: nothing else was played of this task.
    """
    others = [int(one) for one in index.of_task(index.words["task"][row]) if one != row]
    if not others:
        raise PageError(404, "nothing to compare with: this task was played once in the runs on show")
    part, attempt = index.words["part"], index.numbers["attempt"]

    def nearness(other: int) -> tuple[bool, bool, bool, int]:
        is_elsewhere = index.file[other] != index.file[row]
        distance = abs(int(index.numbers["round"][other]) - int(index.numbers["round"][row]))
        return (is_elsewhere, part[other] == part[row], attempt[other] == attempt[row], distance)

    return max(others, key=nearness)


def _side(desk: Desk, index: Index, row: int) -> Side:
    trajectory = desk.load(index, row)
    described = describe_row(index, row)
    choices = []
    for other in index.of_task(described.task)[:MOST_CHOICES].tolist():
        one = describe_row(index, other)
        text = f"round {one.round} · {one.part} · attempt {one.attempt} · {one.score:.2f} · {one.outcome}"
        choices.append(Choice(one.at, text, one.run, other == row))
    choices.sort(key=lambda choice: choice.group)
    return Side(described, trajectory, tuple(view_turns(trajectory, critiques(trajectory))), tuple(choices))


def _steps(a: Side, b: Side) -> list[Step]:
    steps = []
    for number in range(max(len(a.turns), len(b.turns))):
        pair = (_turn(a.turns, number), _turn(b.turns, number))
        if (left := pair[0]) is None or (right := pair[1]) is None:
            steps.append(Step(number + 1, pair, False, False))
            continue
        is_same = left.turn.decision.action == right.turn.decision.action
        steps.append(Step(number + 1, pair, is_same, left.turn.observation == right.turn.observation))
    return steps


def _turn(turns: Sequence[TurnView], number: int) -> TurnView | None:
    return turns[number] if number < len(turns) else None
