"""The generator: tasks that are each a function of the split, the seed and its index alone."""

from __future__ import annotations

import random
from functools import lru_cache, partial

from envs.terminal import kinds_files, kinds_programs, kinds_text
from envs.terminal.demonstration_wordings import DEMONSTRATIONS
from envs.terminal.drafts import Draw, Kind
from envs.terminal.problems import Problem
from envs.terminal.wordings import SEEN, UNSEEN
from sage_gym.tasks import KeyRange, Source

__all__ = ["CAPACITY", "KINDS", "SPLITS", "kinds_of", "synthetic", "wordings_of"]

SPLITS = ("train", "select", "test", "select_kinds", "test_kinds", "demonstrations")
"""`select` and `test` have the kinds of `train`, with wordings and names of their own; `select_kinds` and `test_kinds`,
other kinds. `demonstrations`, with training's kinds and again wordings and names of its own, is for imitation before
any training here: a policy's adapter has seen these tasks alone.
"""
CAPACITY = 100_000
"""Tasks of a split: `terminal/<split>/` has five digits."""
KINDS: tuple[Kind, ...] = (*kinds_text.KINDS, *kinds_files.KINDS, *kinds_programs.KINDS)


def kinds_of(split: str) -> tuple[Kind, ...]:
    """Return the kinds of task that a split has."""
    group = split if split.endswith("_kinds") else "seen"
    return tuple(kind for kind in KINDS if kind.group == group)


def synthetic(split: str, size: int, seed: int) -> Source[Problem]:
    """Return the generated problems of one split.

    Args:
        split: one of `SPLITS`.
        size: how many, of `CAPACITY` at most.
        seed: of the whole set.
    """
    return Source(KeyRange(f"terminal/{split}", size), partial(make, split, seed))


@lru_cache(maxsize=4096)
def make(split: str, seed: int, index: int) -> Problem:
    """Make the problem of an index."""
    rng = random.Random(f"terminal/{split}/{seed}/{index}")  # hashed by random itself, alike in every process
    kinds = kinds_of(split)
    kind = kinds[index % len(kinds)]
    draft = kind.make(Draw(rng, split.removesuffix("_kinds")))
    wording = rng.choice(wordings_of(kind, split))
    return Problem(
        key=f"terminal/{split}/{index:05d}",
        split=split,
        instruction=wording.format(**draft.fields),
        family=kind.name,
        goal=draft.goal,
        files=tuple(draft.files),
        programs=tuple(draft.programs),
        solution=tuple(draft.solution),
        fields=dict(draft.fields),
    )


def wordings_of(kind: Kind, split: str) -> tuple[str, ...]:
    """Return how a split asks for a kind of task that it has."""
    if kind.group != "seen":
        return UNSEEN[kind.name]
    return DEMONSTRATIONS[kind.name] if split == "demonstrations" else SEEN[kind.name][split]
