"""The list of trajectories: filters with what each would leave, an order, and a page of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sage_gym.evaluation.viewer.charts import histogram
from sage_gym.evaluation.viewer.index import Index, Rows
from sage_gym.evaluation.viewer.pages.asked import Asked, Crumb, Desk, Page, describe_row
from sage_gym.evaluation.viewer.query import FACETS, PAGE_ROWS, SORTS, Query, read_query, to_link

__all__ = ["Standing", "show_list", "stand"]

TITLES = {
    "outcome": "Outcome",
    "run": "Run",
    "part": "Played for",
    "environment": "Environment",
    "split": "Split",
    "stop": "How it ended",
}
COLUMNS = (
    ("run", "Run"),
    ("round", "Round"),
    ("part", "Played for"),
    ("task", "Task"),
    ("score", "Score"),
    ("forecast", "Forecast"),
    ("last", "at the end"),
    ("turns", "Turns"),
    ("tokens", "Tokens"),
    ("stop", "Ended by"),
)
"""Of the table, each an order; the run's is left out where there is one alone."""


@dataclass(frozen=True, slots=True)
class Option:
    """A value of a filter, and how many trajectories it would leave."""

    value: str
    count: int
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Facet:
    """A filter by a word."""

    name: str
    title: str
    options: tuple[Option, ...]


@dataclass(frozen=True, slots=True)
class Heading:
    """A column's heading; following it sorts by the column, or turns the order round."""

    text: str
    name: str
    link: str
    direction: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How trajectories did; those that infrastructure ended are counted apart and left out of the rest."""

    count: int
    succeeded: int
    infrastructure: int
    score: float | None
    turns: float | None

    @property
    def scored(self) -> int:
        """Without infrastructure failures."""
        return self.count - self.infrastructure

    @property
    def success(self) -> float | None:
        """Share of the scored ones."""
        return self.succeeded / self.scored if self.scored else None


def stand(index: Index, rows: Rows) -> Standing:
    """Return how trajectories did."""
    outcome = index.words["outcome"].codes[rows]
    scored = rows[outcome != 2]
    means = [float(np.mean(index.numbers[name][scored])) if len(scored) else None for name in ("reward", "turns")]
    return Standing(len(rows), int((outcome == 0).sum()), int((outcome == 2).sum()), *means)


def show_list(desk: Desk, asked: Asked) -> Page:
    """Show the trajectories that a query leaves."""
    index = desk.index
    query, problems = read_query(asked.pairs)
    found = desk.searches.run(index, query)
    number = min(query.page, found.pages)
    context = query.pairs()
    flags = {name: name in query.flag for name in ("invalid", "denied", "intervened")}
    content = {
        "query": query,
        "problems": problems,
        "standing": stand(index, found.rows),
        "total": len(index),
        "facets": _facets(index, query, found.counts),
        "flags": flags,
        "headings": _headings(query, has_runs=len(desk.library.runs) > 1),
        "sorts": tuple(SORTS),
        "rows": [describe_row(index, int(row), context) for row in found.page(number)],
        "has_runs": len(desk.library.runs) > 1,
        "first": (number - 1) * PAGE_ROWS + 1,
        "number": number,
        "pages": found.pages,
        "previous": to_link("/trajectories", query.pairs(page=number - 1)) if number > 1 else "",
        "next": to_link("/trajectories", query.pairs(page=number + 1)) if number < found.pages else "",
        "cleared": to_link("/trajectories", query.pairs(**_cleared(query))) if query.is_narrowed else "",
        "scores": histogram(index.numbers["reward"][found.rows], "how scores are distributed"),
        "forecasts": histogram(index.numbers["forecast"][found.rows], "how forecasts are distributed"),
    }
    crumbs = [Crumb("runs", "/"), *_run_crumb(query), Crumb("trajectories")]
    return Page("list.html.j2", "Trajectories", content, crumbs, 400 if problems else 200)


def _run_crumb(query: Query) -> Sequence[Crumb]:
    return [Crumb(query.run[0], to_link("/run", [("run", query.run[0])]))] if len(query.run) == 1 else []


def _cleared(query: Query) -> dict[str, object]:
    return {name: field.default for name, field in Query.model_fields.items() if name != "sort"}


def _facets(index: Index, query: Query, counts: Mapping[str, Mapping[str, int]]) -> list[Facet]:
    facets = []
    for name, column in FACETS.items():
        chosen, by_value = getattr(query, name), counts[name]
        values = index.words[column].values if name == "outcome" else sorted(index.words[column].values, key=_natural)
        options = [Option(value, by_value[value], value in chosen) for value in values]
        options += [Option(value, 0, True) for value in chosen if value not in by_value]
        if len(options) > 1 or name != "run":
            facets.append(Facet(name, TITLES[name], tuple(options)))
    return facets


def _natural(value: str) -> tuple[int, str]:
    """What a round plays comes first, in the order it is played in."""
    order = ("collect", "reflection", "recovery", "pilot-plain", "pilot-amplified", "select")
    return (order.index(value) if value in order else len(order), value)


def _headings(query: Query, *, has_runs: bool) -> list[Heading]:
    headings = []
    for name, text in COLUMNS:
        if name == "run" and not has_runs:
            continue
        held = query.sort.removeprefix("-") == name
        is_turned = held and query.sort.startswith("-")
        following = "" if is_turned else f"-{name}" if held else name
        direction = "descending" if is_turned else "ascending" if held else ""
        headings.append(Heading(text, name, to_link("/trajectories", query.pairs(sort=following, page=1)), direction))
    return headings
