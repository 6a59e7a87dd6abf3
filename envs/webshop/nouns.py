"""The nouns of a title, by which a purchase's kind is compared with the goal's.

Three sources: a file (title nouns of the public set were taken with spaCy's en_core_web_sm), spaCy itself when it and
the model are installed, or a fallback. The fallback takes every word of the title that is no number, no measure and
no function word: nouns and names are most of what a title holds, but adjectives slip in. Of 3,000 recorded purchases
of the public set, its overlaps lead to the same reward for the kind as spaCy's in 95 %.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from envs.webshop.catalog import Product
from envs.webshop.records import read_json
from sage_gym.errors import CatalogError

__all__ = ["Nouns", "fallback_nouns", "has_spacy", "nouns_from_file", "spacy_nouns"]

Nouns = Callable[[Product], tuple[str, ...]]
SPACY_MODEL = "en_core_web_sm"
NOUN_TAGS = frozenset({"NOUN", "PROPN"})
WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
FUNCTION_WORD_TEXT = (
    "a about above after all also an and any are as at be below between both but by can compatible each easy extra "
    "fits for free from great has have high in inch inches into is it its large less long low made medium more most "
    "multi mini new no non not of off on one only or other our out over oz per perfect plus short slim small soft "
    "such super than that the their these this to two ultra under up us use used very was we with within without x "
    "you your"
)
FUNCTION_WORDS = frozenset(FUNCTION_WORD_TEXT.split())


def nouns_from_file(path: Path) -> Nouns:
    """Read an object from asin to nouns.

    Upstream counts a goal's repeated nouns; a list that holds each noun once is therefore expanded by how often the
    noun stands in the title. (Of 3,000 recorded rewards of the public set none differ by that, 96 overlaps do: a word
    that is a noun in one place and a verb in another.)

    Raises:
        CatalogError: the file is no such object; later, a product is not in it.
    """
    found: Mapping[str, Any] = read_json(path)
    if not isinstance(found, dict) or not all(isinstance(listed, list) for listed in found.values()):
        raise CatalogError(f"{path}: expected an object from asin to a list of nouns")

    @lru_cache(maxsize=100_000)
    def expand(asin: str, title: str) -> tuple[str, ...]:
        nouns = found.get(asin)
        if nouns is None:
            raise CatalogError(f"{path}: expected nouns for {asin}, got none; leave title_nouns out")
        if len(set(nouns)) < len(nouns):
            return tuple(nouns)
        return tuple(noun for noun in nouns for _ in range(count_in(title.lower(), noun)))

    return lambda product: expand(product.asin, product.title)


def count_in(text: str, noun: str) -> int:
    """Count how often `noun` stands in `text` between word boundaries, at least once."""
    return len(re.findall(rf"(?<![^\W_]){re.escape(noun)}(?![^\W_])", text)) or 1


def has_spacy() -> bool:
    """Whether spaCy and its small English model are installed."""
    return importlib.util.find_spec("spacy") is not None and importlib.util.find_spec(SPACY_MODEL) is not None


def spacy_nouns() -> Nouns:
    """Tag titles with spaCy, one product at a time, remembering the last 100,000."""
    tag = importlib.import_module(SPACY_MODEL).load()

    @lru_cache(maxsize=100_000)
    def of_title(title: str) -> tuple[str, ...]:
        return tuple(token.text.lower() for token in tag(title) if token.pos_ in NOUN_TAGS)

    return lambda product: of_title(product.title)


def fallback_nouns(product: Product) -> tuple[str, ...]:
    """Take the words of the title that may be nouns, lower-cased, in order, repeats kept."""
    words = WORD.findall(product.title.lower())
    return tuple(word for word in words if word not in FUNCTION_WORDS and len(word) > 1)
