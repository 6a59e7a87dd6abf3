"""Write a generated shop and say what is in it: `python -m envs.webshop.shop DIR --size N --seed S --world W`."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from envs.webshop.shop.catalog import WORLDS, draw_product, open_world, write_catalog
from envs.webshop.shop.duplicates import find_near_duplicates
from envs.webshop.shop.family import SPLITS, World

COUNTED_AT_MOST = 20_000
"""Products that the option statistics look at."""


@dataclass(slots=True)
class Tally:
    """What the first products of a shop add up to."""

    departments: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    groups: Counter[int] = field(default_factory=Counter)
    values: list[int] = field(default_factory=list)
    title_lengths: list[int] = field(default_factory=list)
    wanted: Counter[int] = field(default_factory=Counter)
    combinations: int = 0


def count(world: World, size: int) -> Tally:
    """Draw a shop's products again and count."""
    tally = Tally()
    for index in range(size):
        product = draw_product(world, index)
        draft = product.draft
        tally.departments[draft.family.department] += 1
        tally.splits[draft.split] += 1
        tally.groups[len(draft.offers)] += 1
        tally.values += [len(offer.values) for offer in draft.offers]
        tally.title_lengths.append(len(product.listing.title))
        tally.wanted[len(draft.wanted)] += 1
        if draft.wanted:
            choices = 1
            for offer in draft.offers:
                choices *= len(offer.values) or 1
            tally.combinations += choices
    return tally


def report(tally: Tally, size: int) -> str:
    """Word the counts, a line each."""
    values, titles = sorted(tally.values or [0]), sorted(tally.title_lengths)
    lines = [
        *(f"  {name:<20} {number:>8}" for name, number in tally.departments.most_common()),
        "splits: " + ", ".join(f"{split} {tally.splits[split]}" for split in SPLITS),
        "option groups per product: " + _listed(tally.groups),
        f"values per group: median {_at(values, 0.5)}, 90 % at most {_at(values, 0.9)}, most {values[-1]}",
        "attributes asked for per product: " + _listed(tally.wanted),
        f"title length: {titles[0]} to {titles[-1]} characters, median {_at(titles, 0.5)}",
        f"goals (an instruction with each choice of options): {tally.combinations}",
    ]
    return "\n".join([f"departments, of the first {size} products:", *lines])


def _at(values: Sequence[int], share: float) -> int:
    return values[min(len(values) - 1, int(share * len(values)))]


def _listed(counts: Counter[int]) -> str:
    return ", ".join(f"{key}: {counts[key]}" for key in sorted(counts))


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, write the shop, print its statistics."""
    parser = argparse.ArgumentParser(prog="python -m envs.webshop.shop", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=1000, help="products (default: 1000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--world", choices=sorted(WORLDS), default="embedded")
    parser.add_argument("--probes", type=int, default=2000, help="products compared with all others for duplicates")
    given = parser.parse_args(arguments)
    started = time.perf_counter()
    write_catalog(given.folder, size=given.size, seed=given.seed, world=given.world)
    print(f"{given.folder}: {given.size} products written in {time.perf_counter() - started:.1f} s")
    world = open_world(given.world, seed=given.seed, size=given.size)
    counted = min(given.size, COUNTED_AT_MOST)
    print(report(count(world, counted), counted))
    near = find_near_duplicates(world, given.size, rng=Random(given.seed), probes=given.probes)
    print(
        f"near-duplicates: {100 * near.rate:.2f} % ({near.found} of {near.probed} products have another product "
        f"whose word 3-grams of title and bullets reach Jaccard {near.threshold}, exactly)"
    )


if __name__ == "__main__":
    main()
