"""How much of a choice the instruction names, as one token: plain word overlap, read off what the policy is shown.

A model of a few million parameters needs most of its training, and all of its depth, to compare two texts on one page;
a shopper's assistant that underlines matching words needs none. Nothing hidden is read: the instruction and the choice
stand in the prompt already.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["MOST_WORDS", "is_named", "shared_words", "words_of"]

MOST_WORDS = 7
"""Shared words beyond so many count as so many."""
WORD = re.compile(r"[^\W_]+(?:[.'][^\W_]+)*")
GLUE = frozenset(
    WORD.findall(
        "a an and are as at be by dollars find for from i in is it like looking lower me my need of on or price than "
        "that the to want with would"
    )
)


@lru_cache(maxsize=200_000)
def words_of(text: str) -> frozenset[str]:
    """Return a text's distinct words in lower case, without glue words."""
    return frozenset(WORD.findall(text.lower())) - GLUE


def shared_words(instruction: str, choice: str) -> int:
    """Count the distinct words that both have, at most `MOST_WORDS`."""
    return min(MOST_WORDS, len(words_of(instruction) & words_of(choice)))


@lru_cache(maxsize=200_000)
def is_named(instruction: str, choice: str) -> bool:
    """Whether the whole `group: value` stands in the instruction, and ends there: `color: navy` is not `navy blue`."""
    if ": " not in choice:
        return False
    return re.search(re.escape(choice.lower()) + r"(?![\w ])", instruction.lower()) is not None
