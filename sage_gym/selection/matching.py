"""Passages of training that repeat held-out texts, and how many n-grams they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sage_gym.selection.letters import Fingerprints, Letters
from sage_gym.selection.library import SIZES, Library
from sage_gym.selection.likeness import Kind, Likeness, compare, judge
from sage_gym.selection.passages import Passage, in_chunks
from sage_gym.selection.settings import Decontamination

__all__ = ["Match", "Survey", "find_matches"]

SAME_WORDS, SAME_LETTERS = 3, 8
"""A held-out text of less may be somebody's instruction by chance."""
LEAST_COMMON = 4
"""An n-gram of so few training tasks is none that many have, however few tasks there are."""


@dataclass(frozen=True, slots=True)
class Match:
    """A passage that repeats a held-out text, and how."""

    passage: Passage
    shelf: int
    text: int
    kind: Kind
    likeness: Likeness | None
    """None where the two are the same."""


@dataclass(frozen=True, slots=True)
class Survey:
    """N-grams of passages, seen over all of them.

    Attributes:
        common: those that many training tasks have, in order.
        sharing: source and n -> the tasks, by number, that have an n-gram in common with it.
    """

    common: Fingerprints
    sharing: dict[tuple[int, int], set[int]]

    @classmethod
    def of(cls, passages: Sequence[Passage], tasks: Sequence[int], library: Library, rule: Decontamination) -> Survey:
        """Look at all passages; `tasks` gives each trajectory's task by number."""
        pairs: list[NDArray[np.uint64]] = []
        sharing: dict[tuple[int, int], set[int]] = {(s, n): set() for s in range(len(library)) for n in SIZES}
        for chunk in in_chunks(passages):
            letters = Letters([passage.text for passage in chunk])
            own = [sorted({tasks[holder] for holder in passage.holders}) for passage in chunk]
            pairs.append(_pairs(letters, own, rule.n))
            for n in SIZES:
                first, grams = letters.ngrams(n)
                for number, shelf in enumerate(library.shelves):
                    held = np.unique(letters.owners[first[shelf.holds(n, grams)]])
                    sharing[number, n].update(task for passage in held.tolist() for task in own[passage])
        found = np.unique(np.concatenate([*pairs, np.zeros((0, 2), np.uint64)]), axis=0)
        grams, counts = np.unique(found[:, 0], return_counts=True)
        limit = max(LEAST_COMMON, rule.common_share * len(set(tasks)))
        return cls(grams[counts > limit], sharing)


def find_matches(
    passages: Sequence[Passage],
    library: Library,
    rule: Decontamination,
    common: Fingerprints,
    shelves: Sequence[int] | None = None,
) -> Iterator[Match]:
    """Give every passage with each held-out text that it repeats.

    Args:
        passages: of training.
        library: what they are held against.
        rule: says from when on a text is repeated.
        common: n-grams that say nothing, in order.
        shelves: of the library, by number; None is all of them.
    """
    asked = list(range(len(library))) if shelves is None else list(shelves)
    for chunk in in_chunks(passages):
        letters = Letters([passage.text for passage in chunk])
        same = set()
        for query, text in library.equal(letters):
            shelf = library.shelf_of(text)
            if shelf in asked and chunk[query].part == "instruction" and _is_long(library.letters(text)):
                same.add((query, text))
                yield Match(chunk[query], shelf, text, "same", None)
        are_common = _stretches(letters, common, rule.n)
        for candidate in library.candidates(letters, asked):
            if (candidate.query, candidate.text) in same:
                continue
            found = compare(candidate, letters, library.letters(candidate.text), rule.n, are_common(candidate.query))
            kind = judge(found, rule.n, rule.near_duplicate)
            if kind is not None:
                yield Match(chunk[candidate.query], library.shelf_of(candidate.text), candidate.text, kind, found)


def _is_long(text: Letters) -> bool:
    """Whether a held-out text says enough to be no instruction by chance."""
    return bool(text.word_counts[0] >= SAME_WORDS and text.sizes[0] >= SAME_LETTERS)


def _pairs(letters: Letters, tasks: Sequence[Sequence[int]], n: int) -> NDArray[np.uint64]:
    """Return each n-gram with each task that has it, a row a pair."""
    first, grams = letters.ngrams(n)
    own = letters.owners[first]
    times = np.array([len(found) for found in tasks])
    every = np.array([task for found in tasks for task in found], dtype=np.uint64)
    starts = np.cumsum(times) - times
    at = np.repeat(starts[own], times[own])
    steps = np.arange(len(at)) - np.repeat(np.cumsum(times[own]) - times[own], times[own])
    return np.unique(np.stack([np.repeat(grams, times[own]), every[at + steps]], axis=1), axis=0)


def _stretches(letters: Letters, common: Fingerprints, n: int) -> Callable[[int], Callable[[int, int], bool]]:
    """Return a function that says of a text's stretch of letters whether all its n-grams are common ones."""
    first, grams = letters.ngrams(n)
    places = np.minimum(np.searchsorted(common, grams), max(0, len(common) - 1))
    is_common = common[places] == grams if len(common) else np.zeros(len(grams), dtype=bool)
    begins = letters.starts[first]
    ends = letters.word_ends[first + n - 1]

    def of(query: int) -> Callable[[int, int], bool]:
        shift = letters.bounds[query]

        def is_stretch_common(begin: int, end: int) -> bool:
            is_inside = slice(*np.searchsorted(begins, [begin + shift, end + shift]))
            found = is_common[is_inside][ends[is_inside] <= end + shift]
            return bool(len(found) and found.all())

        return is_stretch_common

    return of
