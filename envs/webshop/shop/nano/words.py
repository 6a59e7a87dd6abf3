"""The words of nano's world: the fixed pool, and invented ones that stand nowhere in the embedded shop."""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib.resources import files
from random import Random

from pydantic import BaseModel, ConfigDict

from envs.webshop.shop import embedded
from envs.webshop.shop.family import Family, Phrasing
from envs.webshop.shop.nano.syllables import invent_word

__all__ = ["Pool", "brand", "invent", "load_pool", "reserved_phrases", "words_of"]

WORD = re.compile(r"[^\W\d_]+")


class Pool(BaseModel):
    """The fixed words of nano's world, as `pool.toml` holds them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    departments: tuple[str, ...]
    aisles: tuple[str, ...]
    nouns: tuple[str, ...]
    kinds: tuple[str, ...]
    owners: tuple[str, ...]
    first_words: tuple[str, ...]
    plain_words: tuple[str, ...]
    part_words: tuple[str, ...]
    place_words: tuple[str, ...]
    extras: tuple[str, ...]
    colors: tuple[str, ...]
    color_words: tuple[str, ...]
    styles: tuple[str, ...]
    finishes: tuple[str, ...]
    phrasing: Phrasing


@lru_cache(maxsize=1)
def load_pool() -> Pool:
    """Read the fixed words."""
    return Pool.model_validate(tomllib.loads(files(__package__).joinpath("pool.toml").read_text("utf-8")))


def words_of(family: Family) -> frozenset[str]:
    """Return every word, in lower case, of a family's type, department, brands, attributes and option values."""
    texts = [family.department, family.path, family.query, *family.nouns, *family.brands]
    texts += [attribute.text for attribute in family.attributes]
    texts += [value for group in family.options for value in group.values]
    return frozenset(WORD.findall(" ".join(texts).lower()))


@lru_cache(maxsize=1)
def _reserved() -> frozenset[str]:
    return frozenset[str]().union(*map(words_of, embedded.draw_world(0, 1).families))


@lru_cache(maxsize=1)
def reserved_phrases() -> frozenset[str]:
    """Return the product types and attributes of the embedded shop, in lower case."""
    families = embedded.draw_world(0, 1).families
    types = {text.lower() for family in families for text in (family.query, *family.nouns)}
    return frozenset(types | {attribute.text for family in families for attribute in family.attributes})


def invent(rng: Random) -> str:
    """Return a pseudo-word that the embedded shop does not have."""
    while (word := invent_word(rng)) in _reserved():
        pass
    return word


def brand(rng: Random) -> str:
    """Return pseudo-words dressed as a brand: `Velmarin`, `KROVIT`, `TwaSkell`, `Glee & Morb`, `Zunt9`, `O-Plim`."""
    word, other = invent(rng), invent(rng)
    shape = rng.random()
    if shape < 0.45:
        return word.capitalize()
    if shape < 0.62:
        return word.upper()
    if shape < 0.76:
        return word[:6].capitalize() + other[:6].capitalize()
    if shape < 0.84:
        return f"{word.capitalize()} & {other.capitalize()}"
    if shape < 0.91:
        return f"{word.capitalize()} {other.capitalize()}"
    if shape < 0.96:
        return f"{word.capitalize()}{rng.randint(2, 99)}"
    return f"{rng.choice('AEIOUXZ')}-{word.capitalize()}"
