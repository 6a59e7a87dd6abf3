"""Many texts as one stream of letters and digits, and fingerprints of pieces of it.

Case, punctuation and white space are gone from the stream, so whatever differs in these alone is equal in it. A piece's
fingerprint is sum_j m(c_j) B^j mod 2^64 over its characters c, m being a mixing function, whatever place it stands at:
sums from the stream's beginning give it for any piece at once (Karp and Rabin, Efficient randomized pattern-matching
algorithms, IBM J. Res. Dev. 31(2), 1987). Of a million pieces against ten million others, one in two million would be
found equal by chance.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fingerprints", "Letters", "Places", "normalise"]

Fingerprints = NDArray[np.uint64]
Places = NDArray[np.int64]

BASE = 0x9E3779B97F4A7C15
INVERSE = pow(BASE, -1, 1 << 64)
BREAK = "\n"
WORDLESS = ((0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))
"""Kana and ideographs, which are written without spaces: each counts as a word."""


def normalise(text: str) -> str:
    """Return the text compatibility-normalised and case-folded."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


class Letters:
    """Texts as one stream.

    Attributes:
        codes: of the letters and digits, one text after the other.
        bounds: where each text begins in `codes`, and where the last one ends.
        starts: where each word begins in `codes`.
        word_ends: where each word ends in `codes`.
        owners: which text each word is of.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        parts = [normalise(text) for text in texts]
        joined = BREAK.join([*parts, ""])
        codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
        is_letter, is_alone = _kinds()
        kept = is_letter[codes]
        begins = kept.copy()
        begins[1:] &= ~kept[:-1] | is_alone[codes[1:]] | is_alone[codes[:-1]]
        counts = np.concatenate([[0], np.cumsum(kept)])
        ends = np.cumsum([len(part) + len(BREAK) for part in parts], dtype=np.int64)
        self.codes = codes[kept]
        self.bounds: Places = counts[np.concatenate([[0], ends]).astype(np.int64)].astype(np.int64)
        self.starts: Places = np.flatnonzero(begins[kept])
        self.owners: Places = np.searchsorted(self.bounds, self.starts, side="right") - 1
        self.word_ends: Places = np.append(self.starts[1:], len(self.codes))
        self._firsts = np.searchsorted(self.owners, np.arange(len(parts) + 1))
        self._sums, self._inverses = _sums(self.codes)

    def __len__(self) -> int:
        """Count the texts."""
        return len(self.bounds) - 1

    @property
    def sizes(self) -> Places:
        """Letters of each text."""
        return np.diff(self.bounds)

    @property
    def word_counts(self) -> Places:
        """Words of each text."""
        return np.diff(self._firsts)

    def fingerprints(self, begins: Places, ends: Places) -> Fingerprints:
        """Return the fingerprints of pieces of the stream."""
        return (self._sums[ends] - self._sums[begins]) * self._inverses[begins]

    def windows(self, width: int, begins: Places | None = None) -> tuple[Places, Fingerprints]:
        """Return where windows of `width` letters within one text begin (of these places, or of all), and theirs."""
        places = np.arange(len(self.codes)) if begins is None else begins
        ends = self.bounds[np.searchsorted(self.bounds, places, side="right")] if len(places) else places
        places = places[places + width <= ends]
        return places, self.fingerprints(places, places + width)

    def ngrams(self, n: int) -> tuple[Places, Fingerprints]:
        """Return which word (by its number in `starts`) each run of `n` words begins at, and the run's fingerprint."""
        first = np.arange(max(0, len(self.starts) - n + 1))
        first = first[self.owners[first] == self.owners[first + n - 1]]
        return first, self.fingerprints(self.starts[first], self.word_ends[first + n - 1])

    def wholes(self) -> Fingerprints:
        """Return each text's fingerprint."""
        return self.fingerprints(self.bounds[:-1], self.bounds[1:])

    def words(self, text: int) -> tuple[Places, Places]:
        """Return where the words of a text begin and end, counted from the text's own beginning."""
        own = slice(self._firsts[text], self._firsts[text + 1])
        return self.starts[own] - self.bounds[text], self.word_ends[own] - self.bounds[text]

    def of(self, text: int) -> NDArray[np.uint32]:
        """Return the letters of a text."""
        return self.codes[self.bounds[text] : self.bounds[text + 1]]


@cache
def _kinds() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return for every code point whether it is a letter or digit, and whether it is a word by itself."""
    is_letter = np.fromiter((chr(code).isalnum() for code in range(0x110000)), np.bool_, 0x110000)
    is_alone = np.zeros(0x110000, dtype=np.bool_)
    for first, last in WORDLESS:
        is_alone[first : last + 1] = is_letter[first : last + 1]
    return is_letter, is_alone


def _sums(codes: NDArray[np.uint32]) -> tuple[Fingerprints, Fingerprints]:
    """Return the weighted sums up to each place, and the inverse of each place's weight."""
    sums = np.zeros(len(codes) + 1, dtype=np.uint64)
    weights = _powers(BASE, len(codes))
    np.cumsum(_mix(codes) * weights[: len(codes)], out=sums[1:], dtype=np.uint64)
    return sums, _powers(INVERSE, len(codes))


def _powers(base: int, count: int) -> Fingerprints:
    powers = np.full(count + 1, base, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


def _mix(codes: NDArray[np.uint32]) -> Fingerprints:
    """Spread code points over 64 bits (the finaliser of Steele, Lea and Flood's SplitMix, OOPSLA 2014)."""
    mixed = codes.astype(np.uint64) + np.uint64(BASE)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
