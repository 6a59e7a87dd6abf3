"""A plan in the making, and the typed steps that add to it.

Kinds of values: `eur` and `foreign` (money in euros and in another currency), `km`, `kg`, `celsius`, `imperial` (what
these are converted to), `count`, `time`; a person is not a value but who something is sent to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from envs.tools.plan import Act, Argument, Threshold
from envs.tools.world import World

__all__ = ["Draft", "End", "Lookup", "Recipient", "Transform", "Value", "Who"]

T = TypeVar("T")
KINDS = ("eur", "foreign", "km", "kg", "celsius", "imperial", "count", "time")


@dataclass(slots=True)
class Draft:
    """Collects acts and words. `when` is the branch that acts are being added to."""

    world: World
    rng: Random
    acts: list[Act] = field(default_factory=list)
    leads: list[str] = field(default_factory=list)
    when: Threshold | None = None
    _used: dict[str, set[str]] = field(default_factory=dict)

    def call(self, tool: str, **arguments: Argument) -> int:
        """Add a call; return its place, by which its answer is named."""
        self.acts.append(Act(tool, tuple(arguments.items()), self.when))
        return len(self.acts) - 1

    def pick(self, pool: str, options: Sequence[T]) -> T:
        """Draw what was not drawn before for the same purpose."""
        used = self._used.setdefault(pool, set())
        left = [option for option in options if repr(option) not in used]
        chosen = self.rng.choice(left)
        used.add(repr(chosen))
        return chosen

    def say(self, *phrases: str) -> str:
        """Choose one of several wordings."""
        return self.rng.choice(phrases)


@dataclass(frozen=True, slots=True)
class Value:
    """A value that is known once the acts so far are done: `{3.result}`, and how an instruction calls it."""

    kind: str
    slot: str
    phrase: str
    unit: str = ""
    person: str = ""
    """The slot of the e-mail address of whom it belongs to, for `mail_them`."""


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody whose e-mail address is known once the acts so far are done."""

    slot: str
    phrase: str


@dataclass(frozen=True, slots=True)
class Lookup:
    """A step that begins a chain: consumes nothing, produces a value."""

    name: str
    tools: tuple[str, ...]
    makes: str
    add: Callable[[Draft], Value]
    is_changing: bool = False


@dataclass(frozen=True, slots=True)
class Transform:
    """A step that makes one value of another."""

    name: str
    tools: tuple[str, ...]
    takes: str
    makes: str
    add: Callable[[Draft, Value], Value]


@dataclass(frozen=True, slots=True)
class Recipient:
    """A step that finds somebody."""

    name: str
    tools: tuple[str, ...]
    add: Callable[[Draft], Who]


@dataclass(frozen=True, slots=True)
class End:
    """A step that uses a value up. `add` gives the words of it, an imperative without its full stop."""

    name: str
    tools: tuple[str, ...]
    takes: tuple[str, ...]
    add: Callable[[Draft, Value], str]
    is_answer: bool = False
