"""The options of nano's families: shades, sizes, counts and made-up styles, in the many notations that shops use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from envs.webshop.shop.family import OptionGroup
from envs.webshop.shop.nano.words import Pool, invent

__all__ = ["draw_options"]

SHADES = ("Color", "Pattern Name", "Scent")
MEASURES = ("Size", "Length", "Item Package Quantity")
GROUP_NAMES = (*SHADES, *MEASURES, "Style", "Finish Type", "Fit Type")
LETTER_SIZES = (
    *("xxx-small", "xx-small", "x-small", "small", "mid", "large"),
    *("x-large", "xx-large", "3x-large", "4x-large", "5x-large"),
)


def draw_options(pool: Pool, rng: Random) -> tuple[OptionGroup, ...]:
    """Draw up to four option groups with their pools of values."""
    count = rng.choices((0, 1, 2, 3, 4), weights=(3, 22, 48, 19, 8))[0]
    kinds = ["Color", "Size"] if rng.random() < 0.6 else []
    rest = [name for name in GROUP_NAMES if name not in kinds]
    names = [*kinds, *rng.sample(rest, len(rest))][:count]
    return tuple(_option_group(pool, rng, name) for name in names)


def _option_group(pool: Pool, rng: Random, name: str) -> OptionGroup:
    if name in SHADES:
        bases = [*rng.sample(pool.colors, 6), *(invent(rng) for _ in range(3))]
        values = tuple(dict.fromkeys(_color(pool, bases, rng) for _ in range(rng.choice((8, 16, 30, 60)))))
    elif name in MEASURES:
        values = _measures(rng, name)
    else:
        fixed = {"Style": pool.styles, "Finish Type": pool.finishes}.get(name, ())
        made = [invent(rng).title() for _ in range(6)]
        values = tuple(dict.fromkeys([*rng.sample(fixed, min(5, len(fixed))), *made]))
    return OptionGroup(name, values, low=1 if rng.random() < 0.15 else 2, high=len(values))


def _color(pool: Pool, bases: Sequence[str], rng: Random) -> str:
    """Name a shade of one of a few bases, so that a group's values share words as real ones do."""
    color = rng.choice(bases)
    shapes: tuple[Callable[[], str], ...] = (
        lambda: color,
        lambda: f"{rng.choice(pool.color_words)} {color}",
        lambda: f"{invent(rng)} {color}",
        lambda: invent(rng),
        lambda: f"{color}-{rng.choice(bases)}",
        lambda: f"{color}/{invent(rng)}",
        lambda: f"{rng.choice('abcdz')}{rng.randint(1, 99):02d}#{color}",
        lambda: f"{color}-{rng.randint(1, 12)}",
        lambda: f"{invent(rng)} {invent(rng)} {color}",
        lambda: f"{color} ({invent(rng)})",
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
    shape = rng.random()
    if shape < 0.4:
        low, is_titled = rng.randint(0, 5), rng.random() < 0.25
        return tuple(text.title() if is_titled else text for text in LETTER_SIZES[low : low + rng.randint(4, 7)])
    if shape < 0.6:
        return tuple(f'{n}" x {n + step}"' for n in numbers)
    if shape < 0.75:
        return tuple(f"{n} x {n + step * 2} {unit}" for n in numbers)
    if shape < 0.87:
        return tuple(f"{n} {unit} ({rng.randint(2, 12)} pack)" for n in numbers)
    return tuple(f"No. {n}" for n in numbers)
