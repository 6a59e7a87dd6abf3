"""What a page is asked for, and what it has at hand to answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sage_gym.evaluation.viewer.index import Index
from sage_gym.evaluation.viewer.introspection import Introspection
from sage_gym.evaluation.viewer.library import Library
from sage_gym.evaluation.viewer.query import Searches, to_link
from sage_gym.types import Trajectory

__all__ = ["Asked", "Crumb", "Desk", "Page", "PageError", "Row", "describe_row", "file_word", "place_word"]

FIRST_WAIT_S = 0.3
"""How long a page waits for files that are still being read, where they are read about as soon (`SOON_BYTES`)."""
SOON_BYTES = 50_000_000
OUTCOME_CLASSES = ("good", "bad", "lost")


class PageError(Exception):
    """A page that cannot be shown: the status, and what to do, in words."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


@dataclass(frozen=True, slots=True)
class Asked:
    """A page's address: its path and the words after the question mark, in order."""

    path: str
    pairs: Sequence[tuple[str, str]] = ()

    def all(self, name: str) -> list[str]:
        """Return every value of a word."""
        return [value for key, value in self.pairs if key == name and value]

    def one(self, name: str, default: str = "") -> str:
        """Return the first value of a word."""
        return next(iter(self.all(name)), default)

    def number(self, name: str) -> int:
        """Return a count from 1; 1 where none is given, 0 where it is none."""
        text = self.one(name, "1")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


@dataclass(frozen=True, slots=True)
class Crumb:
    """A step of the way to a page."""

    text: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A template with what it is filled with."""

    template: str
    title: str
    content: Mapping[str, Any]
    crumbs: Sequence[Crumb] = ()
    status: int = 200


class Desk:
    """The library with what pages share."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.searches = Searches()
        self._introspection = {name: Introspection(run.folder) for name, run in library.runs.items()}

    @property
    def index(self) -> Index:
        """What is known, after a short wait where little is left to read."""
        if self.library.progress.pending < SOON_BYTES:
            self.library.wait(FIRST_WAIT_S)
        return self.library.index

    def introspection(self, run: str) -> Introspection:
        """Return the decision points of a run."""
        return self._introspection[run]

    def find(self, index: Index, word: str) -> int:
        """Return the row that a place's word names.

        Raises:
            PageError: there is none.
        """
        run, rest = self._split_run(word)
        for file in index.files:
            if file.run == run and rest.startswith(f"{file.name}|"):
                row = index.find(run, file.name, rest[len(file.name) + 1 :])
                if row is not None:
                    return row
        waiting = (
            " yet; files are still being read, try again in a moment" if self.library.progress.pending_files else ""
        )
        raise PageError(404, f"no trajectory {rest.rpartition('|')[2]!r} in {run}{waiting}")

    def find_file(self, index: Index, word: str) -> int:
        """Return the number of the file that a word names.

        Raises:
            PageError: there is none.
        """
        run, name = self._split_run(word)
        number = index.file_number(run, name)
        if number is None:
            raise PageError(404, f"no file of trajectories {name!r} in {run}")
        return number

    def run_name(self, name: str) -> str:
        """Return a run's name.

        Raises:
            PageError: there is no such run.
        """
        if name not in self.library.runs:
            raise PageError(404, f"no run {name!r} on show; there are {', '.join(self.library.runs)}")
        return name

    def load(self, index: Index, row: int) -> Trajectory:
        """Return a trajectory.

        Raises:
            PageError: its file has changed or is gone.
        """
        try:
            return self.library.load(index, row)
        except (OSError, ValueError) as error:
            self.library.look_again()
            raise PageError(409, f"this trajectory cannot be read: {error}") from error

    def _split_run(self, word: str) -> tuple[str, str]:
        for name in sorted(self.library.runs, key=len, reverse=True):
            if word.startswith(f"{name}|"):
                return name, word[len(name) + 1 :]
        raise PageError(404, f"no run on show is meant by {word!r}; there are {', '.join(self.library.runs)}")


def file_word(index: Index, number: int) -> str:
    """Return the word that names a file in links."""
    file = index.files[number]
    return f"{file.run}|{file.name}"


def place_word(index: Index, row: int) -> str:
    """Return the word that names a trajectory in links."""
    return f"{file_word(index, int(index.file[row]))}|{index.id(row)}"


@dataclass(frozen=True, slots=True)
class Row:
    """A trajectory in a line."""

    at: str
    link: str
    run: str
    round: int
    part: str
    task: str
    instruction: str
    attempt: int
    outcome: str
    outcome_class: str
    score: float
    forecast: float | None
    forecast_last: float | None
    turns: int
    tokens: int
    stop: str
    group_link: str
    flags: Mapping[str, int] = field(default_factory=dict)


def describe_row(index: Index, row: int, context: Sequence[tuple[str, str]] = ()) -> Row:
    """Return a trajectory's line; its link carries the list that it was opened from."""
    words, numbers = index.words, index.numbers
    at, outcome = place_word(index, row), int(words["outcome"].codes[row])
    flags = {"invalid": int(numbers["invalid"][row]), "denied": int(numbers["denied"][row])}
    flags["intervened"] = int(numbers["is_intervened"][row])
    of = file_word(index, int(index.file[row]))
    return Row(
        at=at,
        link=to_link("/trajectory", [("at", at), *context]),
        run=words["run"][row],
        round=int(numbers["round"][row]),
        part=words["part"][row],
        task=words["task"][row],
        instruction=words["instruction"][row],
        attempt=int(numbers["attempt"][row]),
        outcome=words["outcome"][row],
        outcome_class=OUTCOME_CLASSES[outcome],
        score=float(numbers["reward"][row]),
        forecast=_number(numbers["forecast"][row]),
        forecast_last=_number(numbers["forecast_last"][row]),
        turns=int(numbers["turns"][row]),
        tokens=int(numbers["tokens"][row]),
        stop=words["stop_reason"][row],
        group_link=to_link("/group", [("of", of), ("task", words["task"][row])]),
        flags={name: count for name, count in flags.items() if count},
    )


def _number(value: float) -> float | None:
    return None if value != value else float(value)
