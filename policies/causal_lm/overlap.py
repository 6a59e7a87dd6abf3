"""How much of a choice the instruction names, as one token: plain word overlap, read off what the policy is shown.

A model of a few million parameters needs most of its training, and all of its depth, to compare two texts on one page;
a shopper's assistant that underlines matching words needs none. Nothing hidden is read: the instruction and the choice
stand in the prompt already.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

__all__ = ["MOST_WORDS", "count_lacking", "is_named", "shared_words", "words_of"]

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


def is_named(instruction: str, choice: str) -> bool:
    """Whether the whole `group: value` stands in the instruction, and ends there: `color: navy` is not `navy blue`."""
    return _place_named(instruction, choice) is not None


def count_lacking(instruction: str, choices: Iterable[str]) -> int:
    """Count what the instruction asks for as `group: value` and none of the choices offers, at most `MOST_WORDS`."""
    asked = {found.start() for found in re.finditer(": ", instruction)}
    offered = {_place_named(instruction, choice) for choice in choices}
    return min(MOST_WORDS, len(asked - offered))


@lru_cache(maxsize=200_000)
def _place_named(instruction: str, choice: str) -> int | None:
    """Return where the colon of a choice that is named in full stands in the instruction."""
    if ": " not in choice:
        return None
    found = re.search(re.escape(choice.lower()) + r"(?![\w ])", instruction.lower())
    return None if found is None else found.start() + choice.index(": ")
