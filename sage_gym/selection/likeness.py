"""How much of a held-out text stands in a training text, and from when on it counts as the same.

    same        the same letters throughout
    inside      the training text stands in the held-out one, letter for letter: a leak that was cut short
    whole       the held-out text stands in the training one, letter for letter, whatever stands around it
    run         so many words in a row (`n`) stand in both, and not words that stand everywhere
    words       most of the held-out text's words stand in the training text, in their order: a near-duplicate

Near-duplicates are found by aligning words, not by the Jaccard similarity of shingles that MinHash estimates: a
question of twelve words, one of them replaced, has 0.54 of its triples in common with itself, but 0.92 of its words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq

from sage_gym.selection.letters import Letters, Places
from sage_gym.selection.library import LEAST_LETTERS, LEAST_WORDS
from sage_gym.selection.seeds import NEAR_SHARE, SEED, Candidate

__all__ = ["Kind", "Likeness", "compare", "judge"]

Kind = Literal["same", "inside", "whole", "run", "words"]

NEARLY = 0.98
"""Of letters, from when on a text stands in another: a letter may differ in a long text, no number in a short one."""
INSIDE_WORDS, INSIDE_LETTERS = 4, 16
"""A training text of less may stand in a held-out one by chance."""
RARE, MOST_RARE = 10.0, 5.0
EVIDENCE_PER_WORD = 7.0
"""A run has to have this evidence for each of `n` words but the first: 49 for eight, whose letters are about 35."""
SIMILAR_WORDS = 8
"""A held-out text of fewer is recognised by most of its words only where these are most of the training text's too."""
WHOLE_RARITY, LEAST_RARITY = 1.0, 0.5
"""As of one seed that no other held-out text has, or two that two have each: asked of a text of fewer words that stands
in the training text as a whole; and half of that of a near-duplicate."""
MOST_SHIFTS = 12


@dataclass(frozen=True, slots=True)
class Likeness:
    """What two texts have in common.

    Attributes:
        query, text: the training and the held-out text, by number.
        words: of the longest run that stands in both; `begin` and `end` say where in the training text, in letters.
        evidence: letters of that run's different words, and up to fifty more for how few held-out texts have it.
        rarity: sum over the common seeds of 1 / held-out texts that have it.
        of_query, of_text: share of each one's letters that stands in runs of `SEED` letters and more.
        in_order: words that stand in both in one order; `of_words` is their share of the held-out text's words.
    """

    query: int
    text: int
    words: int
    begin: int
    end: int
    evidence: float
    rarity: float
    of_query: float
    of_text: float
    in_order: int
    of_words: float
    query_words: int
    query_letters: int
    text_words: int
    text_letters: int


@dataclass(frozen=True, slots=True)
class _Run:
    """Letters in a row that stand in both texts: where in the held-out one, how much further on in the other."""

    begin: int
    end: int
    shift: int


def compare(
    candidate: Candidate, queries: Letters, text: Letters, n: int, is_common: Callable[[int, int], bool]
) -> Likeness:
    """Align a candidate's two texts.

    Args:
        candidate: which.
        queries: the training texts.
        text: the held-out text alone.
        n: words of a run that counts.
        is_common: whether a stretch of the training text, in letters, is one that many training tasks have.
    """
    own, other = queries.of(candidate.query), text.of(0)
    runs = list(_runs(candidate, own, other))
    in_own, in_other = np.zeros(len(own), dtype=bool), np.zeros(len(other), dtype=bool)
    for run in runs:
        in_other[run.begin : run.end] = True
        in_own[run.begin + run.shift : run.end + run.shift] = True
    begins, ends = text.words(0)
    words, evidence, longest = 0, 0.0, _Run(0, 0, 0)
    for run in runs:
        is_inside = (begins >= run.begin) & (ends <= run.end)
        if is_inside.sum() < n or is_common(run.begin + run.shift, run.end + run.shift):
            continue
        letters = _distinct(text, begins[is_inside], ends[is_inside])
        found = letters + RARE * min(MOST_RARE, _rarity(candidate, run))
        if found > evidence:
            words, evidence, longest = int(is_inside.sum()), found, run
    in_order = _in_order(candidate, queries, text) if candidate.share >= NEAR_SHARE else 0
    return Likeness(
        query=candidate.query,
        text=candidate.text,
        words=words,
        begin=longest.begin + longest.shift,
        end=longest.end + longest.shift,
        evidence=evidence,
        rarity=float((1.0 / candidate.counts).sum()),
        of_query=float(in_own.mean()),
        of_text=float(in_other.mean()),
        in_order=in_order,
        of_words=in_order / len(begins),
        query_words=len(queries.words(candidate.query)[0]),
        query_letters=len(own),
        text_words=len(begins),
        text_letters=len(other),
    )


def judge(found: Likeness, n: int, near_duplicate: float) -> Kind | None:
    """Return how the training text repeats the held-out one, None where it does not.

    Args:
        found: what they have in common.
        n: words of a run.
        near_duplicate: share of the words.
    """
    is_long = found.text_words >= LEAST_WORDS and found.text_letters >= LEAST_LETTERS
    if is_long and found.of_text >= NEARLY and (found.text_words >= SIMILAR_WORDS or found.rarity >= WHOLE_RARITY):
        return "whole"
    if found.of_query >= NEARLY and found.query_words >= INSIDE_WORDS and found.query_letters >= INSIDE_LETTERS:
        return "inside"
    if found.of_words >= near_duplicate and _is_telling(found, near_duplicate):
        return "words"
    if found.words >= n and found.evidence >= EVIDENCE_PER_WORD * (n - 1):
        return "run"
    return None


def _is_telling(found: Likeness, near_duplicate: float) -> bool:
    """Whether a near-duplicate's words are most of the training text's as well, or enough of them, and rare ones."""
    is_all = found.in_order >= max(LEAST_WORDS, near_duplicate * found.query_words)
    return is_all or (found.text_words >= SIMILAR_WORDS and found.rarity >= LEAST_RARITY)


def _runs(candidate: Candidate, own: NDArray[np.uint32], other: NDArray[np.uint32]) -> Iterator[_Run]:
    """Give every stretch of at least `SEED` letters that stands in both texts, for the shifts with most seeds."""
    shifts, counts = np.unique(candidate.shifts, return_counts=True)
    for shift in shifts[np.argsort(-counts, kind="stable")][:MOST_SHIFTS].tolist():
        low, high = max(0, -shift), min(len(other), len(own) - shift)
        is_equal = np.zeros(high - low + 2, dtype=np.int8)
        is_equal[1:-1] = other[low:high] == own[low + shift : high + shift]
        edges = np.flatnonzero(np.diff(is_equal)) + low
        for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if end - begin >= SEED:
                yield _Run(begin, end, shift)


def _rarity(candidate: Candidate, run: _Run) -> float:
    is_inside = (candidate.places >= run.begin) & (candidate.places + SEED <= run.end)
    is_inside &= candidate.shifts == run.shift
    return float((1.0 / candidate.counts[is_inside]).sum())


def _distinct(text: Letters, begins: Places, ends: Places) -> int:
    """Return the letters of words, each counted once: formulas repeat themselves."""
    found, first = np.unique(text.fingerprints(begins, ends), return_index=True)
    return int((ends - begins)[first].sum()) if len(found) else 0


def _in_order(candidate: Candidate, queries: Letters, text: Letters) -> int:
    """Return the longest common subsequence of words, within the part of the training text that lies opposite."""
    shifts, counts = np.unique(candidate.shifts, return_counts=True)
    shift, size = int(shifts[np.argmax(counts)]), len(text.codes)
    slack = max(8, size // 6)
    begins, ends = queries.words(candidate.query)
    is_opposite = (begins >= shift - slack) & (ends <= shift + size + slack)
    own = _hashes(queries, candidate.query, begins[is_opposite], ends[is_opposite])
    return int(LCSseq.similarity(own, _hashes(text, 0, *text.words(0))))


def _hashes(letters: Letters, text: int, begins: Places, ends: Places) -> list[int]:
    first = letters.bounds[text]
    found: list[int] = letters.fingerprints(begins + first, ends + first).tolist()
    return found
