"""Pronounceable words that no language has, in many shapes: an endless supply of unseen vocabulary."""

from __future__ import annotations

from random import Random

__all__ = ["invent_word"]

# Repeated sounds are the commoner ones.
ONSETS: tuple[str, ...] = (
    *("bbccdddffghhjklllmmmnnpprrssstttvwyz"),
    *("br", "bl", "ch", "cl", "cr", "dr", "fl", "fr", "gl", "gr", "pl", "pr", "qu", "sc", "sh", "sk", "sl"),
    *("sm", "sn", "sp", "st", "st", "str", "sw", "th", "th", "tr", "tw", "wh"),
)
NUCLEI: tuple[str, ...] = (*("aaaaaeeeeeiiiioooouuu"), "ai", "ar", "ea", "ee", "er", "or", "oa", "oo", "ou", "ow")
CODAS: tuple[str, ...] = (
    *("bddgllmmnnnpprrsstttx"),
    *("ck", "ff", "ll", "lt", "mp", "nd", "ng", "nk", "nt", "rd", "rk", "rm", "rn", "ss", "st", "th"),
)
ENDINGS: tuple[str, ...] = (
    *("able", "al", "ane", "ant", "ar", "ary", "een", "el", "ella", "en", "er", "et", "ette", "ic", "id", "ine"),
    *("ing", "ish", "ism", "ite", "ium", "le", "ling", "o", "on", "or", "ory", "us", "y"),
)


def _syllable(rng: Random, at: int, *, is_closed: bool) -> str:
    onset = rng.choice(ONSETS) if rng.random() < (0.94 if at else 0.85) else ""
    return onset + rng.choice(NUCLEI) + (rng.choice(CODAS) if is_closed else "")


def invent_word(rng: Random) -> str:
    """Return a lower-case pseudo-word of one to four syllables, 3 to 11 letters."""
    while True:
        count = rng.choices((1, 2, 3, 4), weights=(24, 54, 19, 3))[0]
        closings = [rng.random() < (0.75 if at == count - 1 else 0.25) for at in range(count)]
        parts = [_syllable(rng, at, is_closed=is_closed) for at, is_closed in enumerate(closings)]
        word = "".join(parts)
        if rng.random() < 0.25 and word[-1] not in "aeiouwy":
            word += rng.choice(ENDINGS)
        if 3 <= len(word) <= 11:
            return word
