"""Porter's stemmer with its author's two later departures, `-bli` → `-ble` and `-logi` → `-log`.

Source: M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980, and the departures listed at
tartarus.org/martin/PorterStemmer. As in Lucene, words of one or two characters stay as they are, and whatever is
not a vowel letter counts as a consonant.
"""

from __future__ import annotations

__all__ = ["stem"]

STEP_2 = (
    ("ational", "ate"), ("tional", "tion"), ("enci", "ence"), ("anci", "ance"), ("izer", "ize"), ("bli", "ble"),
    ("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous"), ("ization", "ize"), ("ation", "ate"),
    ("ator", "ate"), ("alism", "al"), ("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous"), ("aliti", "al"),
    ("iviti", "ive"), ("biliti", "ble"), ("logi", "log"),
)  # fmt: skip
STEP_3 = (
    ("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", ""),
)  # fmt: skip
STEP_4 = (
    "al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ion", "ou", "ism", "ate", "iti",
    "ous", "ive", "ize",
)  # fmt: skip


def stem(word: str) -> str:
    """Return the stem of a lower-case word."""
    if len(word) <= 2:
        return word
    word = _past(_plural(word))
    if word.endswith("y") and _has_vowel(word[:-1]):
        word = word[:-1] + "i"
    word = _replace(_replace(word, STEP_2), STEP_3)
    return _final(_strip(word))


def _shape(word: str) -> str:
    """Spell `word` in c and v; y is a vowel after a consonant."""
    out = ""
    for i, letter in enumerate(word):
        is_vowel = letter in "aeiou" or (letter == "y" and i > 0 and out[-1] == "c")
        out += "v" if is_vowel else "c"
    return out


def _measure(stem_: str) -> int:
    return _shape(stem_).count("vc")


def _has_vowel(stem_: str) -> bool:
    return "v" in _shape(stem_)


def _is_double(word: str) -> bool:
    return len(word) >= 2 and word[-1] == word[-2] and _shape(word)[-1] == "c"


def _is_cvc(word: str) -> bool:
    return len(word) >= 3 and _shape(word)[-3:] == "cvc" and word[-1] not in "wxy"


def _plural(word: str) -> str:
    if not word.endswith("s"):
        return word
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word if word.endswith("ss") else word[:-1]


def _past(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for suffix in ("ed", "ing"):
        if word.endswith(suffix):
            base = word[: -len(suffix)]
            return _restore(base) if _has_vowel(base) else word
    return word


def _restore(base: str) -> str:
    if base.endswith(("at", "bl", "iz")):
        return base + "e"
    if _is_double(base):
        return base if base[-1] in "lsz" else base[:-1]
    return base + "e" if _measure(base) == 1 and _is_cvc(base) else base


def _replace(word: str, table: tuple[tuple[str, str], ...]) -> str:
    for suffix, new in table:
        if word.endswith(suffix):
            base = word[: -len(suffix)]
            return base + new if _measure(base) > 0 else word
    return word


def _strip(word: str) -> str:
    for suffix in STEP_4:
        if not word.endswith(suffix):
            continue
        base = word[: -len(suffix)]
        if suffix == "ion" and not base.endswith(("s", "t")):
            continue
        return base if _measure(base) > 1 else word
    return word


def _final(word: str) -> str:
    if word.endswith("e"):
        count = _measure(word[:-1])
        if count > 1 or (count == 1 and not _is_cvc(word[:-1])):
            word = word[:-1]
    if word.endswith("ll") and _measure(word) > 1:
        word = word[:-1]
    return word
