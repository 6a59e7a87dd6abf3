"""One product out of a world, as a pure function of its index: what it is, before any words are put to it.

Products come in *lines*: siblings of one maker that share most attributes and differ in a few, in price, and as the
family's shelf has it in the options they offer. They are what makes a search return right and nearly right products
side by side. A line never straddles two splits.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from envs.webshop.shop.family import Attribute, Family, OptionGroup, Shelf, Split, World

__all__ = ["Draft", "Offer", "Place", "asin_of", "draw_draft", "place_of", "split_of"]

GOAL_SHARE = 0.78
"""Share of products that an instruction is written for."""
ASIN_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ASIN_RANGE = len(ASIN_ALPHABET) ** 8


@dataclass(frozen=True, slots=True)
class Offer:
    """An option group as one product offers it; `values` is empty where the shop lists a group without values."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """What one product is. `wanted` are the attributes an instruction asks for, none where it has no instruction."""

    asin: str
    split: Split
    family: Family
    brand: str
    noun: str
    model: str
    attributes: tuple[Attribute, ...]
    wanted: tuple[Attribute, ...]
    extras: tuple[str, ...]
    offers: tuple[Offer, ...]
    price_low: float
    price_high: float
    index: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a product stands: its family's number, its line within the family, its number within the line."""

    family: int
    line: int
    sibling: int


@lru_cache(maxsize=8)
def _schedule(world: World) -> tuple[int, ...]:
    """The families' numbers in the order in which successive products take them, by their shares."""
    turns = max(family.share for family in world.families)
    return tuple(at for turn in range(turns) for at, family in enumerate(world.families) if family.share > turn)


@lru_cache(maxsize=8)
def _earlier(world: World) -> tuple[int, ...]:
    """How many earlier slots of the schedule hold the same family."""
    counts = [0] * len(world.families)
    found = []
    for family in _schedule(world):
        found.append(counts[family])
        counts[family] += 1
    return tuple(found)


@lru_cache(maxsize=8)
def _deals(world: World) -> tuple[tuple[int, int], ...]:
    """Where in the world's `line_splits` each family's first line falls, and how far on its next one."""
    if not world.is_dealt_by_shelf:
        return tuple((at, 1) for at in range(len(world.families)))
    shelves = [family.shelf for family in world.families if not family.is_transfer]
    before: Counter[Shelf] = Counter()
    found = []
    for family in world.families:
        found.append((before[family.shelf], shelves.count(family.shelf)))
        before[family.shelf] += not family.is_transfer
    return tuple(found)


def place_of(world: World, index: int) -> Place:
    """Return where product number `index` stands."""
    slots = _schedule(world)
    cycle, slot = divmod(index, len(slots))
    family = slots[slot]
    number = cycle * world.families[family].share + _earlier(world)[slot]
    sizes = world.families[family].shelf.line_sizes
    period, rest = divmod(number, sum(sizes))
    for at, size in enumerate(sizes):
        if rest < size:
            return Place(family, period * len(sizes) + at, rest)
        rest -= size
    raise AssertionError("a remainder lies below its divisor")


def split_of(world: World, index: int) -> Split:
    """Return the split of a product, without drawing it."""
    place = place_of(world, index)
    if world.families[place.family].is_transfer:
        return "transfer"
    first, step = _deals(world)[place.family]
    return world.line_splits[(first + step * place.line) % len(world.line_splits)]


def asin_of(world: World, index: int) -> str:
    """Return a product's identifier: ten characters, unique within the shop."""
    offset = int.from_bytes(hashlib.blake2b(f"{world.name}/{world.seed}".encode(), digest_size=8).digest())
    number = (index * 1_597_463_007_847 + offset) % ASIN_RANGE  # the factor is odd and no multiple of 3: a bijection
    digits = []
    for _ in range(8):
        number, digit = divmod(number, len(ASIN_ALPHABET))
        digits.append(ASIN_ALPHABET[digit])
    return "B0" + "".join(digits)


def draw_draft(world: World, index: int) -> Draft:
    """Draw product number `index` of a world."""
    place = place_of(world, index)
    family = world.families[place.family]
    line = Random(f"{world.name}/{world.seed}/line/{place.family}/{place.line}")
    own = Random(f"{world.name}/{world.seed}/product/{index}")
    brand, noun = line.choice(family.brands), family.nouns[0] if line.random() < 0.7 else line.choice(family.nouns)
    weights = family.shelf.attributes
    count = line.choices(range(3, 3 + len(weights)), weights)[0]
    attributes = line.sample(family.attributes, min(len(family.attributes), count))
    extras = line.sample(family.extras, min(len(family.extras), line.randint(4, 7)))
    offers = _offers(family.options, line)
    if family.shelf.is_standard:
        offers = _standard(family, Random(f"{world.name}/{world.seed}/family/{place.family}"))
    price = family.price_low * (family.price_high / family.price_low) ** (line.random() * family.shelf.price_spread)
    if place.sibling:
        attributes = _vary_attributes(attributes, family, own)
        offers = [_vary_offer(offer, family, own) for offer in offers]
        price *= own.lognormvariate(0.2, 0.65)
    wanted = _wanted(attributes, family.shelf.wanted, own) if own.random() < GOAL_SHARE else ()
    low, high = _price_range(price, own)
    return Draft(
        asin=asin_of(world, index), split=split_of(world, index), family=family, brand=brand, noun=noun,
        model=f"{brand[:2].upper()}{line.randint(10, 999)}", attributes=tuple(attributes), wanted=wanted,
        extras=tuple(extras), offers=tuple(offers), price_low=low, price_high=high, index=index,
    )  # fmt: skip


VALUES_SHAPES = ((1.2, 1.0), (1.1, 0.7), (0.0, 0.7))
"""Parameters of the log-normal number of values beyond a group's least, for the first, second and later groups."""
STANDARD_VALUES = (5, 4, 3)
"""How many values the first, second and later groups have where all products of a family offer the same."""


def _vary_attributes(attributes: Sequence[Attribute], family: Family, rng: Random) -> list[Attribute]:
    """Drop some of a line's attributes and put in as many others."""
    dropped = min(len(attributes) - 1, rng.choices(range(len(family.shelf.varied)), family.shelf.varied)[0])
    kept = rng.sample(attributes, len(attributes) - dropped)
    others = [attribute for attribute in family.attributes if attribute not in attributes]
    return [*kept, *rng.sample(others, min(dropped, len(others)))]


def _wanted(attributes: Sequence[Attribute], weights: Sequence[int], rng: Random) -> tuple[Attribute, ...]:
    count = min(len(attributes), rng.choices(range(1, len(weights) + 1), weights)[0])
    chosen = rng.sample(attributes, count)
    return tuple(attribute for role in ("plain", "with", "for") for attribute in chosen if attribute.role == role)


def _offers(groups: Sequence[OptionGroup], rng: Random) -> list[Offer]:
    """Draw a line's options. One line in sixteen has none; one group in thirty is listed without values."""
    if rng.random() < 1 / 16:
        return []
    chosen = [group for group in groups if rng.random() < 0.88]
    return [
        Offer(group.name, () if rng.random() < 1 / 30 else _values(group, at, rng)) for at, group in enumerate(chosen)
    ]


def _values(group: OptionGroup, at: int, rng: Random) -> tuple[str, ...]:
    """Draw the values of group number `at`; later ones hold few, or combinations would run into thousands."""
    more = rng.lognormvariate(*VALUES_SHAPES[min(at, len(VALUES_SHAPES) - 1)])
    count = min(group.high, len(group.values), group.low + int(more))
    return _in_order(rng.sample(group.values, count), group)


def _in_order(values: Sequence[str], group: OptionGroup) -> tuple[str, ...]:
    kept = set(values)
    return tuple(value for value in group.values if value in kept)


def _standard(family: Family, rng: Random) -> list[Offer]:
    """Draw the values that all products of a family offer."""
    counts = [STANDARD_VALUES[min(at, len(STANDARD_VALUES) - 1)] for at in range(len(family.options))]
    return [
        Offer(group.name, _in_order(rng.sample(group.values, min(len(group.values), count)), group))
        for group, count in zip(family.options, counts, strict=True)
    ]


def _vary_offer(offer: Offer, family: Family, rng: Random) -> Offer:
    """Take some of the line's values away and put in others: what one sibling lacks, another has."""
    group = next(group for group in family.options if group.name == offer.name)
    if not offer.values or rng.random() < 0.08 or family.shelf.kept == 1.0:
        return offer
    kept = [value for value in offer.values if rng.random() < family.shelf.kept]
    others = [value for value in group.values if value not in offer.values]
    added = rng.sample(
        others, min(len(others), rng.randint(1, max(1, round(len(offer.values) * (1 - family.shelf.kept)))))
    )
    return Offer(offer.name, _in_order([*kept, *added], group) or offer.values)


def _price_range(price: float, rng: Random) -> tuple[float, float]:
    """Round a price as shops do; one in five products has a range."""
    low = max(0.99, round(price) - rng.choice((0.01, 0.01, 0.05, 0.5, 0.0, round(rng.random(), 2))))
    high = low * rng.uniform(1.1, 1.8) if rng.random() < 0.2 else low
    return round(low, 2), round(high, 2)
