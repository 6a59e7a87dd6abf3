"""Word n-grams of many texts as 64-bit fingerprints: made once, asked in every round.

A fingerprint is sum_j hash(word_j) B^j mod 2^64. It holds within one process, since Python salts the hashes of text.
Of a million training n-grams against ten million held-out ones, one in two million would match by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from sage_gym.selection.similarity import words

__all__ = ["SHINGLE", "Fingerprints", "TextIndex", "fingerprints"]

SHINGLE = 3
"""Words of a shingle, by which near-duplicates are found."""
BASE = 0x9E3779B97F4A7C15

Fingerprints = NDArray[np.uint64]


def fingerprints(grams: Iterable[str]) -> Fingerprints:
    """Return the fingerprints of n-grams, each given as words joined by spaces."""
    found = [sum(hash(word) * pow(BASE, j, 1 << 64) for j, word in enumerate(gram.split(" "))) for gram in grams]
    return np.array([value % (1 << 64) for value in found], dtype=np.uint64)


class TextIndex:
    """The n-grams of texts, and which shingles each text has.

    Args:
        texts: held in memory.
        n: words of an n-gram.
    """

    def __init__(self, texts: Iterable[str], n: int) -> None:
        self.texts = list(texts)
        tokens = [words(text) for text in self.texts]
        lengths_D = np.array([len(own) for own in tokens], dtype=np.int64)
        hashes = np.fromiter((hash(word) for own in tokens for word in own), np.int64, int(lengths_D.sum()))
        owners_T = np.repeat(np.arange(len(tokens)), lengths_D)
        self._grams = np.unique(_windows(hashes.view(np.uint64), owners_T, n)[0])
        self._shingles, self._owners = _shingles(hashes.view(np.uint64), owners_T, lengths_D)
        self._sizes_D = np.bincount(self._owners, minlength=len(tokens))

    def holds(self, grams: Fingerprints) -> NDArray[np.bool_]:
        """Return, for each of these n-grams, whether some text holds it."""
        starts, ends = (np.searchsorted(self._grams, grams, side=side) for side in ("left", "right"))
        return ends > starts

    def near(self, shingles: Fingerprints, threshold: float) -> Iterator[tuple[str, float]]:
        """Give each text whose shingles have a Jaccard similarity >= `threshold` to these, and the similarity."""
        starts, ends = (np.searchsorted(self._shingles, shingles, side=side) for side in ("left", "right"))
        found = np.concatenate(
            [self._owners[a:b] for a, b in zip(starts, ends, strict=True)] or [np.zeros(0, np.int64)]
        )
        for text, common in zip(*np.unique(found, return_counts=True), strict=True):
            similarity = float(common / (len(shingles) + self._sizes_D[text] - common))
            if similarity >= threshold:
                yield self.texts[int(text)], similarity


def _windows(hashes_T: Fingerprints, owners_T: NDArray[np.int64], n: int) -> tuple[Fingerprints, NDArray[np.int64]]:
    """Return the fingerprint of every run of `n` words that lies within one text, and the text."""
    count = max(0, len(hashes_T) - n + 1)
    total = np.zeros(count, dtype=np.uint64)
    for j in range(n):
        total += hashes_T[j : j + count] * np.uint64(pow(BASE, j, 1 << 64))
    is_within = owners_T[:count] == owners_T[n - 1 : n - 1 + count]
    return total[is_within], owners_T[:count][is_within]


def _shingles(
    hashes_T: Fingerprints, owners_T: NDArray[np.int64], lengths_D: NDArray[np.int64]
) -> tuple[Fingerprints, NDArray[np.int64]]:
    """Return each text's shingles once, by fingerprint; a text too short for one is a shingle as a whole."""
    parts = [_windows(hashes_T, owners_T, SHINGLE)]
    for n in range(1, SHINGLE):
        is_short_T = lengths_D[owners_T] == n
        parts.append(_windows(hashes_T[is_short_T], owners_T[is_short_T], n))
    shingles, owners = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((owners, shingles))
    shingles, owners = shingles[order], owners[order]
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (shingles[1:] != shingles[:-1]) | (owners[1:] != owners[:-1])
    return shingles[is_first], owners[is_first]
