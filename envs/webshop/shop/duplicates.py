"""How many products of a shop are near-duplicates of another.

Definition: a product is a near-duplicate when some other product of the shop has a set of word 3-grams (of title and
bullets, lower case) whose Jaccard similarity with its own is at least the threshold, 0.8 unless said otherwise.

The method is exact, by prefix filtering: two sets with Jaccard ≥ t share a member among the first
|A| - ⌈t·|A|⌉ + 1 of each, in any common order of all 3-grams (Chaudhuri, Ganti, Kaushik 2006, "A primitive operator
for similarity joins in data cleaning"). Large shops are probed: a sample of products is compared with *every* product,
streamed, so that memory does not grow and the rate is not biased as it would be among the sampled alone.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from envs.webshop.shop.catalog import Product, draw_product
from envs.webshop.shop.family import World

__all__ = ["Gram", "NearDuplicates", "find_near_duplicates", "grams", "jaccard", "prefix"]

WORD = re.compile(r"\w+")
Gram = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """Of `probed` products, `found` have a near-duplicate in the shop of `size` products."""

    threshold: float
    size: int
    probed: int
    found: int

    @property
    def rate(self) -> float:
        """Share of probed products."""
        return self.found / self.probed


def grams(product: Product) -> frozenset[Gram]:
    """Return a product's word 3-grams; none runs over from one text into the next."""
    texts = (product.listing.title, *product.listing.bullets)
    return frozenset(gram for text in texts for gram in _grams(WORD.findall(text.lower())))


def _grams(words: list[str]) -> Iterator[Gram]:
    return zip(words, words[1:], words[2:], strict=False)  # of unequal length on purpose


def find_near_duplicates(
    world: World, size: int, *, rng: Random, threshold: float = 0.8, probes: int = 2000
) -> NearDuplicates:
    """Compare `probes` products (all, where the shop is not larger) with every product of the shop.

    Args:
        world: from `open_world`.
        size: products in the shop.
        rng: draws the probes.
        threshold: Jaccard similarity, in (0, 1].
        probes: upper limit on the products that are compared.

    Raises:
        ValueError: the threshold is outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"expected a threshold in (0, 1], got {threshold}")
    chosen = {index: grams(draw_product(world, index)) for index in rng.sample(range(size), min(size, probes))}
    frequency = Counter(gram for members in chosen.values() for gram in members)
    prefixes = {index: prefix(members, frequency, threshold) for index, members in chosen.items()}
    holders: defaultdict[Gram, list[int]] = defaultdict(list)
    for index, rarest in prefixes.items():
        for gram in rarest:
            holders[gram].append(index)
    found: set[int] = set()
    for other in range(size):
        members = chosen[other] if other in chosen else grams(draw_product(world, other))
        rarest = prefixes[other] if other in prefixes else prefix(members, frequency, threshold)
        near = {at for gram in rarest for at in holders.get(gram, ())}
        found |= {at for at in near - found - {other} if jaccard(members, chosen[at]) >= threshold}
    return NearDuplicates(threshold, size, len(chosen), len(found))


def prefix(members: frozenset[Gram], frequency: Counter[Gram], threshold: float) -> list[Gram]:
    """Return the rarest members, as many as a set of that similarity cannot all lack."""
    length = len(members) - math.ceil(threshold * len(members)) + 1
    return sorted(members, key=lambda gram: (frequency[gram], gram))[:length]


def jaccard(left: frozenset[Gram], right: frozenset[Gram]) -> float:
    """Return the size of the intersection over that of the union, 0 where both are empty."""
    shared = len(left & right)
    return shared / max(1, len(left) + len(right) - shared)
