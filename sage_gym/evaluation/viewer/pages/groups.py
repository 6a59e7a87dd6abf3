"""A group (the trajectories of a task in a round) and a task in all rounds and runs."""

from __future__ import annotations

from dataclasses import dataclass

from sage_gym.evaluation.viewer.charts import Line, forecast_chart, line_of
from sage_gym.evaluation.viewer.index import Index
from sage_gym.evaluation.viewer.pages.asked import Asked, Crumb, Desk, Page, PageError, Row, describe_row, file_word
from sage_gym.evaluation.viewer.pages.lists import Standing, stand
from sage_gym.evaluation.viewer.query import to_link

__all__ = ["show_group", "show_task"]

MOST_MEMBERS = 32
"""Members of a group that are shown with their actions."""
MOST_OF_TASK = 2000


@dataclass(frozen=True, slots=True)
class Member:
    """A trajectory of a group, by its actions."""

    row: Row
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TaskLine:
    """The attempts at a task in one file."""

    run: str
    round: int
    part: str
    link: str
    standing: Standing
    rows: tuple[Row, ...]


def show_group(desk: Desk, asked: Asked) -> Page:
    """Show the attempts at a task in one file side by side."""
    index = desk.index
    number, task = desk.find_file(index, asked.one("of")), asked.one("task")
    inside = index.rows_of_file(number)
    rows = inside[index.words["task"].is_one_of([task])[inside]]
    if not len(rows):
        raise PageError(404, f"no trajectory of task {task!r} in {index.files[number].name}")
    members, lines = [], []
    for row in rows[:MOST_MEMBERS].tolist():
        trajectory = desk.load(index, row)
        described = describe_row(index, row)
        lines.append(line_of(trajectory, f"attempt {described.attempt}", described.outcome_class))
        members.append(Member(described, tuple(turn.decision.action for turn in trajectory.turns)))
    first = members[0].row
    content = {
        "first": first,
        "instruction": first.instruction,
        "members": members,
        "left_out": len(rows) - len(members),
        "standing": stand(index, rows),
        "chart": forecast_chart(_told_apart(lines)),
        "task_link": to_link("/task", [("task", task)]),
    }
    return Page("group.html.j2", task, content, [*_way(first.run), Crumb("group")])


def show_task(desk: Desk, asked: Asked) -> Page:
    """Show where a task was played, in all rounds of all runs."""
    index, task = desk.index, asked.one("task")
    rows = index.of_task(task)
    if not len(rows):
        raise PageError(404, f"no trajectory of task {task!r} in the runs on show")
    lines: dict[int, list[Row]] = {}
    for row in rows[:MOST_OF_TASK].tolist():
        lines.setdefault(int(index.file[row]), []).append(describe_row(index, row))
    shown = [_task_line(index, number, found) for number, found in lines.items()]
    shown.sort(key=lambda line: (line.run, line.round, line.part))
    content = {
        "task": task,
        "instruction": index.words["instruction"][int(rows[0])],
        "lines": shown,
        "left_out": max(0, len(rows) - MOST_OF_TASK),
        "standing": stand(index, rows),
        "has_runs": len({line.run for line in shown}) > 1,
    }
    return Page("task.html.j2", task, content, [Crumb("runs", "/"), Crumb("task")])


def _task_line(index: Index, number: int, rows: list[Row]) -> TaskLine:
    first = rows[0]
    inside = index.rows_of_file(number)
    of_task = inside[index.words["task"].is_one_of([first.task])[inside]]
    link = to_link("/group", [("of", file_word(index, number)), ("task", first.task)])
    return TaskLine(first.run, first.round, first.part, link, stand(index, of_task), tuple(rows))


def _told_apart(lines: list[Line]) -> list[Line]:
    """Leave the dashed lines out: many lines at once are to be told apart by outcome alone."""
    return [Line(line.name, line.style, (), line.after) for line in lines] if len(lines) > 1 else lines


def _way(run: str) -> list[Crumb]:
    return [Crumb("runs", "/"), Crumb(run, to_link("/run", [("run", run)]))]
