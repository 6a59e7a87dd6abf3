"""What a shop is made of: families (a product type, its attribute pool and options) and the phrasing of texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = [
    "LEVEL_MARK",
    "SHELVES",
    "SPLITS",
    "Attribute",
    "Family",
    "OptionGroup",
    "Phrasing",
    "Role",
    "Shelf",
    "Split",
    "World",
]

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
class Shelf:
    """How alike the products of a family are, and so how hard it is to find the right one.

    Products come in lines: siblings of one maker.
    """

    line_sizes: tuple[int, ...]
    """Siblings per line, repeated."""
    kept: float
    """Chance that a sibling keeps an option value of its line; 1 leaves all siblings the same options."""
    varied: tuple[int, ...]
    """Weights of 0, 1, 2, ... attributes in which a sibling differs from its line."""
    attributes: tuple[int, ...] = (14, 22, 22, 16, 12, 8, 6)
    """Weights of 3, 4, 5, ... attributes that a line has."""
    wanted: tuple[int, ...] = (13, 36, 27, 14, 6, 4)
    """Weights of 1, 2, 3, ... attributes that an instruction asks for."""
    is_standard: bool = False
    """Whether all products of the family offer the same few option values."""
    titled: tuple[float, float] = (0.0, 0.55)
    """Range of the chance that an attribute is named in the title, drawn for each product: some say all, some hardly
    anything."""
    bullets: float = 0.62
    """Chance that an attribute has a bullet."""
    described: float = 0.25
    """Chance that the description states an attribute."""
    price_spread: float = 1.0
    """Share of the family's price range (in logarithms) that its lines are spread over."""


SHELVES = {
    "mixed": Shelf((4, 2, 5, 3, 1, 4, 3), 0.22, (65, 22, 13)),
    "calm": Shelf(
        (1,),
        1.0,
        (1,),
        attributes=(50, 50),
        wanted=(0, 30, 50, 20),
        is_standard=True,
        titled=(1.0, 1.0),
        bullets=1.0,
        price_spread=0.3,
    ),
    "crowded": Shelf(
        (12, 9, 10),
        1.0,
        (0, 0, 10, 20, 30, 40),
        is_standard=True,
        wanted=(0, 0, 30, 40, 30),
        titled=(0.0, 0.05),
        bullets=0.03,
        described=0.03,
    ),
}
"""`mixed`: lines of a few siblings, and what one lacks, another has, as its page shows; `calm`: each maker has one
product of the kind, in the usual sizes; `crowded`: makers sell many that differ in properties which the listing hardly
mentions."""


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
    shelf: Shelf = SHELVES["mixed"]


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
    line_splits: tuple[Split, ...] = ("train", "test", "train", "select", "train", "train", "test")
    """Splits that successive lines are dealt to, over and over."""
    is_dealt_by_shelf: bool = False
    """Whether the lines of a shelf's families are dealt together, first lines first, so that each split has about the
    same share of hard and easy products; otherwise each family's alone, from one place later than the last's, as in the
    shop that sage-nano was taught in."""
