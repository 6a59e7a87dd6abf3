"""An index of texts by their *seeds*: the `SEED` letters that follow each word's beginning.

Seeds stand whatever is done to case, punctuation and white space, and of a text with one word in ten replaced about six
in ten stay. Seeds that very many texts have (`which of the following`) point nowhere and are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sage_gym.selection.letters import Fingerprints, Letters, Places

__all__ = ["NEAR_SHARE", "SEED", "Candidate", "SeedIndex", "Seeds", "seeds_of"]

SEED = 12
"""Letters of a seed: about three words."""
MOST_TEXTS = 200
"""A seed of more texts than this says nothing."""
MOST_TIMES = 3
"""Places at which one seed counts in a training text: a text that repeats itself says nothing new."""
MOST_CANDIDATES, MOST_OF_SHORT = 6, 64
"""Texts that are looked at for one training text, and for a short one, whose few seeds more texts may have: so many
with most seeds in a row, and with most of their seeds."""
LEAST_IN_A_ROW, NEAR_SHARE, SHORT = 3, 0.2, 40
"""Two texts are looked at where so many seeds stand in one row, or this share of the held-out one's seeds is there, or
the training text has so few letters. Eight words in a row have four seeds or more."""
BITS = 24


@dataclass(frozen=True, slots=True)
class Seeds:
    """The seeds of some texts: each one's fingerprint, which text it is of, and where in that it begins, in letters."""

    found: Fingerprints
    texts: NDArray[np.int32]
    places: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A held-out text that has seeds in common with a training text.

    `places` are where the common seeds begin in the held-out text, in letters; `shifts` how much further on each of
    them begins in the training text; `counts` how many held-out texts have it. `share` is of the held-out text's seeds.
    """

    query: int
    text: int
    places: Places
    shifts: Places
    counts: Places
    share: float


def seeds_of(letters: Letters, first: int, is_asked: NDArray[np.bool_]) -> Seeds:
    """Return the seeds of those of the texts that are asked for, the texts being numbered from `first`."""
    places, found = letters.windows(SEED, letters.starts)
    own = np.searchsorted(letters.bounds, places, side="right") - 1
    kept = is_asked[own]
    place = (places - letters.bounds[own])[kept]
    return Seeds(found[kept], (own[kept] + first).astype(np.int32), place.astype(np.int32))


class SeedIndex:
    """Seeds in the order of their fingerprints.

    Args:
        parts: of all texts.
        firsts: number of each source's first text.
    """

    def __init__(self, parts: Sequence[Seeds], firsts: Sequence[int]) -> None:
        found = np.concatenate([np.zeros(0, np.uint64), *(part.found for part in parts)])
        order = np.argsort(found, kind="stable")
        found = found[order]
        texts, places = (
            np.concatenate([np.zeros(0, np.int32), *columns])[order]
            for columns in ([part.texts for part in parts], [part.places for part in parts])
        )
        is_first = _is_new(found)
        group = np.cumsum(is_first) - 1
        counts = np.bincount(group, weights=is_first | _is_new(texts))[group] if len(group) else np.zeros(0)
        kept = counts <= MOST_TEXTS
        self._firsts = np.asarray(firsts)
        self._seeds, self._counts = found[kept], counts[kept].astype(np.int32)
        self._texts, self._places = texts[kept], places[kept]
        self._totals = np.bincount(texts)
        self._is_there = np.zeros(1 << BITS, dtype=bool)
        self._is_there[_slots(self._seeds)] = True

    def candidates(self, queries: Letters, sources: Sequence[int]) -> Iterator[Candidate]:
        """Give the most promising pairs of texts, training text by training text, of these sources."""
        places, found = queries.windows(SEED)
        is_likely = self._is_there[_slots(found)]
        places, found = _first_times(places[is_likely], found[is_likely], queries)
        starts, ends = (np.searchsorted(self._seeds, found, side=side) for side in ("left", "right"))
        times = ends - starts
        at = np.repeat(places, times)
        seeds = np.repeat(starts, times) + np.arange(len(at)) - np.repeat(np.cumsum(times) - times, times)
        if len(sources) < len(self._firsts):
            of = np.searchsorted(self._firsts, self._texts[seeds], side="right") - 1
            at, seeds = (column[np.isin(of, sources)] for column in (at, seeds))
        query = np.searchsorted(queries.bounds, at, side="right") - 1
        text, place = self._texts[seeds].astype(np.int64), self._places[seeds].astype(np.int64)
        shift = at - queries.bounds[query] - place
        order = np.lexsort((place, shift, text, query))
        common = _Common(query[order], text[order], place[order], shift[order], self._counts[seeds][order])
        yield from common.best(self._totals, queries.sizes)


@dataclass(frozen=True, slots=True)
class _Common:
    """Seeds that training and held-out texts have in common, in the order of the pairs of texts and of the shifts."""

    query: Places
    text: Places
    place: Places
    shift: Places
    counts: Places

    def best(self, totals: Places, sizes: Places) -> Iterator[Candidate]:
        """Give the pairs worth looking at; `totals` are each held-out text's seeds, `sizes` the training texts'."""
        if not len(self.query):
            return
        is_pair = _is_new(self.query) | _is_new(self.text)
        pairs, rows = np.flatnonzero(is_pair), np.flatnonzero(is_pair | _is_new(self.shift))
        lengths, row_lengths = (np.diff(np.append(begins, len(self.query))) for begins in (pairs, rows))
        in_a_row = np.maximum.reduceat(row_lengths, np.searchsorted(rows, pairs))
        query, shares = self.query[pairs], lengths / totals[self.text[pairs]]
        is_near = (in_a_row >= LEAST_IN_A_ROW) | (shares >= NEAR_SHARE) | (sizes[query] < SHORT)
        most = np.where(sizes[query] < SHORT, MOST_OF_SHORT, MOST_CANDIDATES)
        chosen = (_rank(query, in_a_row, shares) < most) | (_rank(query, shares, in_a_row) < most)
        for pair in np.flatnonzero(chosen & is_near):
            own = slice(pairs[pair], pairs[pair] + lengths[pair])
            yield Candidate(
                int(query[pair]), int(self.text[pairs[pair]]), self.place[own], self.shift[own], self.counts[own],
                float(shares[pair]),
            )  # fmt: skip


def _first_times(places: Places, found: Fingerprints, queries: Letters) -> tuple[Places, Fingerprints]:
    """Keep the first `MOST_TIMES` places of each seed in each text, so that no text costs more than it is long."""
    query = np.searchsorted(queries.bounds, places, side="right") - 1
    order = np.lexsort((places, found, query))
    since = _since(_is_new(found[order]) | _is_new(query[order]))
    kept = np.sort(order[since < MOST_TIMES])
    return places[kept], found[kept]


def _rank(query: Places, value: NDArray[Any], tie: NDArray[Any]) -> Places:
    """Return how many rows of its query stand before each one, the highest value first."""
    order = np.lexsort((-tie, -value, query))
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = _since(_is_new(query[order]))
    return ranks


def _is_new(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a value differs from the one before."""
    is_new = np.ones(len(values), dtype=bool)
    is_new[1:] = values[1:] != values[:-1]
    return is_new


def _since(is_new: NDArray[np.bool_]) -> Places:
    """Return how many rows lie between each row and the last new one."""
    numbers = np.arange(len(is_new))
    return numbers - np.maximum.accumulate(np.where(is_new, numbers, 0))


def _slots(found: Fingerprints) -> Fingerprints:
    return found >> np.uint64(64 - BITS)
