"""How MySQL 8 compares text by default: `utf8mb4_0900_ai_ci`, without regard to case and accents.

Only the collation's primary level decides there. It is had from Unicode's compatibility decomposition, which gives the
same equalities on European scripts; the order among punctuation is by code point, not by the DUCET table.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

__all__ = ["Key", "collate", "fold", "sort_key"]

Key = tuple[tuple[int, str], ...]

STRUCK = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "æ": "ae", "œ": "oe"})
"""Letters whose stroke or ligature is a secondary difference, but which Unicode does not decompose."""
SHORT = 100
"""Characters of the longest text whose key is kept for the next comparison."""
RANKS = {"Z": 0, "P": 0, "S": 1, "N": 2}


def fold(text: str) -> str:
    """Return what is left of a text on the primary level."""
    return _fold_short(text) if len(text) <= SHORT else _fold(text)


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text).casefold().translate(STRUCK)
    return "".join(c for c in unicodedata.normalize("NFKD", decomposed) if unicodedata.category(c) != "Mn")


def sort_key(text: str) -> Key:
    """Return what texts are ordered by: spaces and punctuation, then symbols, digits, letters."""
    return _key_short(text) if len(text) <= SHORT else _key(text)


def _key(text: str) -> Key:
    return tuple((RANKS.get(unicodedata.category(c)[0], 3), c) for c in fold(text))


_fold_short = lru_cache(maxsize=8192)(_fold)
_key_short = lru_cache(maxsize=8192)(_key)


def collate(left: str, right: str) -> int:
    """Return -1, 0 or 1, as `left` comes before, with or after `right`."""
    if left == right:
        return 0
    first, second = sort_key(left), sort_key(right)
    return (first > second) - (first < second)
