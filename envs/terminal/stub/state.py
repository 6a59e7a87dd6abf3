"""What a shell knows while it runs, and the ways in which it stops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sage_gym.sandbox.guard.words import Scope

__all__ = ["Exit", "Leave", "OutOfTime", "State"]


class Exit(Exception):
    """Ends a shell with a code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Leave(Exception):
    """Leaves a loop (`break`), its present round (`continue`), or a function (`return`)."""

    def __init__(self, word: str, code: int = 0) -> None:
        super().__init__(word)
        self.word, self.code = word, code


class OutOfTime(Exception):
    """More commands, or bytes, than anybody would wait for."""


@dataclass(slots=True)
class State(Scope):
    """What a shell knows at one point, with the last command's code."""

    code: int = 0
    exported: set[str] = field(default_factory=set)

    def value(self, name: str) -> str | None:
        """Return a parameter's value; None where it is not set."""
        return str(self.code) if name == "?" else Scope.value(self, name)

    def inner(self) -> State:
        """Return a copy, as a subshell has it."""
        copy = Scope.inner(self)
        copy.exported = set(self.exported)  # type: ignore[attr-defined]
        return copy  # type: ignore[return-value]

    @property
    def env(self) -> Mapping[str, str]:
        """The exported variables."""
        return {name: self.variables[name] for name in sorted(self.exported) if name in self.variables}
