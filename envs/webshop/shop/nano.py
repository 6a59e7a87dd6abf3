"""The world that sage-nano is trained on, drawn anew with each seed: families of largely made-up words.

A small model that always saw the same words would learn them by heart; one that never sees a word twice has to copy
and to match. Fixed words are in `nano.toml`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.resources import files
from random import Random

from pydantic import BaseModel, ConfigDict

from envs.webshop.shop.family import LEVEL_MARK, Attribute, Family, OptionGroup, Phrasing, Role, World
from envs.webshop.shop.syllables import invent_brand, invent_word

__all__ = ["NanoPool", "draw_world", "load_pool"]

PRODUCTS_A_FAMILY = 14
MAX_FAMILIES = 2000
TRANSFER_EVERY = 8
RELATED_SHARE = 0.4
"""Share of families that are made to be mistaken for their neighbour."""


class NanoPool(BaseModel):
    """The fixed words of nano's world, as `nano.toml` holds them."""

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


def load_pool() -> NanoPool:
    """Read the fixed words."""
    return NanoPool.model_validate(tomllib.loads(files(__package__).joinpath("nano.toml").read_text("utf-8")))


def draw_families(seed: int, size: int) -> tuple[Family, ...]:
    """Invent the families of a shop of `size` products: about 14 products each, at most 2,000 families."""
    pool = load_pool()
    count = min(MAX_FAMILIES, max(8, size // PRODUCTS_A_FAMILY))
    departments = _departments(pool, Random(f"nano/{seed}/departments"))
    seen: set[str] = set()
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
    noun = _fresh(lambda: f"{invent_word(rng)} {head}", seen)
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


def _departments(pool: NanoPool, rng: Random) -> list[str]:
    invented = [invent_word(rng) + rng.choice(("ics", "ry", " goods", "craft", "ware")) for _ in range(4)]
    return [*rng.sample(pool.departments, 4), *invented]


def _family(pool: NanoPool, rng: Random, departments: list[str], *, is_transfer: bool, seen: set[str]) -> Family:
    strangeness = rng.choice((0.2, 0.4, 0.6, 0.8, 1.0))

    def word(choices: Sequence[str]) -> str:
        return invent_word(rng) if rng.random() < strangeness else rng.choice(choices)

    noun = _fresh(lambda: _noun(pool, rng, word), seen)
    department = rng.choice(departments[1::2] if is_transfer else departments[::2])
    levels = [department.title(), rng.choice(pool.aisles), *([word(pool.departments).title()] * (rng.random() < 0.6))]
    low = round(rng.lognormvariate(2.9, 1.0) + 2, 2)
    return Family(
        department=department,
        path=LEVEL_MARK.join([*levels, _plural(noun).title()]),
        query=_query(pool, rng, noun),
        nouns=(noun.title(), *([_variant(rng, noun, word(pool.nouns))] * (rng.random() < 0.6))),
        brands=tuple(invent_brand(rng) for _ in range(rng.randint(4, 9))),
        attributes=_attributes(pool, rng, word, seen),
        extras=tuple(_extra(pool, rng) for _ in range(rng.randint(9, 14))),
        options=_options(pool, rng),
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


def _noun(pool: NanoPool, rng: Random, word: Callable[[Sequence[str]], str]) -> str:
    head = word(pool.nouns)
    shape = rng.random()
    if shape < 0.35:
        return f"{word(pool.first_words)} {head}"
    if shape < 0.5:
        return f"{word(pool.first_words)} {invent_word(rng)} {head.split()[-1]}"
    return f"{invent_word(rng)} {head}" if shape < 0.8 else head


def _variant(rng: Random, noun: str, other: str) -> str:
    return f"{noun} {other}".title() if rng.random() < 0.5 else f"{other} {noun}".title()


def _plural(noun: str) -> str:
    if noun.endswith("s"):
        return noun
    return noun + ("es" if noun.endswith(("x", "sh", "ch", "z")) else "s")


def _query(pool: NanoPool, rng: Random, noun: str) -> str:
    shape = rng.random()
    if shape < 0.55:
        return _plural(noun)
    if shape < 0.7:
        return f"{noun} {rng.choice(pool.kinds)}"
    if shape < 0.8:
        return f"{rng.choice(pool.owners)} {_plural(noun)}"
    if shape < 0.92:
        return f"{_plural(noun)} & {_plural(invent_word(rng))}"
    return f"{_plural(noun)}, {_plural(invent_word(rng))} & {rng.choice(pool.kinds)}"


def _attributes(
    pool: NanoPool, rng: Random, word: Callable[[Sequence[str]], str], seen: set[str]
) -> tuple[Attribute, ...]:
    last: dict[Role, tuple[str, ...]] = {"plain": pool.plain_words, "with": pool.part_words, "for": pool.place_words}
    counts: dict[Role, int] = {"plain": rng.randint(5, 8), "with": rng.randint(3, 6), "for": rng.randint(2, 5)}
    return tuple(
        Attribute(_fresh(partial(_phrase, pool, rng, word, last[role]), seen), role)
        for role, count in counts.items()
        for _ in range(count)
    )


def _phrase(pool: NanoPool, rng: Random, word: Callable[[Sequence[str]], str], last: tuple[str, ...]) -> str:
    first, second = word(pool.first_words), word(last)
    shape = rng.random()
    if shape < 0.82:
        return f"{first} {second}"
    if shape < 0.9:
        return f"{first} {invent_word(rng)} {second}"
    return f"{first}-{second}" if shape < 0.95 else f"{rng.randint(2, 99)} {second}"


def _extra(pool: NanoPool, rng: Random) -> str:
    shape = rng.random()
    if shape < 0.4:
        return rng.choice(pool.extras)
    if shape < 0.7:
        return f"{invent_word(rng)} {invent_word(rng)}".title()
    if shape < 0.85:
        return f"{rng.choice(pool.first_words)} {invent_word(rng)}".title()
    return f"{invent_word(rng).upper()}-{rng.randint(10, 9900)}"


def _options(pool: NanoPool, rng: Random) -> tuple[OptionGroup, ...]:
    count = rng.choices((0, 1, 2, 3, 4), weights=(3, 22, 48, 19, 8))[0]
    kinds = ["Color", "Size"] if rng.random() < 0.6 else []
    others = [
        "Color",
        "Size",
        "Style",
        "Finish Type",
        "Item Package Quantity",
        "Scent",
        "Fit Type",
        "Length",
        "Pattern Name",
    ]
    rest = [kind for kind in others if kind not in kinds]
    names = [*kinds, *rng.sample(rest, len(rest))][:count]
    return tuple(_option_group(pool, rng, name) for name in names)


def _option_group(pool: NanoPool, rng: Random, name: str) -> OptionGroup:
    if name in ("Color", "Pattern Name", "Scent"):
        bases = [*rng.sample(pool.colors, 6), *(invent_word(rng) for _ in range(3))]
        values = tuple(dict.fromkeys(_color(pool, bases, rng) for _ in range(rng.choice((8, 16, 30, 60)))))
    elif name in ("Size", "Length", "Item Package Quantity"):
        values = _measures(rng, name)
    else:
        fixed = {"Style": pool.styles, "Finish Type": pool.finishes}.get(name, ())
        made = [invent_word(rng).title() for _ in range(6)]
        values = tuple(dict.fromkeys([*rng.sample(fixed, min(5, len(fixed))), *made]))
    return OptionGroup(name, values, low=1 if rng.random() < 0.15 else 2, high=len(values))


def _color(pool: NanoPool, bases: Sequence[str], rng: Random) -> str:
    """Name a shade of one of a few bases, so that a group's values share words as real ones do."""
    color = rng.choice(bases)
    shapes: tuple[Callable[[], str], ...] = (
        lambda: color,
        lambda: f"{rng.choice(pool.color_words)} {color}",
        lambda: f"{invent_word(rng)} {color}",
        lambda: invent_word(rng),
        lambda: f"{color}-{rng.choice(bases)}",
        lambda: f"{color}/{invent_word(rng)}",
        lambda: f"{rng.choice('abcdz')}{rng.randint(1, 99):02d}#{color}",
        lambda: f"{color}-{rng.randint(1, 12)}",
        lambda: f"{invent_word(rng)} {invent_word(rng)} {color}",
        lambda: f"{color} ({invent_word(rng)})",
    )
    text = rng.choices(shapes, weights=(14, 16, 18, 12, 8, 6, 6, 8, 6, 4))[0]()
    return text.title() if rng.random() < 0.7 else text


def _measures(rng: Random, name: str) -> tuple[str, ...]:
    """Draw an ordered list of sizes in one of many notations."""
    start, step = rng.randint(1, 24), rng.choice((1, 2, 4, 5, 6))
    numbers = [start + step * at for at in range(rng.choice((4, 6, 9, 14)))]
    unit = rng.choice(("oz", "fl oz", "ml", "cm", "mm", "ft", "lb", "inch", "yd", "gal", "g"))
    if name == "Item Package Quantity":
        return tuple(rng.choice((f"{n} pack", f"{n} Pack", f"{n}pcs")) for n in sorted(rng.sample(range(1, 60), 5)))
    if name == "Length" or rng.random() < 0.35:
        gap = rng.choice(("", " "))
        return tuple(f"{n}{rng.choice(('', '.5'))}{gap}{unit}" for n in numbers)
    letters = (
        "xxx-small",
        "xx-small",
        "x-small",
        "small",
        "mid",
        "large",
        "x-large",
        "xx-large",
        "3x-large",
        "4x-large",
        "5x-large",
    )
    shape = rng.random()
    if shape < 0.4:
        low = rng.randint(0, 5)
        return tuple(
            rng.choice((text, text.title())) if shape < 0.1 else text for text in letters[low : low + rng.randint(4, 7)]
        )
    if shape < 0.6:
        return tuple(f'{n}" x {n + step}"' for n in numbers)
    if shape < 0.75:
        return tuple(f"{n} x {n + step * 2} {unit}" for n in numbers)
    if shape < 0.87:
        return tuple(f"{n} {unit} ({rng.randint(2, 12)} pack)" for n in numbers)
    return tuple(f"No. {n}" for n in numbers)


def draw_world(seed: int, size: int) -> World:
    """Draw nano's world for a seed."""
    return World("nano", seed, draw_families(seed, size), load_pool().phrasing)
