"""Tasks that are made when they are asked for, and the keys that they are asked for by.

An environment whose tasks are generated, or read from files, has a `Source` of problems for each split (a problem is a
task with what a policy must not see) and a `Library` of them, which lists tasks, finds a problem by its key and draws
one. Nothing is made before it is asked for: a split of a hundred thousand tasks costs nothing.

    sources = {split: Source(KeyRange(f"mine/{split}", 1_000), partial(make, split)) for split in SPLITS}
    library = Library(sources, task_of)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sage_gym.errors import TaskKeyError, UnknownNameError
from sage_gym.types import Task

if TYPE_CHECKING:
    import numpy as np

__all__ = ["KeyRange", "Library", "Source", "TaskList", "no_task"]

P = TypeVar("P")
NUMBERED = re.compile(r"(.+)/([0-9]{5,18})")


@dataclass(frozen=True, slots=True)
class KeyRange:
    """The keys `stem/00000`, `stem/00001` and so on, of at least five digits.

    Args:
        stem: what stands before the number, such as `terminal/train`.
        count: how many.
        first: the number of the first.
    """

    stem: str
    count: int
    first: int = 0

    def __len__(self) -> int:
        return self.count

    def __str__(self) -> str:
        return f"{self.key(0)} to {self.key(self.count - 1)}"

    def key(self, at: int) -> str:
        """Return the key at a position."""
        return f"{self.stem}/{self.first + at:05d}"

    def find(self, key: str) -> int | None:
        """Return the position of a key; None where it is none of these, or is spelled otherwise."""
        found = NUMBERED.fullmatch(key)
        if found is None or found[1] != self.stem:
            return None
        at = int(found[2]) - self.first
        return at if 0 <= at < self.count and self.key(at) == key else None


class TaskList(Sequence[Task]):
    """The tasks of a split, each made when asked for.

    Args:
        count: how many.
        make: gives the task at a position; always the same one.
    """

    def __init__(self, count: int, make: Callable[[int], Task]) -> None:
        self._count, self._make = count, make

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [self._make(position) for position in range(*at.indices(self._count))]
        position = at + self._count if at < 0 else at
        if not 0 <= position < self._count:
            raise IndexError(f"expected a task below {self._count}, got {at}")
        return self._make(position)


@dataclass(frozen=True, slots=True)
class Source(Generic[P]):
    """The problems of one split, made by a generator or read from a file.

    Args:
        keys: of its tasks.
        problem: gives the one at a position; always the same.
    """

    keys: KeyRange
    problem: Callable[[int], P]

    def __len__(self) -> int:
        return len(self.keys)


class Library(Generic[P]):
    """An environment's problems, by split, by key and by chance.

    Args:
        sources: split → its problems; one that reads a file may wait until it is looked up.
        task_of: gives what everybody may see of a problem.
        advice: what to do about a key that is not there, beside choosing another.
    """

    def __init__(self, sources: Mapping[str, Source[P]], task_of: Callable[[P], Task], advice: str = "") -> None:
        self._sources, self._task_of, self._advice = sources, task_of, advice

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits' names."""
        return tuple(self._sources)

    def check_split(self, split: str) -> None:
        """Do nothing where there is such a split.

        Raises:
            UnknownNameError: there is none; the nearest is given.
        """
        if split not in self._sources:
            raise UnknownNameError("split", split, self._sources)

    def source(self, split: str) -> Source[P]:
        """Return a split's problems.

        Raises:
            UnknownNameError: there is no such split; the nearest is given.
        """
        self.check_split(split)
        return self._sources[split]

    def tasks(self, split: str) -> TaskList:
        """List a split's tasks.

        Raises:
            UnknownNameError: there is no such split; the nearest is given.
        """
        source = self.source(split)
        return TaskList(len(source), lambda at: self._task_of(source.problem(at)))

    def problem(self, key: str) -> P:
        """Return the problem of a key.

        Raises:
            TaskKeyError: there is none; the keys that there are are given.
        """
        for source in self._sources.values():
            at = source.keys.find(key)
            if at is not None:
                return source.problem(at)
        raise no_task(key, {split: source.keys for split, source in self._sources.items()}, self._advice)

    def choose(self, wanted: Task | str | None, split: str, generator: np.random.Generator) -> P:
        """Return the problem of a task or key; without one, draw from a split.

        Raises:
            TaskKeyError: there is no such task; the keys that there are are given.
        """
        if wanted is not None:
            return self.problem(wanted.key if isinstance(wanted, Task) else str(wanted))
        source = self.source(split)
        return source.problem(int(generator.integers(len(source))))


def no_task(key: str, ranges: Mapping[Any, KeyRange], advice: str = "") -> TaskKeyError:
    """Return the error that says which keys there are."""
    known = "; ".join(f"{name}: {keys}" for name, keys in ranges.items() if len(keys))
    return TaskKeyError(f"no task {key!r}; there are {known}{'; ' + advice if advice else ''}")
