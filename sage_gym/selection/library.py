"""Everything that training text is held against, indexed once and asked in every round.

Indexed by *seeds*: the `SEED` letters that follow each word's beginning. They stand whatever is done to case,
punctuation and white space, and of a text with one word in ten replaced about six in ten stay. Seeds that very many
texts have (`which of the following`) point nowhere and are left out. Texts with seeds in common with a training text
are candidates; what becomes of them is decided in `sage_gym.selection.likeness`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sage_gym.selection.letters import Fingerprints, Letters, Places

__all__ = ["LEAST_WORDS", "SEED", "SIZES", "Candidate", "HeldOut", "Later", "Library"]

SEED = 12
"""Letters of a seed: about three words."""
MOST_TEXTS = 200
"""A seed of more texts than this says nothing."""
SIZES = (8, 13)
"""Words of the n-grams whose overlap is reported."""
LEAST_WORDS, LEAST_LETTERS = 5, 16
"""A shorter text is looked for as a whole instruction alone: inside other text, it says too little."""
PART = 500_000
"""Characters that are indexed at a time."""
MOST_CANDIDATES = 6
"""Texts that are looked at for one training text: so many with most seeds in common, and with most of their own."""
BITS = 24


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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A held-out text that has seeds in common with a training text.

    `places` are where the common seeds begin in the held-out text, in letters; `shifts` how much further on each of
    them begins in the training text; `counts` how many held-out texts have it.
    """

    query: int
    text: int
    places: Places
    shifts: Places
    counts: Places


Seeds = tuple[Fingerprints, NDArray[np.int32], NDArray[np.int32]]
"""Of some texts: each seed's fingerprint, the text's number, and the place in the text, in letters."""
NO_SEEDS: Seeds = (np.zeros(0, np.uint64), np.zeros(0, np.int32), np.zeros(0, np.int32))


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
        """Add the texts' seeds (fingerprint, text, place in it) and the texts' own fingerprints to these."""
        grams: dict[int, list[Fingerprints]] = {n: [] for n in SIZES}
        first = self.first
        for part in _parts(self.texts):
            letters = Letters(part)
            places, found = letters.windows(SEED, letters.starts)
            own = np.searchsorted(letters.bounds, places, side="right") - 1
            is_long = (letters.word_counts >= LEAST_WORDS) & (letters.sizes >= LEAST_LETTERS)
            self.short += int((~is_long).sum())
            kept = is_long[own]
            place = (places - letters.bounds[own])[kept].astype(np.int32)
            seeds.append((found[kept], (own[kept] + first).astype(np.int32), place))
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

    @lru_cache(maxsize=4096)  # noqa: B019 - a library lives as long as its process has runs to compare
    def letters(self, text: int) -> Letters:
        """Return a text's letters."""
        return Letters([self.text(text)])

    def equal(self, queries: Letters) -> Iterator[tuple[int, int]]:
        """Give each training text with each held-out text that has the same letters."""
        yield from self._indexed.equal(queries)

    def candidates(self, queries: Letters, shelves: Sequence[int]) -> Iterator[Candidate]:
        """Give what may be alike, training text by training text, on these shelves."""
        yield from self._indexed.candidates(queries, shelves)

    @property
    def _indexed(self) -> _Index:
        if self._index is None:
            self._index = _Index(self._sources)
        return self._index


class _Index:
    """Seeds in the order of their fingerprints, and whole texts in that of theirs."""

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
        self._order_seeds(seeds)
        every = _joined(wholes)
        self._whole_order = np.argsort(every, kind="stable")
        self._wholes = every[self._whole_order]

    def _order_seeds(self, seeds: Sequence[Seeds]) -> None:
        found, texts, places = (np.concatenate(column) for column in zip(NO_SEEDS, *seeds, strict=True))
        order = np.argsort(found, kind="stable")
        found, texts, places = found[order], texts[order], places[order]
        is_first = np.ones(len(found), dtype=bool)
        is_first[1:] = found[1:] != found[:-1]
        is_other = is_first.copy()
        is_other[1:] |= texts[1:] != texts[:-1]
        group = np.cumsum(is_first) - 1
        counts = np.bincount(group, weights=is_other)[group] if len(group) else np.zeros(0)
        kept = counts <= MOST_TEXTS
        self._seeds, self._counts = found[kept], counts[kept].astype(np.int32)
        self._texts, self._places = texts[kept], places[kept]
        self._seed_counts = np.bincount(texts)
        self._is_there = np.zeros(1 << BITS, dtype=bool)
        self._is_there[self._seeds >> np.uint64(64 - BITS)] = True

    def equal(self, queries: Letters) -> Iterator[tuple[int, int]]:
        asked = np.flatnonzero(queries.sizes)
        own = queries.wholes()[asked]
        starts, ends = (np.searchsorted(self._wholes, own, side=side) for side in ("left", "right"))
        for query, start, end in zip(asked[ends > starts], starts[ends > starts], ends[ends > starts], strict=True):
            for text in self._whole_order[start:end]:
                yield int(query), int(text)

    def candidates(self, queries: Letters, shelves: Sequence[int]) -> Iterator[Candidate]:
        places, found = queries.windows(SEED)
        is_likely = self._is_there[found >> np.uint64(64 - BITS)]
        places, found = places[is_likely], found[is_likely]
        starts, ends = (np.searchsorted(self._seeds, found, side=side) for side in ("left", "right"))
        times = ends - starts
        at = np.repeat(places, times)
        seeds = np.repeat(starts, times) + np.arange(len(at)) - np.repeat(np.cumsum(times) - times, times)
        if len(shelves) < len(self.shelves):
            of = np.searchsorted(self.firsts, self._texts[seeds], side="right") - 1
            is_asked = np.isin(of, shelves)
            at, seeds = at[is_asked], seeds[is_asked]
        query = np.searchsorted(queries.bounds, at, side="right") - 1
        text, place = self._texts[seeds].astype(np.int64), self._places[seeds].astype(np.int64)
        shift = at - queries.bounds[query] - place
        order = np.lexsort((place, shift, text, query))
        common = _Common(query[order], text[order], place[order], shift[order], self._counts[seeds][order])
        yield from common.best(self._seed_counts)


@dataclass(frozen=True, slots=True)
class _Common:
    """Seeds that training and held-out texts have in common, in the order of the pairs of texts."""

    query: Places
    text: Places
    place: Places
    shift: Places
    counts: Places

    def best(self, seed_counts: Places) -> Iterator[Candidate]:
        """Give the most promising pairs of each training text; `seed_counts` says how many seeds a text has."""
        if not len(self.query):
            return
        is_first = np.ones(len(self.query), dtype=bool)
        is_first[1:] = (self.query[1:] != self.query[:-1]) | (self.text[1:] != self.text[:-1])
        begins = np.flatnonzero(is_first)
        sizes = np.diff(np.append(begins, len(self.query)))
        query, shares = self.query[begins], sizes / seed_counts[self.text[begins]]
        chosen = _is_among_first(query, sizes, shares) | _is_among_first(query, shares, sizes)
        for pair in np.flatnonzero(chosen):
            rows = slice(begins[pair], begins[pair] + sizes[pair])
            yield Candidate(
                int(query[pair]), int(self.text[begins[pair]]), self.place[rows], self.shift[rows], self.counts[rows]
            )


def _is_among_first(query: Places, rank: NDArray[Any], tie: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which rows are among the `MOST_CANDIDATES` highest of their query."""
    order = np.lexsort((-tie, -rank, query))
    numbers = np.arange(len(order))
    is_new = np.ones(len(order), dtype=bool)
    is_new[1:] = query[order][1:] != query[order][:-1]
    since = numbers - np.maximum.accumulate(np.where(is_new, numbers, 0))
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order[since < MOST_CANDIDATES]] = True
    return chosen


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
    return np.concatenate(list(chain(parts, [np.zeros(0, dtype=np.uint64)])))
