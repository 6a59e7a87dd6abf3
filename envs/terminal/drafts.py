"""What a kind of task is made of, and the words that its names are drawn from."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from envs.terminal.problems import File, Goal

__all__ = ["CITIES", "LEVELS", "NAMES", "Draft", "Draw", "Kind", "lines", "table"]

NOUNS = {
    "train": (
        "amber", "anchor", "apple", "autumn", "badger", "basin", "beacon", "birch", "bramble", "breeze", "brook",
        "candle", "canyon", "cedar", "cinder", "clover", "comet", "copper", "coral", "cotton", "crane", "delta",
        "ember", "falcon", "fern", "finch", "flint", "forge", "garnet", "glade",
    ),
    "select": (
        "harbor", "hazel", "heron", "hollow", "indigo", "island", "ivory", "jasper", "juniper", "kestrel", "lagoon",
        "lantern", "larch", "lilac", "linden", "magnet",
    ),
    "test": (
        "maple", "marble", "meadow", "mosaic", "nectar", "oakwood", "onyx", "orchid", "otter", "pebble", "pepper",
        "quartz", "raven", "saffron", "sierra", "thistle", "timber", "walnut", "willow", "zephyr",
    ),
    "demonstrations": (
        "acorn", "alder", "almond", "arrow", "aspen", "bobcat", "bonsai", "cactus", "camel", "canoe", "cavern", "chalk",
        "citrus", "cobalt", "cove", "cypress", "daisy", "donkey", "dune", "eagle", "easel", "fjord", "galaxy", "gecko",
        "geyser", "ginger", "glacier", "granite", "hamlet", "hickory", "iguana", "inlet", "jacket", "kayak", "kettle",
        "lemon", "llama", "lotus", "mango", "mantle", "mill", "mustard", "nugget", "oasis", "olive", "oyster", "paddle",
        "panda", "parrot", "peach", "petal", "pigeon", "plume", "pond", "prairie", "puffin", "rocket", "ruby", "sandal",
        "spruce", "squid", "sunset", "tulip", "tundra", "turtle", "vapor", "velvet", "violet", "wagon", "wombat",
    ),
}  # fmt: skip
"""By group of splits, which share none."""
NAMES = (
    "ada", "ben", "cleo", "dora", "emil", "fay", "gus", "hana", "ivan", "june", "karl", "lena", "milo", "nora", "otto",
    "pia", "quinn", "rosa", "sven", "tess",
)  # fmt: skip
CITIES = ("Bergen", "Cadiz", "Dover", "Essen", "Faro", "Ghent", "Hull", "Izmir")
LEVELS = ("ERROR", "WARN", "INFO", "DEBUG")


@dataclass(frozen=True, slots=True)
class Draft:
    """A task without its words: what they may name, what is there, what is wanted, and the commands that do it."""

    fields: Mapping[str, object]
    goal: Goal
    solution: Sequence[str]
    files: Sequence[File] = ()
    programs: Sequence[str] = ()


@dataclass(slots=True)
class Draw:
    """A source of chance for one task."""

    rng: random.Random
    group: str
    _taken: set[str] = field(default_factory=set)

    def nouns(self, count: int) -> list[str]:
        """Return words that this task has not had."""
        left = [noun for noun in NOUNS[self.group] if noun not in self._taken]
        found = self.rng.sample(left, count)
        self._taken.update(found)
        return found

    def noun(self) -> str:
        """Return one word that this task has not had."""
        return self.nouns(1)[0]

    def numbers(self, count: int, low: int, high: int) -> list[int]:
        """Return different numbers."""
        return self.rng.sample(range(low, high), count)

    def prose(self, count: int) -> list[str]:
        """Return lines of a few words; words may come again."""
        words = NOUNS[self.group]
        return [" ".join(self.rng.choices(words, k=self.rng.randint(2, 5))) for _ in range(count)]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of task. `group` is `seen` of those met in training, else the only split that has it."""

    name: str
    group: str
    make: Callable[[Draw], Draft]


def lines(found: Sequence[object]) -> bytes:
    """Write lines."""
    return "".join(f"{line}\n" for line in found).encode()


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    """Write comma-separated values with a head."""
    return lines([",".join(map(str, row)) for row in (head, *rows)])
