"""BM25 over an inverted index in flat arrays that can be memory-mapped.

score(q, d) = Σ_t c_t · idf_t · f/(f + k1·(1 − b + b·|d|/avg)), k1 = 0.9, b = 0.4, c_t the times t is in the query,
idf_t = ln(1 + (N − n_t + 0.5)/(n_t + 0.5)), |d| quantised as Lucene's `SmallFloat.intToByte4`, in single precision as
Lucene computes it (apache/lucene, `BM25Similarity`; Anserini's k1 and b). Ties go by document number; Anserini breaks
them by document name, so documents are numbered in the order of their asins.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs.webshop.analyzer import Analyzer

__all__ = ["Index", "build_index"]

K1, B = np.float32(0.9), np.float32(0.4)
DENSE_LIMIT = 20_000
"""Up to so many documents all scores are computed; above, only those that can reach the top."""
ROW_CACHE_LIMIT = 100_000
FREE_VALUES = 24


@dataclass(frozen=True, slots=True)
class Postings:
    """`docs[starts[t]:starts[t+1]]` are the documents of term row t, ascending; `impacts` their scores for one t.

    `hashes` are the terms' 64-bit hashes, ascending: the row of a term is where its hash stands. `ceilings` are the
    largest impacts of each row.
    """

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    docs: NDArray[np.int32]
    impacts: NDArray[np.float32]
    ceilings: NDArray[np.float32]
    size: int


class Index:
    """Searches; read-only but for a bounded table of term rows."""

    def __init__(self, postings: Postings) -> None:
        self.postings = postings
        self._analyze = Analyzer()
        self._rows: dict[str, int] = {}

    def search(self, text: str, k: int = 50) -> list[int]:
        """Return the positions of the best `k` documents, best first, without those that share no term."""
        rows = self._query_rows(text)
        if not rows:
            return []
        if self.postings.size <= DENSE_LIMIT:
            return self._dense(rows, k)
        return self._pruned(rows, k)

    def _query_rows(self, text: str) -> list[tuple[int, int]]:
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
        at = int(np.searchsorted(self.postings.hashes, wanted))
        is_there = at < len(self.postings.hashes) and self.postings.hashes[at] == wanted
        row = self._rows[term] = at if is_there else -1
        return row

    def _slice(self, row: int, count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        start, end = self.postings.starts[row], self.postings.starts[row + 1]
        impacts = self.postings.impacts[start:end]
        return self.postings.docs[start:end], impacts if count == 1 else impacts * np.float32(count)

    def _dense(self, rows: Sequence[tuple[int, int]], k: int) -> list[int]:
        parts = [self._slice(row, count) for row, count in rows]
        docs = np.concatenate([p[0] for p in parts])
        impacts = np.concatenate([p[1] for p in parts])
        scores = np.bincount(docs, weights=impacts, minlength=self.postings.size).astype(np.float32)
        return _best(np.flatnonzero(scores), scores, k)

    def _pruned(self, rows: Sequence[tuple[int, int]], k: int) -> list[int]:
        """Score by the rarest terms first; once no unseen document can reach the top, only complete the seen ones."""
        ceilings = [float(self.postings.ceilings[row]) * count for row, count in rows]
        order = sorted(range(len(rows)), key=lambda i: -ceilings[i])
        left = sum(ceilings)
        seen = np.empty(0, np.int64)
        scores = np.empty(0, np.float64)
        for i in order:
            docs, impacts = self._slice(*rows[i])
            bar = _kth(scores, k)
            if left * (1 + 1e-6) < bar:
                keep = scores + left * (1 + 1e-6) >= bar
                seen, scores = seen[keep], scores[keep]
                scores = scores + _look_up(seen, docs, impacts)
            else:
                seen, scores = _merge(seen, scores, docs, impacts)
            left -= ceilings[i]
        return _best(np.arange(len(seen)), scores.astype(np.float32), k, names=seen)


def _kth(scores: NDArray[np.float64], k: int) -> float:
    return -np.inf if len(scores) < k else float(np.partition(scores, len(scores) - k)[len(scores) - k])


def _look_up(wanted: NDArray[np.int64], docs: NDArray[np.int32], impacts: NDArray[np.float32]) -> NDArray[np.float64]:
    at = np.searchsorted(docs, wanted.astype(np.int32))
    at[at == len(docs)] = 0
    found: NDArray[np.float64] = np.where(docs[at] == wanted, impacts[at], 0.0).astype(np.float64)
    return found


def _merge(
    seen: NDArray[np.int64], scores: NDArray[np.float64], docs: NDArray[np.int32], impacts: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    if not len(seen):
        return docs.astype(np.int64), impacts.astype(np.float64)
    union = np.union1d(seen, docs)
    total = np.zeros(len(union))
    total[np.searchsorted(union, seen)] = scores
    total[np.searchsorted(union, docs)] += impacts
    return union, total


def _best(
    candidates: NDArray[np.int64], scores: NDArray[np.float32], k: int, names: NDArray[np.int64] | None = None
) -> list[int]:
    values = scores[candidates]
    if len(values) > k:
        bar = np.partition(values, len(values) - k)[len(values) - k]
        keep = values >= bar
        candidates, values = candidates[keep], values[keep]
    ranked = candidates[np.argsort(-values, kind="stable")[:k]]
    found: list[int] = (ranked if names is None else names[ranked]).tolist()
    return found


def build_index(texts: Iterable[str]) -> Postings:
    """Index `texts`; positions are document numbers."""
    analyze = Analyzer()
    rows: dict[str, int] = {}
    terms, frequencies, distinct, lengths = array("i"), array("f"), array("i"), array("i")
    for text in texts:
        counts = Counter(analyze(text))
        terms.extend([rows.setdefault(term, len(rows)) for term in counts])
        frequencies.extend(counts.values())
        distinct.append(len(counts))
        lengths.append(sum(counts.values()))
    return _arrange(rows, np.asarray(terms), np.asarray(frequencies), np.asarray(distinct), np.asarray(lengths))


def _arrange(
    rows: dict[str, int],
    terms: NDArray[np.int32],
    frequencies: NDArray[np.float32],
    distinct: NDArray[np.int32],
    lengths: NDArray[np.int32],
) -> Postings:
    hashes = np.fromiter((hash_term(term) for term in rows), np.uint64, len(rows))
    ranks = np.argsort(hashes)
    if len(hashes) and (np.diff(hashes[ranks]) == 0).any():
        raise ValueError("two terms share a 64-bit hash; expected none")
    place = np.empty(len(rows), np.int32)
    place[ranks] = np.arange(len(rows), dtype=np.int32)
    terms = place[terms]
    order = np.argsort(terms, kind="stable")
    starts = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(np.bincount(terms, minlength=len(rows)), out=starts[1:])
    docs = np.repeat(np.arange(len(distinct), dtype=np.int32), distinct)[order]
    weights = _idf(np.diff(starts), len(distinct))[terms[order]]
    inverse = _inverse_norms(lengths)[docs]
    impacts = weights - weights / (np.float32(1) + frequencies[order] * inverse)
    ceilings = np.maximum.reduceat(impacts, starts[:-1]) if len(rows) else np.empty(0, np.float32)
    return Postings(hashes[ranks], starts, docs, impacts, ceilings, len(distinct))


def _idf(document_counts: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    idf: NDArray[np.float32] = np.log(1 + (size - document_counts + 0.5) / (document_counts + 0.5)).astype(np.float32)
    return idf


def _inverse_norms(lengths: NDArray[np.int32]) -> NDArray[np.float32]:
    average = np.float32(lengths.sum() / max(1, np.count_nonzero(lengths)))
    quantised = np.array([quantise_length(n) for n in range(int(lengths.max(initial=0)) + 1)], np.float32)[lengths]
    one = np.float32(1)
    inverse: NDArray[np.float32] = (one / (K1 * ((one - B) + B * quantised / average))).astype(np.float32)
    return inverse


def quantise_length(length: int) -> int:
    """Round a field length down as Lucene's one-byte norm does: exact below 40, then 4 significant bits."""
    return length if length < FREE_VALUES else FREE_VALUES + _four_bits(length - FREE_VALUES)


def _four_bits(value: int) -> int:
    shift = value.bit_length() - 4
    return value if shift <= 0 else (value >> shift) << shift


def hash_term(term: str) -> np.uint64:
    """Hash a term to 64 bits, the same in every process."""
    return np.uint64(int.from_bytes(hashlib.blake2b(term.encode(), digest_size=8).digest(), "little"))
