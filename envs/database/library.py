"""Every problem by its key: the generator's splits, and AgentBench's files where they are at hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.database.problems import Problem, Source
from envs.database.records import FILES, default_folder, read_records
from envs.database.synthetic import CAPACITY, SPLITS, Synthetic
from sage_gym.errors import CatalogError, TaskKeyError, UnknownNameError
from sage_gym.types import Task

__all__ = ["Library", "TaskList"]

KEY = re.compile(r"database/(synthetic|dev|standard)/(\d{5})")


class Library:
    """The problems of an environment.

    Args:
        size: of each generated split.
        seed: of the generated tasks.
        records: folder with AgentBench's `dev.jsonl` and `standard.jsonl`; None for the default place, if it is there.

    Raises:
        CatalogError: a folder was named and holds neither.
        ConfigError: the generator cannot give as many.
    """

    def __init__(self, size: int, seed: int, records: str | None) -> None:
        self._generated = {split: Synthetic(split, size, seed) for split in SPLITS}
        self.folder = Path(records) if records is not None else default_folder()
        self._files = tuple(name for name in FILES if (self.folder / f"{name}.jsonl").is_file())
        if records is not None and not self._files:
            raise CatalogError(f"expected {' or '.join(f'{name}.jsonl' for name in FILES)} in {records}, got neither")

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits' names."""
        return (*SPLITS, *self._files)

    def source(self, split: str) -> Source:
        """Return a split's problems; files are read when first asked for.

        Raises:
            UnknownNameError: there is no such split.
            CatalogError: its file holds a bad record.
        """
        if split in self._generated:
            return self._generated[split]
        if split not in self._files:
            raise UnknownNameError("split", split, self.splits)
        return next(file for file in read_records(str(self.folder)) if file.split == split)

    def problem(self, key: str) -> Problem:
        """Return the problem of a key.

        Raises:
            TaskKeyError: there is none; the valid range is given.
        """
        found = KEY.fullmatch(key)
        if found is None:
            raise TaskKeyError(f"expected a key such as 'database/synthetic/00042', got {key!r}; {self._ranges()}")
        kind, index = found[1], int(found[2])
        split = SPLITS[min(index // CAPACITY, len(SPLITS) - 1)] if kind == "synthetic" else kind
        if split not in self.splits:
            raise TaskKeyError(
                f"no {kind}.jsonl in {self.folder}, got {key!r}; pass records=FOLDER or set SAGE_GYM_DATA"
            )
        source = self.source(split)
        at = index - (self._generated[split].first if kind == "synthetic" else 0)
        if not 0 <= at < len(source):
            raise TaskKeyError(f"no task {key!r}; {self._ranges()}")
        return source.problem(at)

    def _ranges(self) -> str:
        spans = []
        for split in self.splits:
            keys = self.source(split).keys()
            spans.append(f"{split}: {keys[0]} to {keys[-1]}")
        return "; ".join(spans)


class TaskList(Sequence[Task]):
    """The tasks of one split, made when asked for."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        position = range(len(self))[at]
        problem = self._source.problem(position)
        seed = int(problem.hash[:8], 16)
        return Task(
            problem.key, problem.question, self._source.split, seed, problem.hash, "database", family=problem.family
        )
