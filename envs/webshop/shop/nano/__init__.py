"""The world that sage-nano is trained on, drawn anew with each seed: families of largely made-up words.

A small model that always saw the same words would learn them by heart; one that never sees a word twice has to copy
and to match. Fixed words are in `pool.toml`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from random import Random

from envs.webshop.shop.family import LEVEL_MARK, Attribute, Family, Role, World
from envs.webshop.shop.nano.options import draw_options
from envs.webshop.shop.nano.words import Pool, brand, invent, load_pool, reserved_phrases

__all__ = ["draw_world"]

PRODUCTS_A_FAMILY = 14
MAX_FAMILIES = 2000
TRANSFER_EVERY = 8
RELATED_SHARE = 0.4
"""Share of families that are made to be mistaken for their neighbour."""


def _draw_families(seed: int, size: int) -> tuple[Family, ...]:
    """Invent the families of a shop of `size` products: about 14 products each, at most 2,000 families."""
    pool = load_pool()
    count = min(MAX_FAMILIES, max(8, size // PRODUCTS_A_FAMILY))
    departments = _departments(pool, Random(f"nano/{seed}/departments"))
    seen = set(reserved_phrases())
    families: list[Family] = []
    for at in range(count):
        rng = Random(f"nano/{seed}/family/{at}")
        is_transfer = at % TRANSFER_EVERY == TRANSFER_EVERY - 1
        family = _family(pool, rng, departments, is_transfer=is_transfer, seen=seen)
        if families and families[-1].is_transfer == is_transfer and rng.random() < RELATED_SHARE:
            family = _related(families[-1], family, rng, seen)
        families.append(family)
    return tuple(families)


def _related(near: Family, far: Family, rng: Random, seen: set[str]) -> Family:
    """Give a family its neighbour's maker, options, half its attributes and the head of its name: easily confused."""
    head = near.nouns[0].split()[-1].lower()
    noun = _fresh(lambda: f"{invent(rng)} {head}", seen)
    attributes = [*rng.sample(near.attributes, len(near.attributes) // 2), *far.attributes[: len(far.attributes) // 2]]
    return replace(
        far,
        department=near.department,
        path=LEVEL_MARK.join([*near.path.split(LEVEL_MARK)[:2], _plural(noun).title()]),
        query=_plural(noun),
        nouns=(noun.title(),),
        brands=near.brands,
        attributes=tuple(attributes),
        extras=tuple(dict.fromkeys([*near.extras[::2], *far.extras[::2]])),
        options=near.options,
    )


def _departments(pool: Pool, rng: Random) -> list[str]:
    invented = [invent(rng) + rng.choice(("ics", "ry", " goods", "craft", "ware")) for _ in range(4)]
    return [*rng.sample(pool.departments, 4), *invented]


def _family(pool: Pool, rng: Random, departments: list[str], *, is_transfer: bool, seen: set[str]) -> Family:
    strangeness = rng.choice((0.2, 0.4, 0.6, 0.8, 1.0))

    def word(choices: Sequence[str]) -> str:
        return invent(rng) if rng.random() < strangeness else rng.choice(choices)

    noun = _fresh(lambda: _noun(pool, rng, word), seen)
    department = rng.choice(departments[1::2] if is_transfer else departments[::2])
    levels = [department.title(), rng.choice(pool.aisles), *([word(pool.departments).title()] * (rng.random() < 0.6))]
    low = round(rng.lognormvariate(2.9, 1.0) + 2, 2)
    return Family(
        department=department,
        path=LEVEL_MARK.join([*levels, _plural(noun).title()]),
        query=_query(pool, rng, noun),
        nouns=(noun.title(), *([_variant(rng, noun, word(pool.nouns))] * (rng.random() < 0.6))),
        brands=tuple(brand(rng) for _ in range(rng.randint(4, 9))),
        attributes=_attributes(pool, rng, word, seen),
        extras=tuple(_extra(pool, rng) for _ in range(rng.randint(9, 14))),
        options=draw_options(pool, rng),
        price_low=min(low, 600.0),
        price_high=min(low * rng.uniform(1.5, 4.5), 900.0),
        share=rng.choice((1, 1, 2, 3)),
        is_transfer=is_transfer,
    )


def _fresh(draw: Callable[[], str], seen: set[str]) -> str:
    """Draw until the text is new to this shop, so that transfer families share no type and no attribute."""
    while (text := draw()) in seen:
        pass
    seen.add(text)
    return text


def _noun(pool: Pool, rng: Random, word: Callable[[Sequence[str]], str]) -> str:
    head = word(pool.nouns)
    shape = rng.random()
    if shape < 0.35:
        return f"{word(pool.first_words)} {head}"
    if shape < 0.5:
        return f"{word(pool.first_words)} {invent(rng)} {head.split()[-1]}"
    return f"{invent(rng)} {head}" if shape < 0.8 else head


def _variant(rng: Random, noun: str, other: str) -> str:
    return f"{noun} {other}".title() if rng.random() < 0.5 else f"{other} {noun}".title()


def _plural(noun: str) -> str:
    if noun.endswith("s"):
        return noun
    return noun + ("es" if noun.endswith(("x", "sh", "ch", "z")) else "s")


def _query(pool: Pool, rng: Random, noun: str) -> str:
    shape = rng.random()
    if shape < 0.55:
        return _plural(noun)
    if shape < 0.7:
        return f"{noun} {rng.choice(pool.kinds)}"
    if shape < 0.8:
        return f"{rng.choice(pool.owners)} {_plural(noun)}"
    if shape < 0.92:
        return f"{_plural(noun)} & {_plural(invent(rng))}"
    return f"{_plural(noun)}, {_plural(invent(rng))} & {rng.choice(pool.kinds)}"


def _attributes(pool: Pool, rng: Random, word: Callable[[Sequence[str]], str], seen: set[str]) -> tuple[Attribute, ...]:
    last: dict[Role, tuple[str, ...]] = {"plain": pool.plain_words, "with": pool.part_words, "for": pool.place_words}
    counts: dict[Role, int] = {"plain": rng.randint(5, 8), "with": rng.randint(3, 6), "for": rng.randint(2, 5)}
    return tuple(
        Attribute(_fresh(partial(_phrase, pool, rng, word, last[role]), seen), role)
        for role, count in counts.items()
        for _ in range(count)
    )


def _phrase(pool: Pool, rng: Random, word: Callable[[Sequence[str]], str], last: tuple[str, ...]) -> str:
    first, second = word(pool.first_words), word(last)
    shape = rng.random()
    if shape < 0.82:
        return f"{first} {second}"
    if shape < 0.9:
        return f"{first} {invent(rng)} {second}"
    return f"{first}-{second}" if shape < 0.95 else f"{rng.randint(2, 99)} {second}"


def _extra(pool: Pool, rng: Random) -> str:
    shape = rng.random()
    if shape < 0.4:
        return rng.choice(pool.extras)
    if shape < 0.7:
        return f"{invent(rng)} {invent(rng)}".title()
    if shape < 0.85:
        return f"{rng.choice(pool.first_words)} {invent(rng)}".title()
    return f"{invent(rng).upper()}-{rng.randint(10, 9900)}"


def draw_world(seed: int, size: int) -> World:
    """Draw nano's world for a seed."""
    return World("nano", seed, _draw_families(seed, size), load_pool().phrasing)
