"""The inverted index in flat arrays that can be memory-mapped, and how it is built.

impact(t, d) = idf_t · f/(f + k1·(1 − b + b·|d|/avg)), k1 = 0.9, b = 0.4, idf_t = ln(1 + (N − n_t + 0.5)/(n_t + 0.5)),
|d| quantised as Lucene's `SmallFloat.intToByte4`, in single precision and in the order in which Lucene computes it
(apache/lucene, `BM25Similarity`; Anserini's k1 and b).
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from envs.webshop.analyzer import Analyzer

__all__ = ["IndexBuilder", "Postings", "hash_term", "quantise_length"]

K1, B = np.float32(0.9), np.float32(0.4)
FREE_VALUES = 24


@dataclass(frozen=True, slots=True)
class Postings:
    """`docs[starts[t]:starts[t+1]]` are the documents of term row t, ascending; `impacts` their scores for one t.

    `hashes` are the terms' 64-bit hashes, ascending: the row of a term is where its hash stands. `ceilings` are the
    largest impacts of each row. `numbering` gives the catalogue position of each document: documents are numbered in
    the order of their asins, by which Anserini breaks ties.
    """

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    docs: NDArray[np.int32]
    impacts: NDArray[np.float32]
    ceilings: NDArray[np.float32]
    numbering: NDArray[np.int32]


@dataclass(slots=True)
class IndexBuilder:
    """Takes texts in catalogue order, then arranges the postings."""

    _rows: dict[str, int] = field(default_factory=dict)
    _terms: array[int] = field(default_factory=lambda: array("i"))
    _frequencies: array[int] = field(default_factory=lambda: array("H"))
    _distinct: array[int] = field(default_factory=lambda: array("i"))
    _lengths: array[int] = field(default_factory=lambda: array("i"))
    _analyze: Analyzer = field(default_factory=Analyzer)

    def add(self, text: str) -> None:
        """Add the next document."""
        counts = Counter(self._analyze(text))
        rows = self._rows
        self._terms.extend([rows.setdefault(term, len(rows)) for term in counts])
        self._frequencies.extend([min(count, 65_535) for count in counts.values()])
        self._distinct.append(len(counts))
        self._lengths.append(sum(counts.values()))

    def finish(self, numbering: NDArray[np.int32]) -> Postings:
        """Arrange what was added; document i is the text added at position `numbering[i]`."""
        lengths = np.asarray(self._lengths)[numbering]
        distinct = np.asarray(self._distinct)
        segments = _segments(distinct, numbering)
        terms, frequencies = np.asarray(self._terms)[segments], np.asarray(self._frequencies)[segments]
        del segments
        hashes = np.fromiter((hash_term(term) for term in self._rows), np.uint64, len(self._rows))
        ranks = np.argsort(hashes)
        if (np.diff(hashes[ranks]) == 0).any():
            raise ValueError("expected a 64-bit hash of its own for every term, got one for two terms")
        place = np.empty(len(hashes), np.int32)
        place[ranks] = np.arange(len(hashes), dtype=np.int32)
        terms = place[terms]
        order = np.argsort(terms, kind="stable")
        starts = np.zeros(len(hashes) + 1, np.int64)
        np.cumsum(np.bincount(terms, minlength=len(hashes)), out=starts[1:])
        docs = np.repeat(np.arange(len(numbering), dtype=np.int32), distinct[numbering])[order]
        weights = np.repeat(_idf(np.diff(starts), len(numbering)), np.diff(starts))
        scaled = frequencies[order].astype(np.float32) * _inverse_norms(lengths)[docs]
        impacts = weights - weights / (np.float32(1) + scaled)
        ceilings = np.maximum.reduceat(impacts, starts[:-1]) if len(hashes) else np.empty(0, np.float32)
        return Postings(hashes[ranks], starts, docs, impacts, ceilings, numbering)


def _segments(counts: NDArray[np.int32], order: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return where to read so that the stretches of `counts` elements come in the order `order`."""
    begins = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=begins[1:])
    wanted = counts[order]
    ends = np.cumsum(wanted, dtype=np.int64)
    shifts = begins[:-1][order] - (ends - wanted)
    places: NDArray[np.int64] = np.arange(int(wanted.sum()), dtype=np.int64) + np.repeat(shifts, wanted)
    return places


def _idf(document_counts: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    idf: NDArray[np.float32] = np.log(1 + (size - document_counts + 0.5) / (document_counts + 0.5)).astype(np.float32)
    return idf


def _inverse_norms(lengths: NDArray[np.int32]) -> NDArray[np.float32]:
    average = np.float32(lengths.sum(dtype=np.int64) / max(1, np.count_nonzero(lengths)))
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
