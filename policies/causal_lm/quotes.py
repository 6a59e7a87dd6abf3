"""Quoting the instruction: free text is written by naming spans of words, two ids a span, instead of copying them.

A model of a few million parameters learns to point within minutes, and to copy words that it has never seen within
hours. Nothing is read but the instruction, which stands in the prompt with a mark behind each of its words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["MARK_COUNT", "MOST_SPANS", "Quotes", "span_of", "words_of"]

MARK_COUNT = 64
"""Words of an instruction beyond so many have no mark and cannot be quoted."""
MOST_SPANS = 4
PUNCTUATION = " ,;.:"
LISTED = re.compile(r"(?<=\w\()(?=\w+,)")


def words_of(instruction: str) -> list[str]:
    """Return an instruction's words: what spaces part, and `books(title, pages)` as `books(`, `title,` and `pages)`."""
    return LISTED.sub(" ", instruction).split()


@dataclass(frozen=True, slots=True)
class Quotes:
    """The ids of quoting.

    Attributes:
        quote: opens a quotation.
        marks: `marks[k]` stands behind the k-th word.
        end: closes it.
    """

    quote: int
    marks: tuple[int, ...]
    end: int

    def spell(self, spans: Sequence[tuple[int, int]]) -> tuple[int, ...]:
        """Return the ids that quote these spans (first and last word, from 0)."""
        return (self.quote, *(self.marks[place] for span in spans for place in span), self.end)

    def allowed(self, sampled: tuple[int, ...], words: int) -> tuple[int, ...]:
        """Return the ids that may follow `sampled`, which begins with `quote`, for an instruction of so many words."""
        marks = self.marks[: min(words, MARK_COUNT)]
        inside = len(sampled) - 1
        if inside % 2:
            return marks[self.marks.index(sampled[-1]) :]
        if inside == 2 * MOST_SPANS:
            return (self.end,)
        return marks if inside == 0 else (self.end, *marks)

    def read(self, sampled: Sequence[int], instruction: str) -> str:
        """Return the quoted words, each span without the punctuation around it; broken spans say nothing."""
        words = words_of(instruction)
        places = [self.marks.index(token) for token in sampled if token in self.marks]
        spans = zip(places[::2], places[1::2], strict=False)
        parts = (" ".join(words[first : last + 1]).strip(PUNCTUATION) for first, last in spans)
        return " ".join(part for part in parts if part)


def span_of(text: str, instruction: str) -> tuple[int, int] | None:
    """Return the first and last word of `text` where it stands in the instruction; None where it does not."""
    words = [word.strip(PUNCTUATION) for word in words_of(instruction.lower())[:MARK_COUNT]]
    wanted = [word.strip(PUNCTUATION) for word in text.lower().split()]
    for first in range(len(words) - len(wanted) + 1):
        if wanted and words[first : first + len(wanted)] == wanted:
            return first, first + len(wanted) - 1
    return None
