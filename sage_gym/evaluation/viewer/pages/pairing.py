"""Two sets of trajectories on the same tasks: two rounds, two runs, two ways to decode; with a paired test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sage_gym.evaluation.viewer.index import Index, Rows
from sage_gym.evaluation.viewer.pages.asked import Asked, Crumb, Desk, Page, PageError, file_word, place_word
from sage_gym.evaluation.viewer.pages.lists import Standing, stand
from sage_gym.evaluation.viewer.query import to_link

if TYPE_CHECKING:
    from sage_gym.evaluation.intervals import Interval
    from sage_gym.evaluation.significance import PairedTest

__all__ = ["show_pairs"]

PAIRS_A_PAGE = 100
KINDS = ("lost", "gained", "neither", "both")
"""What became of a task from A to B, in the order of interest."""
PREFERRED = ("test restricted", "test free", "select")


@dataclass(frozen=True, slots=True)
class Choice:
    """A file that a side can be changed to."""

    word: str
    text: str
    run: str
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two files."""

    run: str
    round: int | None
    part: str
    standing: Standing
    choices: tuple[Choice, ...]
    link: str


@dataclass(frozen=True, slots=True)
class TaskMeans:
    """A file by task: its first row, the share of its attempts that succeeded, and their mean score."""

    first: dict[str, int]
    success: dict[str, float]
    score: dict[str, float]
    most_attempts: int


@dataclass(frozen=True, slots=True)
class PairRow:
    """A task in both."""

    task: str
    instruction: str
    kind: str
    success: tuple[float, float]
    score: tuple[float, float]
    link: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """How B differs from A on the tasks of both; `test` only where each was played once."""

    tasks: int
    success: Interval | None
    score: Interval | None
    test: PairedTest | None


def show_pairs(desk: Desk, asked: Asked) -> Page:
    """Show two files on the tasks that both have."""
    index = desk.index
    numbers = _choose(desk, index, asked)
    sides = [_side(index, number) for number in numbers]
    a, b = (_by_task(index, index.rows_of_file(number)) for number in numbers)
    common = [task for task in a.first if task in b.first and _is_one(index, a.first[task], b.first[task])]
    kinds = {task: _kind(a.success[task], b.success[task]) for task in common}
    wanted = asked.one("kind")
    chosen = [task for task in common if wanted in ("", kinds[task])]
    chosen.sort(key=lambda task: (KINDS.index(kinds[task]), task))
    pages = max(1, -(-len(chosen) // PAIRS_A_PAGE))
    page = min(max(1, asked.number("page")), pages)
    words = [("of", file_word(index, number)) for number in numbers]
    content = {
        "sides": sides,
        "verdict": _judge(index, a, b, common),
        "counts": [
            (kind, sum(one == kind for one in kinds.values()), to_link("/paired", [*words, ("kind", kind)]))
            for kind in KINDS
        ],
        "kind": wanted,
        "all_link": to_link("/paired", words),
        "rows": [
            _pair(index, a, b, task, kinds[task]) for task in chosen[(page - 1) * PAIRS_A_PAGE : page * PAIRS_A_PAGE]
        ],
        "only": (len(a.first) - len(common), len(b.first) - len(common)),
        "has_groups": max(a.most_attempts, b.most_attempts) > 1,
        "number": page,
        "pages": pages,
        "previous": to_link("/paired", [*words, ("kind", wanted), ("page", str(page - 1))]) if page > 1 else "",
        "next": to_link("/paired", [*words, ("kind", wanted), ("page", str(page + 1))]) if page < pages else "",
        "swapped": to_link("/paired", list(reversed(words))),
    }
    return Page("paired.html.j2", "Two sets of the same tasks", content, [Crumb("runs", "/"), Crumb("two sets")])


def _choose(desk: Desk, index: Index, asked: Asked) -> list[int]:
    """Return the two files: those that are named, else what two runs, or two rounds of one run, are best held by.

    Raises:
        PageError: there are no two files to hold against each other.
    """
    named = [desk.find_file(index, word) for word in asked.all("of")[:2]]
    if len(named) == 2:
        return named
    runs = [desk.run_name(name) for name in asked.all("run")[:2]]
    if named:
        runs = [index.files[named[0]].run] * 2
    if len(runs) != 2:
        raise PageError(400, "expected two runs (run=…&run=…) or two files (of=…&of=…) to hold against each other")
    if runs[0] == runs[1]:
        return _two_rounds(index, runs[0], named)
    return _two_runs(index, runs)


def _two_rounds(index: Index, run: str, named: Sequence[int]) -> list[int]:
    part = index.files[named[0]].part if named else "select"
    alike = [number for number, file in enumerate(index.files) if (file.run, file.part) == (run, part)]
    alike = alike or [number for number, file in enumerate(index.files) if file.run == run]
    if not alike:
        raise PageError(404, f"no trajectories in {run} yet")
    if named:
        return [*named, next((number for number in reversed(alike) if number != named[0]), named[0])]
    return [alike[0], alike[-1]]


def _two_runs(index: Index, runs: Sequence[str]) -> list[int]:
    by_run = [{file.part: number for number, file in enumerate(index.files) if file.run == run} for run in runs]
    shared = by_run[0].keys() & by_run[1].keys()
    for part in (*PREFERRED, *sorted(shared)):
        if part in shared:
            return [found[part] for found in by_run]  # the last round's, since files are in the order of rounds
    raise PageError(404, f"{runs[0]} and {runs[1]} have played nothing alike yet")


def _side(index: Index, number: int) -> Side:
    file = index.files[number]
    choices = [
        Choice(file_word(index, other), _text(one.round, one.part), one.run, other == number)
        for other, one in enumerate(index.files)
    ]
    link = to_link("/run", [("run", file.run)])
    return Side(file.run, file.round, file.part, stand(index, index.rows_of_file(number)), tuple(choices), link)


def _text(round_: int | None, part: str) -> str:
    return part if round_ is None else f"round {round_} · {part}"


def _by_task(index: Index, rows: Rows) -> TaskMeans:
    """Return each task's means over its attempts; those that infrastructure ended are left out."""
    rows = rows[index.words["outcome"].codes[rows] != 2]
    codes: NDArray[np.int64]
    _, first, codes, counts = np.unique(
        index.words["task"].codes[rows], return_index=True, return_inverse=True, return_counts=True
    )
    success = np.bincount(codes, weights=index.words["outcome"].codes[rows] == 0) / np.maximum(counts, 1)
    score = np.bincount(codes, weights=index.numbers["reward"][rows]) / np.maximum(counts, 1)
    tasks = [index.words["task"][int(rows[at])] for at in first]
    return TaskMeans(
        dict(zip(tasks, rows[first].tolist(), strict=True)),
        dict(zip(tasks, success.tolist(), strict=True)),
        dict(zip(tasks, score.tolist(), strict=True)),
        int(counts.max(initial=0)),
    )


def _is_one(index: Index, a: int, b: int) -> bool:
    """Whether two rows are of one task by its content as well as by its key."""
    return index.words["hash"][a] == index.words["hash"][b]


def _kind(before: float, after: float) -> str:
    if after != before:
        return "gained" if after > before else "lost"
    return "both" if after else "neither"


def _pair(index: Index, a: TaskMeans, b: TaskMeans, task: str, kind: str) -> PairRow:
    places = [("at", place_word(index, one.first[task])) for one in (a, b)]
    return PairRow(
        task=task,
        instruction=index.words["instruction"][a.first[task]],
        kind=kind,
        success=(a.success[task], b.success[task]),
        score=(a.score[task], b.score[task]),
        link=to_link("/compare", places),
    )


def _judge(index: Index, a: TaskMeans, b: TaskMeans, tasks: Sequence[str]) -> Verdict:
    if not tasks:
        return Verdict(0, None, None, None)
    # scipy takes a second to load, which opening the viewer should not cost
    from sage_gym.evaluation.intervals import cluster_mean
    from sage_gym.evaluation.significance import Pairs, compare

    families = [index.words["family"][a.first[task]] or task for task in tasks]
    differences = [b.success[task] - a.success[task] for task in tasks]
    scores = [b.score[task] - a.score[task] for task in tasks]
    if max(a.most_attempts, b.most_attempts) > 1:
        return Verdict(
            len(tasks), cluster_mean(differences, families, seed=0), cluster_mean(scores, families, seed=0), None
        )
    pairs = Pairs(
        keys=tuple(tasks),
        families=tuple(families),
        success_a=tuple(a.success[task] == 1.0 for task in tasks),
        success_b=tuple(b.success[task] == 1.0 for task in tasks),
        score_a=tuple(a.score[task] for task in tasks),
        score_b=tuple(b.score[task] for task in tasks),
        left_out=0,
    )
    test = compare("A", "B", pairs)
    return Verdict(len(tasks), test.success_difference, test.score_difference, test)
