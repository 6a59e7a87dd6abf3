"""The generator: tasks that are each a function of the split, the seed and its index alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

from envs.terminal import kinds_files, kinds_programs, kinds_text
from envs.terminal.drafts import Draw, Kind
from envs.terminal.problems import Problem
from envs.terminal.wordings import SEEN, UNSEEN
from sage_gym.errors import ConfigError

__all__ = ["CAPACITY", "KINDS", "SPLITS", "Synthetic", "kinds_of"]

SPLITS = ("train", "select", "test", "select_kinds", "test_kinds")
"""`select` and `test` have the kinds of `train`, with wordings and names of their own; the others, other kinds."""
CAPACITY = 100_000
"""Tasks of a split: `terminal/<split>/` has five digits."""
KINDS: tuple[Kind, ...] = (*kinds_text.KINDS, *kinds_files.KINDS, *kinds_programs.KINDS)


def kinds_of(split: str) -> tuple[Kind, ...]:
    """Return the kinds of task that a split has."""
    group = split if split.endswith("_kinds") else "seen"
    return tuple(kind for kind in KINDS if kind.group == group)


class Synthetic:
    """The generated problems of one split.

    Args:
        split: one of `SPLITS`.
        size: how many.
        seed: of the whole set.

    Raises:
        ConfigError: it cannot give as many.
    """

    def __init__(self, split: str, size: int, seed: int) -> None:
        if not 0 < size <= CAPACITY:
            raise ConfigError([f"size: the generator can give 1 to {CAPACITY} tasks a split, got {size}"])
        self.split, self._size, self._seed = split, size, seed

    def __len__(self) -> int:
        return self._size

    def keys(self) -> Sequence[str]:
        """Return the keys, in order."""
        return tuple(f"terminal/{self.split}/{at:05d}" for at in range(self._size))

    def problem(self, at: int) -> Problem:
        """Make one problem."""
        return make(self.split, self._seed, at)


@lru_cache(maxsize=4096)
def make(split: str, seed: int, index: int) -> Problem:
    """Make the problem of an index."""
    rng = random.Random(f"terminal/{split}/{seed}/{index}")  # hashed by random itself, alike in every process
    kinds = kinds_of(split)
    kind = kinds[index % len(kinds)]
    draft = kind.make(Draw(rng, split.removesuffix("_kinds")))
    wording = rng.choice(SEEN[kind.name][split] if kind.group == "seen" else UNSEEN[kind.name])
    return Problem(
        key=f"terminal/{split}/{index:05d}",
        split=split,
        instruction=wording.format(**draft.fields),
        family=kind.name,
        goal=draft.goal,
        files=tuple(draft.files),
        programs=tuple(draft.programs),
        solution=tuple(draft.solution),
    )
