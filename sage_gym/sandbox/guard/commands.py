"""What would run: simple commands as they would be called, with what they read, write and are fed."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

from sage_gym.sandbox.guard.places import UNKNOWN

__all__ = ["BOMB", "REMOTE_CODE", "Command", "Feed", "Redirects", "program_of"]

BOMB = "(fork bomb)"
"""The program of what stands for a function or loop that multiplies itself."""
REMOTE_CODE = "(remote code)"
"""The program of what stands for running what was fetched."""


@dataclass(frozen=True, slots=True)
class Feed:
    """What comes in on standard input: its text, where that is known, and the commands that it comes from."""

    text: str | None = None
    sources: tuple[Command, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """One call of a program. Paths in `reads`, `writes` and `operands` are absolute.

    Args:
        argv: the words, `UNKNOWN` for what cannot be told.
        operands: its words that are no options, as paths.
        mentions: the paths inside its other words, such as behind `if=`, `@` or `--file=`.
        reads: what it is redirected from.
        writes: what it is redirected to.
        feed: see there.
        code: what an interpreter among them is given to run, when it is no shell.
        cwd: the folder it runs in.
        links: the symbolic links that were made before.
    """

    argv: tuple[str, ...]
    operands: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    feed: Feed = field(default_factory=Feed)
    code: str = ""
    cwd: str = ""
    mentions: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def program(self) -> str:
        """The program's name without its folder."""
        return program_of(self.argv)

    def told(self) -> str:
        """Return the call as one would write it, its redirects behind it."""
        redirects = [f"< {path}" for path in self.reads] + [f"> {path}" for path in self.writes]
        return " ".join(filter(None, [*self.argv, *redirects]))

    def upstream(self) -> list[Command]:
        """Return every command that this one's input comes from, however far."""
        found: list[Command] = []
        for source in self.feed.sources:
            found += [source, *source.upstream()]
        return found


@dataclass(frozen=True, slots=True)
class Redirects:
    """Where a command is redirected from and to, and what it is thereby fed."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    feed: Feed | None = None
    is_silent: bool = False
    """Whether standard output goes to a file."""

    def __or__(self, other: Redirects) -> Redirects:
        """Put those of a command behind those of the statement around it."""
        return Redirects(
            self.reads + other.reads,
            self.writes + other.writes,
            other.feed or self.feed,
            self.is_silent or other.is_silent,
        )


def program_of(argv: tuple[str, ...] | list[str]) -> str:
    """Return a call's program without folder and version: `python` for `/usr/bin/python3.11`."""
    name = posixpath.basename(argv[0]) if argv else ""
    if name.startswith(("python", "pypy")) and UNKNOWN not in name:
        return "python"
    return name
