"""Everything that training text is held against, indexed once and asked in every round.

Texts with seeds in common with a training text are candidates; what becomes of them is decided in
`sage_gym.selection.likeness`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from sage_gym.selection.letters import Fingerprints, Letters
from sage_gym.selection.seeds import Candidate, SeedIndex, Seeds, seeds_of

__all__ = ["LEAST_LETTERS", "LEAST_WORDS", "SIZES", "HeldOut", "Later", "Library", "Shelf"]

SIZES = (8, 13)
"""Words of the n-grams whose overlap is reported."""
LEAST_WORDS, LEAST_LETTERS = 5, 16
"""A shorter text is looked for as a whole instruction alone: inside other text, it says too little."""
PART = 500_000
"""Characters that are indexed at a time."""


class Later(Iterable[str]):
    """Texts that are made when they are first asked for, which takes an environment with many tasks a while."""

    def __init__(self, make: Callable[[], Iterable[str]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[str]:
        """Make them."""
        return iter(self._make())


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Texts that must not be trained on: a benchmark (`environment` None) or an environment's held-out split.

    `tasks` are the hashes of a split's tasks. `unread` names files of a benchmark that were not read.
    """

    name: str
    texts: Iterable[str]
    environment: str | None = None
    tasks: Iterable[str] = ()
    unread: tuple[str, ...] = ()


class Shelf:
    """One source's texts, each once.

    Attributes:
        source: whose they are.
        first: number of its first text in the library.
        texts: as they came.
        tasks: hashes of its tasks.
        short: how many of these are too short to be told from ordinary words inside other text.
        digest: a hash over the texts.
    """

    def __init__(self, source: HeldOut, first: int) -> None:
        self.source, self.first = source, first
        self.texts = list(dict.fromkeys(source.texts))
        self.tasks = frozenset(source.tasks)
        self.short = 0
        digest = sha256()
        for text in self.texts:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        self.digest = digest.hexdigest()
        self._ngrams: dict[int, Fingerprints] = {}

    def read(self, seeds: list[Seeds], wholes: list[Fingerprints]) -> None:
        """Add the texts' seeds and the texts' own fingerprints to these."""
        grams: dict[int, list[Fingerprints]] = {n: [] for n in SIZES}
        first = self.first
        for part in _parts(self.texts):
            letters = Letters(part)
            is_long = (letters.word_counts >= LEAST_WORDS) & (letters.sizes >= LEAST_LETTERS)
            self.short += int((~is_long).sum())
            seeds.append(seeds_of(letters, first, is_long))
            wholes.append(letters.wholes())
            for n, runs in grams.items():
                runs.append(np.unique(letters.ngrams(n)[1]))
            first += len(part)
        self._ngrams = {n: np.unique(_joined(runs)) for n, runs in grams.items()}

    def holds(self, n: int, grams: Fingerprints) -> NDArray[np.bool_]:
        """Return, for each of these n-grams of words, whether some text has it."""
        return _is_in(self._ngrams[n], grams)


class Library:
    """Sources, indexed at the first comparison.

    Args:
        sources: in the order of reports.
    """

    def __init__(self, sources: Sequence[HeldOut]) -> None:
        self._sources = tuple(sources)
        self._index: _Index | None = None
        self._letters: dict[int, Letters] = {}

    @classmethod
    def of(cls, sources: Sequence[HeldOut] | Library) -> Library:
        """Return a library of these sources; itself where it is one."""
        return sources if isinstance(sources, Library) else cls(sources)

    def __len__(self) -> int:
        """Count the sources."""
        return len(self._sources)

    @property
    def shelves(self) -> tuple[Shelf, ...]:
        """Each source with its texts."""
        return self._indexed.shelves

    def shelf_of(self, text: int) -> int:
        """Return which source a text is of."""
        return int(np.searchsorted(self._indexed.firsts, text, side="right") - 1)

    def text(self, text: int) -> str:
        """Return a text by its number."""
        shelf = self.shelves[self.shelf_of(text)]
        return shelf.texts[text - shelf.first]

    def letters(self, text: int) -> Letters:
        """Return a text's letters."""
        if text not in self._letters:
            self._letters[text] = Letters([self.text(text)])
        return self._letters[text]

    def equal(self, queries: Letters) -> Iterator[tuple[int, int]]:
        """Give each training text with each held-out text that has the same letters."""
        yield from self._indexed.equal(queries)

    def candidates(self, queries: Letters, shelves: Sequence[int]) -> Iterator[Candidate]:
        """Give what may be alike, training text by training text, on these shelves."""
        yield from self._indexed.seeds.candidates(queries, shelves)

    @property
    def _indexed(self) -> _Index:
        if self._index is None:
            self._index = _Index(self._sources)
        return self._index


class _Index:
    """The shelves, an index of seeds, and whole texts in the order of their fingerprints."""

    def __init__(self, sources: Sequence[HeldOut]) -> None:
        shelves, first = [], 0
        seeds: list[Seeds] = []
        wholes: list[Fingerprints] = []
        for source in sources:
            shelf = Shelf(source, first)
            shelf.read(seeds, wholes)
            shelves.append(shelf)
            first += len(shelf.texts)
        self.shelves = tuple(shelves)
        self.firsts = np.array([shelf.first for shelf in shelves], dtype=np.int64)
        self.seeds = SeedIndex(seeds, [shelf.first for shelf in shelves])
        every = _joined(wholes)
        self._order = np.argsort(every, kind="stable")
        self._wholes = every[self._order]

    def equal(self, queries: Letters) -> Iterator[tuple[int, int]]:
        asked = np.flatnonzero(queries.sizes)
        own = queries.wholes()[asked]
        starts, ends = (np.searchsorted(self._wholes, own, side=side) for side in ("left", "right"))
        for row in np.flatnonzero(ends > starts):
            for text in self._order[starts[row] : ends[row]]:
                yield int(asked[row]), int(text)


def _parts(texts: Sequence[str]) -> Iterator[list[str]]:
    """Cut texts into runs of about `PART` characters."""
    part: list[str] = []
    size = 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size >= PART:
            yield part
            part, size = [], 0
    if part:
        yield part


def _is_in(known: Fingerprints, asked: Fingerprints) -> NDArray[np.bool_]:
    places = np.searchsorted(known, asked)
    places[places == len(known)] = 0
    return known[places] == asked if len(known) else np.zeros(len(asked), dtype=bool)


def _joined(parts: Iterable[Fingerprints]) -> Fingerprints:
    return np.concatenate([np.zeros(0, dtype=np.uint64), *parts])
