"""Exact similarity of texts by word n-grams, with an index that finds near-duplicates without comparing all pairs.

Left out: MinHash. A round holds thousands of texts, not millions, and the prefix filter below is exact.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from zlib import crc32

__all__ = ["NearIndex", "jaccard", "ngrams", "shingles", "words"]

_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Return the text's words: compatibility-normalised, case-folded, punctuation dropped."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def ngrams(tokens: Sequence[str], n: int) -> frozenset[str]:
    """Return the runs of `n` words, each joined by spaces; empty for shorter texts."""
    return frozenset(" ".join(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def shingles(text: str, n: int) -> frozenset[str]:
    """Return the text's n-grams, or for a shorter text the whole of it as one; empty for a text without words."""
    tokens = words(text)
    return ngrams(tokens, n) or frozenset([" ".join(tokens)] if tokens else [])


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Return |a and b| / |a or b|; two empty sets are equal, so 1."""
    return len(a & b) / len(a | b) if a or b else 1.0


class NearIndex:
    """Sets of shingles that can be asked for the members with Jaccard similarity >= threshold to another set.

    With one total order on shingles, two sets of similarity >= t share one among the first |x| - ceil(t |x|) + 1
    of each (prefix filter; Bayardo, Ma and Srikant, Scaling Up All Pairs Similarity Search, WWW 2007, section 4).
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._members: list[tuple[str, frozenset[str]]] = []
        self._postings: defaultdict[str, list[int]] = defaultdict(list)

    def add(self, key: str, members: frozenset[str]) -> None:
        """Put a set under a key. A set without members is near nothing."""
        for shingle in self._prefix(members):
            self._postings[shingle].append(len(self._members))
        self._members.append((key, members))

    def near(self, members: frozenset[str]) -> Iterator[tuple[str, float]]:
        """Give each key whose set is near, with its similarity, in the order of addition."""
        for index in sorted({i for shingle in self._prefix(members) for i in self._postings.get(shingle, ())}):
            key, candidate = self._members[index]
            similarity = jaccard(candidate, members)
            if similarity >= self._threshold:
                yield key, similarity

    def _prefix(self, members: frozenset[str]) -> list[str]:
        ordered = sorted(members, key=lambda shingle: (crc32(shingle.encode()), shingle))
        # down by a hair, or a t * |x| of 8.000000001 would shorten the prefix
        return ordered[: len(ordered) - math.ceil(self._threshold * len(ordered) - 1e-9) + 1]
