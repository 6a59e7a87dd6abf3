"""One catalogue, ready to shop in: products, search, goals, prices. Read-only, one for all instances of a process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.webshop.catalog import find_files
from envs.webshop.goals import KINDS, Goal, GoalTable, Kind, draw_bounds, read_goals, read_prices
from envs.webshop.nouns import Nouns, fallback_nouns, has_spacy, nouns_from_file, spacy_nouns
from envs.webshop.pages import ProductPage, build_page
from envs.webshop.prepared import Prepared, Products, load_prepared, prepare
from envs.webshop.search import Index
from envs.webshop.splits import Splits
from envs.webshop.worlds import locate
from sage_gym.tasks import KeyRange, no_task

__all__ = ["Store", "open_store"]

RESULT_COUNT = 50
PAGE_LIMIT = 5_000


@dataclass(frozen=True)
class Store:
    """What environments share. `prices` are in dollars, by catalogue position."""

    products: Products
    prices: NDArray[np.float64]
    index: Index
    goals: Mapping[Kind, GoalTable]
    splits: Splits
    nouns: Nouns
    has_attributes: bool = False
    _pages: dict[int, ProductPage] = field(default_factory=dict, repr=False)

    def search(self, text: str) -> list[int]:
        """Return the positions of up to 50 products, best first.

        As upstream's, `<c> name` lists a category and `<q> words` the products found under a query, in catalogue
        order and without limit; upstream's `<a>` fails there, and is a plain search here.
        """
        mark, _, rest = text.partition(" ")
        if mark in ("<c>", "<q>"):
            wanted = rest.split(" ")[0].strip() if mark == "<c>" else rest.strip()
            return [
                position
                for position, product in enumerate(self.products)
                if wanted == (product.category if mark == "<c>" else product.query)
            ]
        return self.index.search(text, RESULT_COUNT)

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
        return table.goal(index, self.products[table.position(index)])

    def goal_of(self, key: str) -> Goal:
        """Return the goal of a task key.

        Raises:
            TaskKeyError: the key is not of this catalogue; the valid range is given.
        """
        ranges = {kind: KeyRange(f"webshop/{kind}", len(table)) for kind, table in self.goals.items()}
        for kind, keys in ranges.items():
            at = keys.find(key)
            if at is not None:
                return self.goal(kind, at)
        raise no_task(key, ranges)


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
    prepared = load_prepared(prepare(find_files(source)))
    known = None if prices is None else read_prices(Path(prices), prepared.asins)
    tables = _make_goals(prepared, known)
    if goals is not None:
        table = read_goals(Path(goals), prepared.find)
        tables[table.kind] = table
    return Store(
        products=prepared.products,
        prices=prepared.prices if known is None else known,
        index=Index(prepared.postings),
        goals=tables,
        splits=Splits(tables, prepared.splits if goals is None else None, prepared.asins),
        nouns=_nouns(title_nouns, is_generated=is_generated),
        has_attributes=has_attributes,
    )


def _make_goals(prepared: Prepared, prices: NDArray[np.float64] | None) -> dict[Kind, GoalTable]:
    bounds = prepared.bounds
    if prices is not None:
        bounds = {kind: draw_bounds(wanted, prices, prepared.state) for kind, wanted in prepared.wanted.items()}
    return {kind: GoalTable(kind, prepared.wanted[kind], bounds[kind]) for kind in KINDS}


def _nouns(title_nouns: str | None, *, is_generated: bool) -> Nouns:
    """Choose where title nouns come from: generated shops take the fallback, the same on every machine."""
    if title_nouns is not None:
        return nouns_from_file(Path(title_nouns))
    return spacy_nouns() if has_spacy() and not is_generated else fallback_nouns
