"""Text to search terms, as Lucene's English analyser does it.

Steps: UAX#29 words (Lucene's `StandardTokenizer`, emoji included), possessive `'s` stripped, lower case, Lucene's 33
stop words, Porter stemmer. Source: apache/lucene, `StandardTokenizerImpl.jflex` (Unicode 12.1) and
`EnglishPossessiveFilter`; Anserini's `DefaultEnglishAnalyzer` chains them so.
"""

from __future__ import annotations

import re

import regex  # type: ignore[import-untyped]

from envs.webshop.porter import stem

__all__ = ["STOP_WORDS", "Analyzer"]

STOP_WORD_TEXT = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this "
    "to was will with"
)
STOP_WORDS = frozenset(STOP_WORD_TEXT.split())
MAX_TOKEN_LENGTH = 255
CACHE_LIMIT = 200_000

ASCII_WORD = re.compile(
    r"_*[A-Za-z0-9](?:[A-Za-z0-9_]|(?<=[A-Za-z])[:.'](?=[A-Za-z])|(?<=[0-9])[,;.'](?=[0-9]))*",
)

PICTOGRAPHS = (  # Extended_Pictographic of Unicode 12.1; later versions dropped many of these
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u2199\u21a9\u21aa\u231a\u231b\u2328\u2388\u23cf\u23e9-\u23f3"
    "\u23f8-\u23fa\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u2605\u2607-\u2612\u2614-\u2685\u2690-\u2705"
    "\u2708-\u2712\u2714\u2716\u271d\u2721\u2728\u2733\u2734\u2744\u2747\u274c\u274e\u2753-\u2755\u2757"
    "\u2763-\u2767\u2795-\u2797\u27a1\u27b0\u27bf\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50\u2b55\u3030\u303d"
    "\u3297\u3299\U0001f000-\U0001f0ff\U0001f10d-\U0001f10f\U0001f12f\U0001f16c-\U0001f171\U0001f17e\U0001f17f"
    "\U0001f18e\U0001f191-\U0001f19a\U0001f1ad-\U0001f1e5\U0001f201-\U0001f20f\U0001f21a\U0001f22f"
    "\U0001f232-\U0001f23a\U0001f23c-\U0001f23f\U0001f249-\U0001f3fa\U0001f400-\U0001f53d\U0001f546-\U0001f64f"
    "\U0001f680-\U0001f6ff\U0001f774-\U0001f77f\U0001f7d5-\U0001f7ff\U0001f80c-\U0001f80f\U0001f848-\U0001f84f"
    "\U0001f85a-\U0001f85f\U0001f888-\U0001f88f\U0001f8ae-\U0001f8ff\U0001f90c-\U0001f93a\U0001f93c-\U0001f945"
    "\U0001f947-\U0001fffd"
)


def _word_pattern() -> str:
    extra = r"[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*"
    letter = rf"[\p{{WB=ALetter}}\p{{WB=Hebrew_Letter}}]{extra}"
    digit = rf"\p{{WB=Numeric}}{extra}"
    katakana = rf"\p{{WB=Katakana}}{extra}"
    join = rf"\p{{WB=ExtendNumLet}}{extra}"
    hebrew = rf"\p{{WB=Hebrew_Letter}}{extra}"
    mid_letter = rf"[\p{{WB=MidLetter}}\p{{WB=MidNumLet}}']{extra}"
    mid_digit = rf"[\p{{WB=MidNum}}\p{{WB=MidNumLet}}']{extra}"
    letters = rf"{letter}(?:(?:(?:{join})*|{mid_letter}){letter})*"
    digits = rf"{digit}(?:(?:(?:{join})*|{mid_digit}){digit})*"
    hebrews = rf"{hebrew}(?:\"{extra}{hebrew})"
    run = rf"(?:{katakana}(?:(?:{join})*{katakana})*|(?:{hebrews}|{digits}|{letters})+)"
    return rf"(?:{join})*{run}(?:(?:{join})+{run})*(?:{join})*"


def _emoji_pattern() -> str:
    extra = rf"(?:(?![\ufe0e\ufe0f]|\u200d[{PICTOGRAPHS}])[\p{{WB=Extend}}\p{{WB=Format}}\p{{WB=ZWJ}}])*"
    modifier = r"[\U0001f3fb-\U0001f3ff]"
    one = rf"(?:\u200d*[{PICTOGRAPHS}]{extra}\ufe0f?|{modifier}{extra})"
    keycap = rf"[0-9#*]{extra}\ufe0f?\u20e3{extra}"
    flag = r"(?:[\U0001f1e6-\U0001f1ff][\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*){2}"
    return rf"{one}(?:[\U000e0020-\U000e007e]+\U000e007f|(?:\u200d{one})*)|{keycap}|{flag}"


UNICODE_WORD = regex.compile(
    rf"{_emoji_pattern()}|{_word_pattern()}"
    r"|(?:\p{LB=Complex_Context}[\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*)+"
    r"|[\p{Script=Han}\p{Script=Hiragana}][\p{WB=Extend}\p{WB=Format}\p{WB=ZWJ}]*",
    regex.V0,
)


class Analyzer:
    """Turns text into terms. Keeps a bounded table of words already stemmed; otherwise without state."""

    def __init__(self) -> None:
        self._terms: dict[str, str] = {}

    def __call__(self, text: str) -> list[str]:
        """Return the terms of `text` in order, repeated words repeated."""
        words: list[str] = ASCII_WORD.findall(text) if text.isascii() else UNICODE_WORD.findall(text)
        known = self._terms
        terms: list[str] = []
        for word in words:
            term = known.get(word)
            if term is None:
                if len(word) > MAX_TOKEN_LENGTH:
                    pieces = [word[i : i + MAX_TOKEN_LENGTH] for i in range(0, len(word), MAX_TOKEN_LENGTH)]
                    terms.extend(filter(None, map(to_term, pieces)))
                    continue
                term = self._remember(word)
            if term:
                terms.append(term)
        return terms

    def _remember(self, word: str) -> str:
        if len(self._terms) >= CACHE_LIMIT:
            self._terms.clear()
        term = self._terms[word] = to_term(word)
        return term


def to_term(word: str) -> str:
    """Return the term of one word, or the empty string for a stop word."""
    if len(word) >= 2 and word[-1] in "sS" and word[-2] in "'\u2019\uff07":
        word = word[:-2]
    word = word.lower()
    return "" if word in STOP_WORDS else stem(word)
