"""Rules as data: what they look at in a command, and the file that holds the default ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from importlib.resources import files
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sage_gym.sandbox.guard.commands import Command
from sage_gym.sandbox.guard.places import UNKNOWN, Places, is_glob

__all__ = ["Action", "Match", "Rule", "read_rules"]

Action = Literal["allow", "deny", "ask"]
Kind = Literal[
    "stream", "own", "outside", "whole", "root", "home", "workspace", "device", "kernel", "secret", "people", "anywhere"
]


class Match(BaseModel):
    """What must be true of a command; what is left out does not matter. Patterns are regular expressions.

    Args:
        programs: names, with `*` as in file names; a name that is itself a pattern matches what it could stand for.
        not_programs: names that this does not speak of.
        argument: found in one of the words behind the name.
        without: found in none of them.
        text: found in all words, joined by blanks.
        code: found in the code that an interpreter is given, or in what it reads from its input.
        operands: one of its operands is of such a kind; `last` looks at the last alone, `skip` leaves out the first.
        names: one of its operands, or of the paths inside its other words, is of such a kind.
        value: an argument's part behind this prefix (`of=`) is of one of the kinds `operands`.
        writes: it is redirected to such a place.
        reads: it is redirected from such a place.
        feeds: a command before it in the pipe, or in a substitution it reads, is one of these programs.
        fed: what it is fed holds this.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    programs: tuple[str, ...] = ()
    not_programs: tuple[str, ...] = ()
    argument: str | None = None
    without: str | None = None
    text: str | None = None
    code: str | None = None
    operands: frozenset[Kind] = frozenset()
    names: frozenset[Kind] = frozenset()
    last: bool = False
    skip: int = Field(default=0, ge=0)
    value: str | None = None
    writes: frozenset[Kind] = frozenset()
    reads: frozenset[Kind] = frozenset()
    feeds: tuple[str, ...] = ()
    fed: str | None = None

    @field_validator("argument", "without", "text", "code", "fed")
    @classmethod
    def _is_pattern(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"expected a regular expression, got {value!r}: {error}") from error
        return value

    def holds(self, command: Command, places: Places) -> bool:
        """Say whether all of it is true of this command."""
        words = command.argv[1:]
        return (
            (not self.programs or _is_one_of(command.program, self.programs))
            and not (self.not_programs and _is_one_of(command.program, self.not_programs))
            and (self.argument is None or any(re.search(self.argument, word) for word in words))
            and (self.without is None or not any(re.search(self.without, word) for word in words))
            and (self.text is None or bool(re.search(self.text, " ".join(words))))
            and (self.code is None or bool(re.search(self.code, command.code, re.DOTALL)))
            and (not self.operands or self._has_operand(command, places))
            and not (self.names and not _kinds((*command.operands, *command.mentions), places) & self.names)
            and (not self.writes or bool(_kinds(command.writes, places) & self.writes))
            and (not self.reads or bool(_kinds(command.reads, places) & self.reads))
            and (not self.feeds or any(_is_one_of(c.program, self.feeds) for c in command.upstream()))
            and (self.fed is None or bool(re.search(self.fed, command.feed.text or "")))
        )

    def _has_operand(self, command: Command, places: Places) -> bool:
        if self.value is not None:
            found = [w.removeprefix(self.value) for w in command.argv[1:] if w.startswith(self.value)]
            return bool(
                _kinds([places.absolute(path, command.cwd, command.links) for path in found], places) & self.operands
            )
        operands = command.operands[self.skip :]
        return bool(_kinds(operands[-1:] if self.last else operands, places) & self.operands)


class Rule(BaseModel):
    """One rule: the first whose `match` holds decides about a command.

    Args:
        name: what the record calls it.
        action: what it decides.
        reason: what the agent is told.
        match: any one of these is enough.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    action: Action
    reason: str
    match: tuple[Match, ...]

    def holds(self, command: Command, places: Places) -> bool:
        """Say whether the rule speaks of this command."""
        return any(match.holds(command, places) for match in self.match)


class RuleFile(BaseModel):
    """A file of rules."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: tuple[Rule, ...]


def read_rules(path: Path | None = None) -> tuple[Rule, ...]:
    """Read rules from a YAML file, by default the ones that come with the guard.

    Raises:
        pydantic.ValidationError: the file does not hold rules.
    """
    text = path.read_text(encoding="utf-8") if path else files(__package__).joinpath("rules.yaml").read_text("utf-8")
    return RuleFile.model_validate(yaml.safe_load(text)).rules


def _kinds(paths: Iterable[str], places: Places) -> frozenset[str]:
    return frozenset[str]().union(*(places.kinds(path) for path in paths))


def _is_one_of(program: str, names: Sequence[str]) -> bool:
    if is_glob(program):
        return any(fnmatchcase(name, program) for name in names if "*" not in name)
    return bool(program) and UNKNOWN not in program and any(fnmatchcase(program, name) for name in names)
