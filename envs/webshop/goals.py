"""Goals: what a shopper wants, drawn as upstream draws them or read from a file.

Source: princeton-nlp/WebShop, `web_agent_site/engine/goal.py` and `engine.py` (`generate_product_prices`), run with
`random.seed(0)` before loading and `random.seed(233)` before shuffling. A table holds numbers only; a goal's text is
made when it is asked for, so that ten million goals cost a few arrays.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from envs.webshop.catalog import Product
from envs.webshop.records import read_json
from sage_gym.errors import CatalogError

__all__ = ["Goal", "GoalTable", "Kind", "draw_human", "draw_prices", "draw_synthetic", "read_goals", "read_prices"]

Kind = Literal["synthetic", "human"]
DRAW_SEED, SHUFFLE_SEED = 0, 233
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
class GoalTable:
    """Goals of one kind, in upstream's order.

    `combinations` number the choice of options of a synthetic goal, or a human one's place among its product's
    instructions; goals read from a file are held as they are in `given`.
    """

    kind: Kind
    positions: NDArray[np.int32]
    combinations: NDArray[np.int64]
    bounds: NDArray[np.float64]
    given: tuple[Goal, ...] = ()

    def __len__(self) -> int:
        return len(self.positions)

    def goal(self, index: int, product: Product) -> Goal:
        """Make the goal at `index`; `product` is the one at its position."""
        if self.given:
            return self.given[index]
        number, bound = int(self.combinations[index]), float(self.bounds[index])
        position = int(self.positions[index])
        if self.kind == "human":
            wanted = product.human[number]
            text = wanted.text.strip(".") + _bound_text(bound)
            options = tuple(("", value) for value in wanted.options)
            return Goal("human", index, position, product.asin, text, wanted.attributes, options, bound)
        options = _combination(product, number)
        chosen = ", and ".join(f"{name}: {value}" for name, value in options)
        text = f"{product.instruction}{' with ' + chosen if chosen else ''}{_bound_text(bound)}"
        return Goal("synthetic", index, position, product.asin, text, product.instruction_attributes, options, bound)


def draw_prices(products: Sequence[Product], generator: random.Random) -> NDArray[np.float64]:
    """Draw a price in dollars for each product: a range gives a uniform draw."""
    return np.array(
        [p.pricing[0] if len(p.pricing) == 1 else generator.uniform(*p.pricing) for p in products], np.float64
    )


def draw_synthetic(products: Sequence[Product], prices: NDArray[np.float64], generator: random.Random) -> GoalTable:
    """Draw one price bound a product and one goal for each combination of its options, then shuffle."""
    positions, counts, bounds = [], [], []
    for position, product in enumerate(products):
        if product.instruction is None:
            continue
        positions.append(position)
        bounds.append(_draw_bound(float(prices[position]), generator))
        counts.append(reduce(lambda n, option: n * len(option[1]), product.options, 1))
    repeats = np.asarray(counts, np.int64)
    numbers = [np.arange(count) for count in counts]
    return _shuffle(
        "synthetic",
        np.repeat(np.asarray(positions, np.int32), repeats),
        np.concatenate(numbers) if numbers else np.empty(0, np.int64),
        np.repeat(np.asarray(bounds, np.float64), repeats),
    )


def draw_human(products: Sequence[Product], prices: NDArray[np.float64], generator: random.Random) -> GoalTable:
    """Draw one price bound for each instruction that a person wrote and that names attributes, then shuffle."""
    rows = [
        (position, number, _draw_bound(float(prices[position]), generator))
        for position, product in enumerate(products)
        for number, wanted in enumerate(product.human)
        if wanted.attributes
    ]
    positions, numbers, bounds = zip(*rows, strict=True) if rows else ((), (), ())
    return _shuffle(
        "human", np.asarray(positions, np.int32), np.asarray(numbers, np.int64), np.asarray(bounds, np.float64)
    )


def _draw_bound(price: float, generator: random.Random) -> float:
    above = [bound for bound in BOUNDS if bound > price][:NEAREST_BOUNDS]
    return max(generator.sample(above, 2)) if len(above) >= 2 else NO_BOUND


def _shuffle(
    kind: Kind, positions: NDArray[np.int32], numbers: NDArray[np.int64], bounds: NDArray[np.float64]
) -> GoalTable:
    order = list(range(len(positions)))
    random.Random(SHUFFLE_SEED).shuffle(order)
    places = np.asarray(order, np.int64)
    return GoalTable(kind, positions[places], numbers[places], bounds[places])


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
    kind: Kind = goals[0].kind if goals else "synthetic"
    positions = np.array([goal.position for goal in goals], np.int32)
    bounds = np.array([goal.price_upper for goal in goals], np.float64)
    return GoalTable(kind, positions, np.zeros(len(goals), np.int64), bounds, goals)


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


def read_prices(path: Path, asins: Sequence[str]) -> NDArray[np.float64]:
    """Read each product's price in dollars from an object keyed by asin.

    Raises:
        CatalogError: a product has no price, or the file is not such an object.
    """
    found: Mapping[str, Any] = read_json(path)
    if not isinstance(found, dict):
        raise CatalogError(f"{path}: expected an object from asin to price, got {type(found).__name__}")
    missing = [asin for asin in asins if not isinstance(found.get(asin), int | float)]
    if missing:
        raise CatalogError(f"{path}: expected a number for every product, got none for {len(missing)}: {missing[:3]}")
    return np.array([float(found[asin]) for asin in asins], np.float64)
