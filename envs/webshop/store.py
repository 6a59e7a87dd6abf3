"""One catalogue, ready to shop in: products, search, goals, prices. Read-only, one for all instances of a process."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.webshop.catalog import Product, find_files, read_products
from envs.webshop.goals import (
    DRAW_SEED,
    Goal,
    GoalTable,
    Kind,
    draw_human,
    draw_prices,
    draw_synthetic,
    read_goals,
    read_prices,
)
from envs.webshop.nouns import Nouns, fallback_nouns, has_spacy, nouns_from_file, spacy_nouns
from envs.webshop.pages import ProductPage, build_page
from envs.webshop.search import Index, build_index
from envs.webshop.splits import Split, make_splits, read_splits
from envs.webshop.worlds import locate
from sage_gym.errors import CatalogError, TaskKeyError

__all__ = ["Store", "open_store"]

RESULT_COUNT = 50
PAGE_LIMIT = 50_000


@dataclass(frozen=True)
class Store:
    """What environments share. `numbering` gives the product position of each document of the index."""

    products: Sequence[Product]
    prices: NDArray[np.float64]
    index: Index
    numbering: NDArray[np.int32]
    goals: Mapping[Kind, GoalTable]
    splits: Mapping[str, Split]
    nouns: Nouns
    has_attributes: bool = False
    _pages: dict[int, ProductPage] = field(default_factory=dict, repr=False)

    def search(self, text: str) -> list[int]:
        """Return the positions of up to 50 products, best first. `<c>`, `<q>` and `<a>` list as upstream's do."""
        mark, _, rest = text.partition(" ")
        if mark in ("<c>", "<q>", "<a>"):
            return self._listed(mark, rest.strip())
        return self.numbering[self.index.search(text, RESULT_COUNT)].tolist()  # type: ignore[no-any-return]

    def _listed(self, mark: str, text: str) -> list[int]:
        return [
            position
            for position, product in enumerate(self.products)
            if (mark == "<c>" and product.category == text.partition(" ")[0])
            or (mark == "<q>" and product.query == text)
            or (mark == "<a>" and text in product.attributes)
        ]

    def page(self, position: int) -> ProductPage:
        """Return a product's fragments."""
        page = self._pages.get(position)
        if page is None:
            if len(self._pages) >= PAGE_LIMIT:
                self._pages.clear()
            page = build_page(self.products[position], position, has_attributes=self.has_attributes)
            self._pages[position] = page
        return page

    def goal(self, kind: Kind, index: int) -> Goal:
        """Return a goal by its index."""
        table = self.goals[kind]
        return table.goal(index, self.products[int(table.positions[index])])

    def goal_of(self, key: str) -> Goal:
        """Return the goal of a task key.

        Raises:
            TaskKeyError: the key is not of this catalogue; the valid range is given.
        """
        environment, _, rest = key.partition("/")
        kind, _, number = rest.partition("/")
        for known in self.goals:
            is_there = number.isascii() and number.isdigit() and int(number) < len(self.goals[known])
            if environment == "webshop" and kind == known and is_there:
                return self.goal(known, int(number))
        ranges = " or ".join(
            f"webshop/{kind}/00000 to webshop/{kind}/{len(table) - 1:05d}"
            for kind, table in self.goals.items()
            if len(table)
        )
        raise TaskKeyError(f"expected a task key from {ranges}, got {key!r}")


@lru_cache(maxsize=16)
def open_store(
    catalog: str | None,
    goals: str | None = None,
    prices: str | None = None,
    title_nouns: str | None = None,
    has_attributes: bool = False,
) -> Store:
    """Open a catalogue once a process; the same arguments give the same store.

    Raises:
        CatalogError: a file is missing or bad; says which, where, and what was expected.
    """
    source, is_generated = locate(catalog)
    files = find_files(source)
    products = list(read_products(files))
    if not products:
        raise CatalogError(f"{files.products}: expected at least one product, got none")
    asins = [product.asin for product in products]
    generator = random.Random(DRAW_SEED)
    drawn = draw_prices(products, generator)
    known = drawn if prices is None else read_prices(Path(prices), asins)
    state = generator.getstate()
    tables = {"synthetic": draw_synthetic(products, known, generator)}
    generator.setstate(state)
    tables["human"] = draw_human(products, known, generator)
    if goals is not None:
        place = {asin: position for position, asin in enumerate(asins)}
        table = read_goals(Path(goals), lambda asin: place.get(asin, -1))
        tables[table.kind] = table
    by_product = None if files.splits is None else read_splits(files.splits, asins)
    order = sorted(range(len(products)), key=asins.__getitem__)
    return Store(
        products=products,
        prices=known,
        index=Index(build_index(products[position].search_text for position in order)),
        numbering=np.asarray(order, np.int32),
        goals=tables,  # type: ignore[arg-type]
        splits=make_splits(tables["synthetic"].positions, len(tables["human"]), by_product, asins),
        nouns=_nouns(title_nouns, is_generated=is_generated),
        has_attributes=has_attributes,
    )


def _nouns(title_nouns: str | None, *, is_generated: bool) -> Nouns:
    """Choose where title nouns come from: generated shops take the fallback, the same on every machine."""
    if title_nouns is not None:
        return nouns_from_file(Path(title_nouns))
    return spacy_nouns() if has_spacy() and not is_generated else fallback_nouns
