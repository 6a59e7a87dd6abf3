"""A shape with its steps chosen but nothing drawn yet, and the chains that shapes are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from envs.tools.steps.draft import Draft, End, Lookup, Transform, Value
from envs.tools.steps.ends import ENDS
from envs.tools.steps.lookups import LOOKUPS
from envs.tools.steps.transforms import TRANSFORMS

__all__ = ["Chain", "Filled", "Skeleton", "chains", "ends_for", "finish"]

FEWEST_TOOLS, MOST_TOOLS, MOST_ACTS = 2, 6, 8
Step = Lookup | Transform | End


@dataclass(frozen=True, slots=True)
class Filled:
    """What building a skeleton gives beside the acts: the words of its ends, and the value to be answered, if any."""

    words: tuple[str, ...]
    answer: Value | None = None


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A shape with its steps. `tools` are those of all calls, in order, of both branches."""

    shape: str
    steps: tuple[str, ...]
    tools: tuple[str, ...]
    build: Callable[[Draft], Filled]

    @property
    def family(self) -> str:
        """The combination of tools."""
        return "+".join(sorted(set(self.tools)))

    @property
    def is_fit(self) -> bool:
        """Whether it takes two to six tools in at most eight calls."""
        return FEWEST_TOOLS <= len(set(self.tools)) <= MOST_TOOLS and len(self.tools) <= MOST_ACTS


@dataclass(frozen=True, slots=True)
class Chain:
    """A lookup and the transforms that its value goes through."""

    lookup: Lookup
    way: tuple[Transform, ...]

    @property
    def makes(self) -> str:
        """The kind of its value."""
        return self.way[-1].makes if self.way else self.lookup.makes

    @property
    def steps(self) -> tuple[str, ...]:
        """The names of its steps."""
        return (self.lookup.name, *(transform.name for transform in self.way))

    @property
    def tools(self) -> tuple[str, ...]:
        """The tools of its calls."""
        return self.lookup.tools + tuple(tool for transform in self.way for tool in transform.tools)

    def build(self, draft: Draft) -> Value:
        """Add its acts."""
        value = self.lookup.add(draft)
        for transform in self.way:
            value = transform.add(draft, value)
        return value


def chains(most: int, *, is_changing: bool) -> Iterator[Chain]:
    """Yield each lookup with each sequence of up to `most` transforms; `is_changing`: also those with an effect."""
    for lookup in LOOKUPS:
        if is_changing or not lookup.is_changing:
            for way in _ways(lookup.makes, most, ()):
                yield Chain(lookup, way)


def ends_for(kind: str, lookup: Lookup | None = None) -> tuple[End, ...]:
    """Return the ends that take a kind; `mail_them` only for what belongs to somebody."""
    is_somebodys = lookup is not None and lookup.makes == "time"
    return tuple(end for end in ENDS if kind in end.takes and (is_somebodys or end.name != "mail_them"))


def finish(draft: Draft, value: Value, *ends: End) -> Filled:
    """Add the acts of the ends; after the first the value goes by `that value`."""
    words = []
    for place, end in enumerate(ends):
        words.append(end.add(draft, value if place == 0 else replace(value, phrase="that value")))
    return Filled(tuple(words), value if any(end.is_answer for end in ends) else None)


def _ways(kind: str, most: int, taken: tuple[Transform, ...]) -> Iterator[tuple[Transform, ...]]:
    yield taken
    for transform in TRANSFORMS if most else ():
        if transform.takes == kind and transform.tools not in {earlier.tools for earlier in taken}:
            yield from _ways(transform.makes, most - 1, (*taken, transform))
