"""BM25 search: score(q, d) = Σ_t c_t · impact(t, d), c_t the times t is in the query. Ties go by document number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from envs.webshop.analyzer import Analyzer
from envs.webshop.index import Postings, hash_term

__all__ = ["Index"]

DENSE_LIMIT = 20_000
"""Up to so many documents every score is computed; above, only what can reach the top."""
LOOK_UP_LIMIT = 2_000
"""Once so few documents can reach the top, the remaining terms are looked up for them alone."""
ROW_CACHE_LIMIT = 100_000
RARE_LIMIT, RARE_COUNT = 50_000, 6
SLACK = 1 + 2e-5
"""Covers the rounding of sums in single precision."""
Term = tuple[int, int]
"""A row of the postings, and how often the query has it."""


class Index:
    """Searches; read-only but for a bounded table of term rows. Results are exact whatever is pruned."""

    def __init__(self, postings: Postings) -> None:
        self.postings = postings
        self.size = len(postings.numbering)
        self._analyze = Analyzer()
        self._rows: dict[str, int] = {}

    def search(self, text: str, k: int = 50) -> list[int]:
        """Return the catalogue positions of the best `k` documents, best first, without those that share no term."""
        rows = self._query_rows(text)
        if not rows:
            return []
        docs, scores = self._dense(rows) if self.size <= DENSE_LIMIT else self._pruned(rows, k)
        found: list[int] = self.postings.numbering[_best(docs, scores.astype(np.float32), k)].tolist()
        return found

    def _query_rows(self, text: str) -> list[Term]:
        rows = []
        for term, count in Counter(self._analyze(text)).items():
            row = self._rows.get(term)
            if row is None:
                row = self._find_row(term)
            if row >= 0:
                rows.append((row, count))
        return rows

    def _find_row(self, term: str) -> int:
        if len(self._rows) >= ROW_CACHE_LIMIT:
            self._rows.clear()
        wanted = hash_term(term)
        hashes = self.postings.hashes
        at = int(np.searchsorted(hashes, wanted))
        row = self._rows[term] = at if at < len(hashes) and hashes[at] == wanted else -1
        return row

    def _slice(self, row: int, count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        start, end = self.postings.starts[row], self.postings.starts[row + 1]
        impacts = self.postings.impacts[start:end]
        return self.postings.docs[start:end], impacts if count == 1 else impacts * np.float32(count)

    def _dense(self, rows: Sequence[Term]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        parts = [self._slice(row, count) for row, count in rows]
        docs = np.concatenate([p[0] for p in parts])
        impacts = np.concatenate([p[1] for p in parts])
        scores = np.bincount(docs, weights=impacts, minlength=self.size)
        matched: NDArray[np.int64] = np.flatnonzero(scores).astype(np.int64)
        return matched, scores[matched].astype(np.float64)

    def _pruned(self, rows: Sequence[Term], k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Score roughly, rarest terms first, in single precision; score exactly what can reach the top.

        After some terms, the k-th best rough score is at most the k-th best score, and the other terms can add at most
        the sum of their ceilings. Where that leaves few documents, the common terms are looked up for those.
        """
        ordered = sorted(rows, key=lambda term: self._length(term[0]))
        ceilings = [float(self.postings.ceilings[row]) * count for row, count in ordered]
        scores = np.zeros(self.size, np.float32)
        added: list[NDArray[np.int32]] = []
        attempts = 2
        for i, (row, count) in enumerate(ordered):
            left, common = sum(ceilings[i:]) * SLACK, self._length(row) > self.size // 8
            if common and attempts and left < sum(ceilings[:i]):
                attempts -= 1
                floor = _bound(scores, added, k) / SLACK - left
                candidates = np.flatnonzero(scores >= floor) if floor > 0 else np.empty(0, np.int64)
                if 0 < len(candidates) <= LOOK_UP_LIMIT:
                    return self._exact(candidates, rows)
            docs, impacts = self._slice(row, count)
            np.add.at(scores, docs, impacts)
            added.append(docs)
        bar = _bound(scores, added, k) / SLACK
        return self._exact(np.flatnonzero(scores >= bar if bar > 0 else scores), rows)

    def _length(self, row: int) -> int:
        return int(self.postings.starts[row + 1] - self.postings.starts[row])

    def _exact(
        self, candidates: NDArray[np.int64], rows: Sequence[Term]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        wanted = candidates.astype(np.int32)
        scores = np.zeros(len(wanted))
        for row, count in rows:
            docs, impacts = self._slice(row, count)
            at = np.minimum(np.searchsorted(docs, wanted), len(docs) - 1)
            scores += np.where(docs[at] == wanted, impacts[at], np.float32(0))
        return candidates, scores


def _bound(scores: NDArray[np.float32], added: Sequence[NDArray[np.int32]], k: int) -> float:
    """Bound the k-th best score from below: the k-th best among the documents of one rare term, for the best term."""
    rare = [docs for docs in added if k <= len(docs) <= RARE_LIMIT][:RARE_COUNT]
    held = [scores[docs] for docs in rare] or [scores[scores > 0]]
    return max(float(np.partition(part, len(part) - k)[len(part) - k]) if len(part) >= k else 0.0 for part in held)


def _best(docs: NDArray[np.int64], scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    if len(scores) > k:
        bar = np.partition(scores, len(scores) - k)[len(scores) - k]
        keep = scores >= bar
        docs, scores = docs[keep], scores[keep]
    return docs[np.argsort(-scores, kind="stable")[:k]]
