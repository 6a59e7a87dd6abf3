"""All rows of all runs in memory, as columns of numbers: words are numbers too, with the list that they stand in.

An index is never changed: when files grow, another one takes its place.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from numpy.typing import NDArray

from sage_gym.evaluation.viewer.files import TrajectoryFile
from sage_gym.evaluation.viewer.reading import FileRows
from sage_gym.evaluation.viewer.summaries import OUTCOMES, SCHEMA, as_utf8, empty, numbers

__all__ = ["Index", "Rows", "Word"]

Rows = NDArray[np.int64]
"""Row numbers of an index."""

_versions = itertools.count(1)


@dataclass(frozen=True)
class Word:
    """A column of words: `codes` says which of `values` a row has."""

    values: tuple[str, ...]
    codes: NDArray[np.int32]

    def __getitem__(self, row: int) -> str:
        return self.values[int(self.codes[row])]

    @cached_property
    def lowered(self) -> tuple[str, ...]:
        """The values in lower case."""
        return tuple(value.lower() for value in self.values)

    @cached_property
    def ranks(self) -> NDArray[np.int64]:
        """The place of each value in their alphabetical order."""
        ranks = np.empty(len(self.values), np.int64)
        ranks[sorted(range(len(self.values)), key=self.values.__getitem__)] = np.arange(len(self.values))
        return ranks

    def matches(self, chosen: Sequence[bool]) -> NDArray[np.bool_]:
        """Return which rows have a value that was chosen."""
        mask: NDArray[np.bool_] = np.asarray(chosen, bool)[self.codes] if self.values else np.zeros(0, bool)
        return mask

    def is_one_of(self, wanted: Sequence[str]) -> NDArray[np.bool_]:
        """Return which rows have one of these values."""
        known = set(wanted)
        return self.matches([value in known for value in self.values])


class Index:
    """Rows of several files, in the files' order and each file's own.

    Attributes:
        files: what the rows come from.
        version: another for every index.
        words: columns of words by name: those of `SCHEMA`, and `run`, `part` and `outcome`.
        numbers: columns of numbers by name; not a number where there is none.
    """

    def __init__(self, held: Sequence[tuple[TrajectoryFile, FileRows]]) -> None:
        self.files = tuple(file for file, _ in held)
        self.version = next(_versions)
        table = pa.concat_tables([found.rows for _, found in held] or [empty()]).unify_dictionaries().combine_chunks()
        sizes = [found.rows.num_rows for _, found in held]
        self.file: NDArray[np.int64] = np.repeat(np.arange(len(held)), sizes)
        self._ids = table.column("id")
        self.words: dict[str, Word] = {
            field.name: _word(table.column(field.name)) for field in SCHEMA if pa.types.is_dictionary(field.type)
        }
        self.words["run"] = self._by_file([file.run for file in self.files])
        self.words["part"] = self._by_file([file.part for file in self.files])
        self.words["outcome"] = Word(OUTCOMES, numbers(table.column("outcome"), 1).astype(np.int32))
        self.numbers: dict[str, NDArray[Any]] = {
            field.name: numbers(table.column(field.name), np.nan if pa.types.is_floating(field.type) else 0)
            for field in SCHEMA
            if not (pa.types.is_dictionary(field.type) or pa.types.is_string(field.type))
        }
        self.numbers["round"] = self._rounds()

    def __len__(self) -> int:
        return len(self.file)

    @property
    def rows(self) -> Rows:
        """All rows."""
        return np.arange(len(self))

    def id(self, row: int) -> str:
        """Return a trajectory's id."""
        return str(self._ids[int(row)].as_py())

    def file_of(self, row: int) -> TrajectoryFile:
        """Return the file that a row comes from."""
        return self.files[int(self.file[row])]

    def file_number(self, run: str, name: str) -> int | None:
        """Return the place of a file in `files`."""
        return self._file_numbers.get((run, name))

    def rows_of_file(self, number: int) -> Rows:
        """Return a file's rows."""
        return np.arange(*np.searchsorted(self.file, (number, number + 1)))

    def find(self, run: str, name: str, identifier: str) -> int | None:
        """Return the row of a trajectory; the last one where a file has several of that id."""
        number = self.file_number(run, name)
        if number is None:
            return None
        rows = self.rows_of_file(number)
        found = np.flatnonzero(numbers(pc.equal(self._ids.take(pa.array(rows)), as_utf8(identifier)), False))
        return int(rows[found[-1]]) if len(found) else None

    def of_task(self, task: str) -> Rows:
        """Return the rows of a task, in all files."""
        return np.flatnonzero(self.words["task"].is_one_of([task]))

    @cached_property
    def _file_numbers(self) -> Mapping[tuple[str, str], int]:
        return {(file.run, file.name): number for number, file in enumerate(self.files)}

    def _by_file(self, values: Sequence[str]) -> Word:
        distinct = tuple(dict.fromkeys(values))
        codes = np.array([distinct.index(value) for value in values], np.int32)
        return Word(distinct, codes[self.file] if len(codes) else np.zeros(0, np.int32))

    def _rounds(self) -> NDArray[Any]:
        """Take a round from where the file lies, where that says one: a test of round 6 was played as round 0."""
        stated = np.array([-1 if file.round is None else file.round for file in self.files], np.int64)
        by_file = stated[self.file] if len(stated) else np.zeros(0, np.int64)
        return np.where(by_file >= 0, by_file, self.numbers["round"])


def _word(column: pa.ChunkedArray) -> Word:
    if not column.num_chunks:
        return Word((), np.zeros(0, np.int32))
    array = column.combine_chunks()
    array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    codes = numbers(array.indices, -1).astype(np.int32)
    values = [str(value) for value in array.dictionary.to_pylist()]
    if (codes < 0).any():  # a line without what every line has
        codes = np.where(codes < 0, len(values), codes).astype(np.int32)
        values.append("")
    return Word(tuple(values), codes)
