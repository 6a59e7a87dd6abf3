"""Goals: what a shopper wants, drawn as upstream draws them or read from a file.

Source: princeton-nlp/WebShop, `web_agent_site/engine/goal.py` and `engine.py` (`generate_product_prices`), run with
`random.seed(0)` before loading and `random.seed(233)` before shuffling. A table holds numbers only; a goal's text is
made when it is asked for, so that ten million goals cost a few arrays.
"""

from __future__ import annotations

import hashlib
import json
import random
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from envs.webshop.catalog import Product
from envs.webshop.records import read_json
from sage_gym.errors import CatalogError

__all__ = [
    "DRAW_SEED",
    "KINDS",
    "Goal",
    "GoalTable",
    "Kind",
    "Wanted",
    "draw_bounds",
    "draw_price",
    "read_goals",
    "read_prices",
    "shuffled_order",
]

Kind = Literal["synthetic", "human"]
DRAW_SEED, SHUFFLE_SEED = 0, 233
KINDS: tuple[Kind, ...] = ("synthetic", "human")
BOUNDS = tuple(10.0 * i for i in range(1, 100))
NEAREST_BOUNDS = 4
NO_BOUND = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal. `options` are (name, value); the name is empty where a person named values only.

    `position` is the wanted product's place in the catalogue, `price_upper` in dollars.
    """

    kind: Kind
    index: int
    position: int
    asin: str
    instruction: str
    attributes: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    price_upper: float

    @property
    def key(self) -> str:
        """The task key."""
        return f"webshop/{self.kind}/{self.index:05d}"

    @property
    def hash(self) -> str:
        """A hash of the content, 16 hexadecimal digits, the same in every process."""
        content = [self.asin, self.instruction, self.attributes, self.options, self.price_upper]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What goals want, before price bounds are drawn; rows are in catalogue order.

    Row r wants the product at `positions[r]` with combination (or instruction) `numbers[r]`, and shares the
    `owners[r]`-th drawn bound. Goal i is row `order[i]`.
    """

    positions: NDArray[np.int32]
    owners: NDArray[np.int32]
    numbers: NDArray[np.int64]
    order: NDArray[np.int32]

    def owner_positions(self) -> NDArray[np.int32]:
        """Give the product position of each bound to be drawn."""
        firsts = np.flatnonzero(np.diff(self.owners, prepend=-1))
        return np.asarray(self.positions[firsts])


@dataclass(frozen=True, slots=True)
class GoalTable:
    """Goals of one kind, in upstream's order. `bounds` are in dollars, one an owner; `given` come from a file."""

    kind: Kind
    wanted: Wanted
    bounds: NDArray[np.float64]
    given: tuple[Goal, ...] = ()

    def __len__(self) -> int:
        return len(self.given) or len(self.wanted.order)

    def position(self, index: int) -> int:
        """Return the catalogue position of the product that a goal wants."""
        return self.given[index].position if self.given else int(self.wanted.positions[self.wanted.order[index]])

    def positions(self) -> NDArray[np.int32]:
        """Return the wanted product's position of every goal."""
        if self.given:
            return np.array([goal.position for goal in self.given], np.int32)
        return np.asarray(self.wanted.positions[self.wanted.order])

    def goal(self, index: int, product: Product) -> Goal:
        """Make the goal at `index`; `product` is the one at its position."""
        if self.given:
            return self.given[index]
        row = int(self.wanted.order[index])
        position, number = int(self.wanted.positions[row]), int(self.wanted.numbers[row])
        bound = float(self.bounds[self.wanted.owners[row]])
        if self.kind == "human":
            wanted = product.human[number]
            text = wanted.text.strip(".") + _bound_text(bound)
            options = tuple(("", value) for value in wanted.options)
            return Goal("human", index, position, product.asin, text, wanted.attributes, options, bound)
        options = _combination(product, number)
        chosen = ", and ".join(f"{name}: {value}" for name, value in options)
        text = f"{product.instruction}{' with ' + chosen if chosen else ''}{_bound_text(bound)}"
        return Goal("synthetic", index, position, product.asin, text, product.instruction_attributes, options, bound)


def draw_price(pricing: tuple[float, ...], generator: random.Random) -> float:
    """Draw a price in dollars: a range gives a uniform draw."""
    return pricing[0] if len(pricing) == 1 else generator.uniform(*pricing)


def draw_bounds(wanted: Wanted, prices: NDArray[np.float64], state: Any) -> NDArray[np.float64]:
    """Draw a price bound in dollars for each owner: one of the four tens above the price, never the lowest.

    `state` is that of upstream's generator after it drew the prices; it draws one kind of goals in a run.
    """
    generator = random.Random()
    generator.setstate(state)
    return np.array([_draw_bound(price, generator) for price in prices[wanted.owner_positions()].tolist()], np.float64)


def _draw_bound(price: float, generator: random.Random) -> float:
    first = bisect_right(BOUNDS, price)
    above = BOUNDS[first : first + NEAREST_BOUNDS]
    return max(generator.sample(above, 2)) if len(above) >= 2 else NO_BOUND


def shuffled_order(count: int) -> NDArray[np.int32]:
    """Return the order in which upstream shuffles so many goals."""
    order = list(range(count))
    random.Random(SHUFFLE_SEED).shuffle(order)
    return np.array(order, np.int32)


def _bound_text(bound: float) -> str:
    return "" if bound == NO_BOUND else f", and price lower than {bound:.2f} dollars"


def _combination(product: Product, number: int) -> tuple[tuple[str, str], ...]:
    """Decode a combination: names in alphabetical order, the last one counting fastest."""
    chosen = []
    for name, values in sorted(product.options, reverse=True):
        number, digit = divmod(number, len(values))
        chosen.append((name, values[digit]))
    return tuple(reversed(chosen))


class _RawGoal(BaseModel):
    model_config = ConfigDict(frozen=True)
    asin: str
    instruction_text: str
    attributes: list[str]
    goal_options: dict[str, str] | list[str]
    price_upper: float


def read_goals(path: Path, find: Callable[[str], int]) -> GoalTable:
    """Read goals in upstream's form, in file order; `find` gives an asin's position, -1 where there is none.

    Raises:
        CatalogError: names the file, the record and what was expected.
    """
    found = read_json(path)
    if not isinstance(found, list):
        raise CatalogError(f"{path}: expected a list of goals, got {type(found).__name__}")
    goals = tuple(_given(path, index, value, find) for index, value in enumerate(found))
    if not goals:
        raise CatalogError(f"{path}: expected at least one goal, got none")
    nothing = np.empty(0, np.int32)
    wanted = Wanted(nothing, nothing, nothing.astype(np.int64), nothing)
    return GoalTable(goals[0].kind, wanted, np.empty(0), goals)


def _given(path: Path, index: int, value: Any, find: Callable[[str], int]) -> Goal:
    try:
        raw = _RawGoal.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the record"
        raise CatalogError(f"{path}: record {index}: expected {place} well-formed, got: {first['msg']}") from error
    position = find(raw.asin)
    if position < 0:
        raise CatalogError(f"{path}: record {index}: expected an asin of the catalogue, got {raw.asin!r}")
    is_synthetic = isinstance(raw.goal_options, dict)
    options = raw.goal_options.items() if isinstance(raw.goal_options, dict) else [("", v) for v in raw.goal_options]
    kind: Kind = "synthetic" if is_synthetic else "human"
    text, wanted = raw.instruction_text, tuple(raw.attributes)
    return Goal(kind, index, position, raw.asin, text, wanted, tuple(options), raw.price_upper)


def read_prices(path: Path, asins: NDArray[np.bytes_]) -> NDArray[np.float64]:
    """Read each product's price in dollars from an object keyed by asin.

    Raises:
        CatalogError: a product has no price, or the file is not such an object.
    """
    found: Mapping[str, Any] = read_json(path)
    if not isinstance(found, dict):
        raise CatalogError(f"{path}: expected an object from asin to price, got {type(found).__name__}")
    wanted = [asin.decode() for asin in asins.tolist()]
    missing = [asin for asin in wanted if not isinstance(found.get(asin), int | float)]
    if missing:
        raise CatalogError(f"{path}: expected a number for every product, got none for {len(missing)}: {missing[:3]}")
    return np.array([float(found[asin]) for asin in wanted], np.float64)
