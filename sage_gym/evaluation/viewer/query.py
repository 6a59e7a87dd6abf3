"""What a list shows, as its link says it: filters, order and page. The same words are the link that can be shared."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sage_gym.evaluation.viewer.index import Index, Rows

__all__ = ["FACETS", "PAGE_ROWS", "RANGES", "SORTS", "Found", "Query", "Searches", "read_query", "to_link"]

Pairs = Sequence[tuple[str, str]]
Flag = Literal["invalid", "denied", "intervened"]
Mask = NDArray[np.bool_]

PAGE_ROWS = 50
FACETS: Mapping[str, str] = {
    "outcome": "outcome",
    "run": "run",
    "part": "part",
    "environment": "environment",
    "split": "split",
    "stop": "stop_reason",
}
"""Filters by a word: what the link calls them, and the index."""
RANGES: Mapping[str, str] = {"score": "reward", "forecast": "forecast", "round": "round", "turns": "turns"}
"""Filters by a number, `…_min` and `…_max` in the link; what has no such number is left out where one is given."""
FLAGS: Mapping[str, str] = {"invalid": "invalid", "denied": "denied", "intervened": "is_intervened"}
SORTS: Mapping[str, str] = {
    "run": "run",
    "round": "round",
    "part": "part",
    "task": "task",
    "attempt": "attempt",
    "score": "reward",
    "forecast": "forecast",
    "last": "forecast_last",
    "surprise": "",
    "turns": "turns",
    "tokens": "tokens",
    "stop": "stop_reason",
}
"""Orders; a minus before it turns one round. `surprise` is |failed - forecast|."""


class Query(BaseModel):
    """Filters, order and page of a list."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    run: tuple[str, ...] = ()
    part: tuple[str, ...] = ()
    outcome: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    flag: tuple[Flag, ...] = ()
    score_min: float | None = Field(None, allow_inf_nan=False)
    score_max: float | None = Field(None, allow_inf_nan=False)
    forecast_min: float | None = Field(None, allow_inf_nan=False)
    forecast_max: float | None = Field(None, allow_inf_nan=False)
    round_min: int | None = None
    round_max: int | None = None
    turns_min: int | None = None
    turns_max: int | None = None
    text: str = ""
    """Part of the task's key or of its instruction, in whatever case."""
    task: str = ""
    """A task's whole key."""
    sort: str = ""
    page: int = Field(1, ge=1)

    @field_validator("sort")
    @classmethod
    def _is_an_order(cls, value: str) -> str:
        if value and value.removeprefix("-") not in SORTS:
            raise ValueError(f"expected one of {', '.join(SORTS)}, each with or without a minus before it")
        return value

    def pairs(self, **changes: Any) -> list[tuple[str, str]]:
        """Return the words of the link, some of them changed; what is at its default is left out."""
        changed = self.model_copy(update=changes)
        return [
            (name, str(value))
            for name, field in type(self).model_fields.items()
            if (held := getattr(changed, name)) != field.default
            for value in (held if isinstance(held, tuple) else (held,))
            if value is not None
        ]

    @property
    def is_narrowed(self) -> bool:
        """Whether any filter is set."""
        return bool(self.model_copy(update={"sort": "", "page": 1}).pairs())


def read_query(pairs: Pairs) -> tuple[Query, list[str]]:
    """Return what a link asks for, and a sentence for each word in it that means nothing; words of others pass."""
    given: dict[str, Any] = {}
    for name, value in pairs:
        field = Query.model_fields.get(name)
        if field is None or not value.strip():
            continue
        given[name] = (*given.get(name, ()), value) if isinstance(field.default, tuple) else value
    try:
        return Query.model_validate(given), []
    except ValidationError as error:
        problems = [
            f"{one['loc'][0]}={one['input']}: {one['msg'].removeprefix('Value error, ')}" for one in error.errors()
        ]
        for one in error.errors():
            given.pop(str(one["loc"][0]), None)
        return Query.model_validate(given), problems


def to_link(path: str, pairs: Pairs) -> str:
    """Return the address of a page."""
    return f"{path}?{urlencode(pairs, errors='surrogateescape')}" if pairs else path


@dataclass(frozen=True, slots=True)
class Found:
    """The rows that a query leaves, in its order, and how many each value of a facet would leave."""

    rows: Rows
    counts: Mapping[str, Mapping[str, int]]

    @property
    def pages(self) -> int:
        """At least one."""
        return max(1, math.ceil(len(self.rows) / PAGE_ROWS))

    def page(self, number: int) -> Rows:
        """Return the rows of a page; the last one where there are fewer."""
        start = (min(number, self.pages) - 1) * PAGE_ROWS
        return self.rows[start : start + PAGE_ROWS]


class Searches:
    """Runs queries and remembers the last few, since a page forward or back asks the same."""

    def __init__(self, kept: int = 24) -> None:
        self._kept = kept
        self._found: OrderedDict[tuple[int, Query], Found] = OrderedDict()
        self._lock = Lock()

    def run(self, index: Index, query: Query) -> Found:
        """Return what a query leaves of an index."""
        key = (index.version, query.model_copy(update={"page": 1}))
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        found = _search(index, query)
        with self._lock:
            self._found[key] = found
            while len(self._found) > self._kept:
                self._found.popitem(last=False)
        return found


def _search(index: Index, query: Query) -> Found:
    by_facet = {name: _facet_mask(index, name, getattr(query, name)) for name in FACETS}
    common = _common_mask(index, query)
    counts = {}
    for name, column in FACETS.items():
        others = common.copy()
        for other, mask in by_facet.items():
            if other != name and mask is not None:
                others &= mask
        word = index.words[column]
        totals = np.bincount(word.codes[others], minlength=len(word.values))
        counts[name] = {value: int(total) for value, total in zip(word.values, totals, strict=True)}
    for mask in by_facet.values():
        if mask is not None:
            common &= mask
    rows = np.flatnonzero(common)
    return Found(_sorted(index, rows, query.sort), counts)


def _facet_mask(index: Index, name: str, wanted: tuple[str, ...]) -> Mask | None:
    return index.words[FACETS[name]].is_one_of(wanted) if wanted else None


def _common_mask(index: Index, query: Query) -> Mask:
    mask = np.ones(len(index), bool)
    for name, column in RANGES.items():
        low, high = getattr(query, f"{name}_min"), getattr(query, f"{name}_max")
        if low is not None:
            mask &= index.numbers[column] >= low  # never true of what is not a number
        if high is not None:
            mask &= index.numbers[column] <= high
    for flag in query.flag:
        mask &= index.numbers[FLAGS[flag]] > 0
    if query.task:
        mask &= index.words["task"].is_one_of([query.task])
    if needle := query.text.strip().lower():
        key, instruction = index.words["task"], index.words["instruction"]
        mask &= key.matches([needle in value for value in key.lowered]) | instruction.matches(
            [needle in value for value in instruction.lowered]
        )
    return mask


def _sorted(index: Index, rows: Rows, sort: str) -> Rows:
    if not sort:
        return rows
    name = sort.removeprefix("-")
    if name == "surprise":
        failed = (index.words["outcome"].codes[rows] == 1).astype(float)
        values = np.abs(failed - index.numbers["forecast"][rows])
        values[index.words["outcome"].codes[rows] == 2] = np.nan
    elif (column := SORTS[name]) in index.words:
        word = index.words[column]
        values = word.ranks[word.codes[rows]].astype(float)
    else:
        values = index.numbers[column][rows].astype(float)
    # what is not a number comes last either way
    order: Rows = rows[np.argsort(-values if sort.startswith("-") else values, kind="stable")]
    return order
