"""Every problem by its key: the generator's splits, and those of a folder of records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from envs.terminal.problems import Problem, Source
from envs.terminal.records import read_records
from envs.terminal.synthetic import SPLITS, Synthetic
from sage_gym.errors import CatalogError, TaskKeyError, UnknownNameError
from sage_gym.types import Task

__all__ = ["Library", "TaskList"]

KEY = re.compile(r"terminal/(.+)/(\d{5})")


class Library:
    """The problems of an environment.

    Args:
        size: of each generated split.
        seed: of the generated tasks.
        records: folder with AgentBench's records, each file a split by its name; None for none.

    Raises:
        CatalogError: the folder holds none, a bad one, or a file that is named like a generated split.
        ConfigError: the generator cannot give as many.
    """

    def __init__(self, size: int, seed: int, records: str | None) -> None:
        self._sources: dict[str, Source] = {split: Synthetic(split, size, seed) for split in SPLITS}
        for file in read_records(records) if records is not None else ():
            if file.split in self._sources:
                raise CatalogError(f"expected files not named like a generated split, got {file.split} in {records}")
            self._sources[file.split] = file

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits' names."""
        return tuple(self._sources)

    def source(self, split: str) -> Source:
        """Return a split's problems.

        Raises:
            UnknownNameError: there is no such split.
        """
        if split not in self._sources:
            raise UnknownNameError("split", split, self.splits)
        return self._sources[split]

    def problem(self, key: str) -> Problem:
        """Return the problem of a key.

        Raises:
            TaskKeyError: there is none; the valid range is given.
        """
        found = KEY.fullmatch(key)
        if found is None or found[1] not in self._sources:
            raise TaskKeyError(f"expected a key such as 'terminal/train/00042', got {key!r}; {self._ranges()}")
        source, at = self._sources[found[1]], int(found[2])
        if at >= len(source):
            raise TaskKeyError(f"no task {key!r}; {self._ranges()}")
        return source.problem(at)

    def _ranges(self) -> str:
        ends = {split: len(source) - 1 for split, source in self._sources.items() if len(source)}
        return "; ".join(f"terminal/{split}/00000 to terminal/{split}/{end:05d}" for split, end in ends.items())


class TaskList(Sequence[Task]):
    """The tasks of one split, made when asked for."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        problem = self._source.problem(range(len(self))[at])
        digest = problem.hash
        seed = int(digest[:8], 16)
        return Task(problem.key, problem.instruction, self._source.split, seed, digest, "terminal", problem.family)
