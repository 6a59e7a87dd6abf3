"""What a shop is made of: families (a product type, its attribute pool and options) and the phrasing of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LEVEL_MARK", "SPLITS", "Attribute", "Family", "OptionGroup", "Phrasing", "Role", "Split", "World"]

Role = Literal["plain", "with", "for"]
"""Where an attribute stands in an instruction: before the product type, after `with`, after `for`."""

Split = Literal["train", "select", "test", "transfer"]
LEVEL_MARK = " \u203a "
"""What upstream puts between the levels of a category."""
SPLITS: tuple[Split, ...] = ("train", "select", "test", "transfer")


@dataclass(frozen=True, slots=True)
class Attribute:
    """A property that an instruction can ask for, in lower case as upstream's attribute lists have it."""

    text: str
    role: Role


@dataclass(frozen=True, slots=True)
class OptionGroup:
    """A choice a product offers. A product draws `low` to `high` of `values`, heavy tailed, in the pool's order."""

    name: str
    values: tuple[str, ...]
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Family:
    """A product type: the products of a family share `query`, and differ in attributes, options and price (dollars)."""

    department: str
    path: str
    """Upstream's `product_category`: levels joined by `LEVEL_MARK`."""
    query: str
    nouns: tuple[str, ...]
    """What titles call it; the first is the commonest."""
    brands: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    extras: tuple[str, ...]
    """Words of titles and texts that no instruction asks for."""
    options: tuple[OptionGroup, ...]
    price_low: float
    price_high: float
    share: int = 1
    """Relative number of products."""
    is_transfer: bool = False


@dataclass(frozen=True, slots=True)
class Phrasing:
    """Sentence templates. Slots: `{a}` an attribute, `{A}` the same titled, `{noun} {extra} {brand} {number}`."""

    plain: tuple[str, ...]
    having: tuple[str, ...]
    suited: tuple[str, ...]
    filler: tuple[str, ...]
    opening: tuple[str, ...]

    def of_role(self, role: Role) -> tuple[str, ...]:
        """Return the templates that state an attribute of this role."""
        return {"plain": self.plain, "with": self.having, "for": self.suited}[role]


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """A shop's families and phrasing, as drawn for one seed. Compared by identity: hashing every word is slow."""

    name: str
    seed: int
    families: tuple[Family, ...]
    phrasing: Phrasing
