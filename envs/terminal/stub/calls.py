"""What a program of the stub is given, what it gives back, and how its words are read."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

from sage_gym.sandbox.tree import Tree

__all__ = [
    "Call", "Complaint", "Done", "Options", "Program", "decoded", "encoded", "joined", "split_lines", "told", "whole",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Done:
    """How a program ended."""

    stdout: bytes = b""
    stderr: bytes = b""
    code: int = 0


class Complaint(Exception):
    """Ends a program; the text goes to stderr, behind the program's name."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a program.

    Args:
        name: of the program.
        words: what follows it.
        stdin: read as far as a program reads.
        files: of the machine.
        folder: where it runs, absolute.
        env: its exported variables.
        run: runs another program.
        count: told how much was read; ends what reads without end.
    """

    name: str
    words: tuple[str, ...]
    stdin: BytesIO
    files: Tree
    folder: str
    env: Mapping[str, str]
    run: Callable[[Sequence[str], bytes], Done]
    count: Callable[[int], None]

    def path(self, name: str) -> str:
        """Return a name as an absolute path; links stay, and no name is that of nothing."""
        return posixpath.join(self.folder, name or "\0")

    def read(self, name: str) -> bytes:
        """Read a file, or stdin where the name is `-`.

        Raises:
            Complaint: it cannot be read.
        """
        if name == "-":
            return self.stdin.read()
        with told(name):
            content = self.files.read(self.path(name))
        self.count(len(content))
        return content

    def each(self, names: Sequence[str]) -> tuple[list[tuple[str, bytes]], Done]:
        """Return name and content of each file that can be read, and how the program ends for those that cannot."""
        found, errors = list[tuple[str, bytes]](), list[str]()
        for name in names or ("-",):
            try:
                found.append((name, self.read(name)))
            except Complaint as error:
                errors.append(f"{self.name}: {error}")
        return found, Done(stderr=joined(errors), code=int(bool(errors)))

    def texts(self, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield name and text of each file; of stdin where none is named.

        Raises:
            Complaint: one cannot be read.
        """
        for name in names or ("-",):
            yield name, decoded(self.read(name))

    def lines(self, names: Sequence[str]) -> list[str]:
        """Return the lines of all files, or of stdin.

        Raises:
            Complaint: one cannot be read.
        """
        return [line for _, text in self.texts(names) for line in split_lines(text)]


Program = Callable[[Call], Done]


@contextmanager
def told(name: str, code: int = 1) -> Iterator[None]:
    """Turn an error of the system into a complaint about a name."""
    try:
        yield
    except OSError as error:
        raise Complaint(f"{name}: {error.strerror}", code) from error


class Options:
    """The words of a call, parted into options and names.

    Args:
        words: of the call.
        flags: letters of options without a value.
        valued: letters of options with one.
        long: name of a long option → its letter.

    Raises:
        Complaint: an option is none of these, or lacks its value: nothing is silently passed over.
    """

    def __init__(
        self, words: Sequence[str], flags: str = "", valued: str = "", long: Mapping[str, str] | None = None
    ) -> None:
        self.names: list[str] = []
        self.given: dict[str, list[str]] = {}
        self._flags, self._valued, self._long = flags, valued, long or {}
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if word == "--":
                self.names += rest
                break
            if word.startswith("--"):
                self._take_long(word[2:], rest)
            elif word.startswith("-") and len(word) > 1:
                self._take_short(word[1:], rest)
            else:
                self.names.append(word)

    def __contains__(self, letter: str) -> bool:
        return letter in self.given

    def value(self, letter: str, default: str = "") -> str:
        """Return an option's last value."""
        return self.given.get(letter, [default])[-1]

    def number(self, letter: str, default: int) -> int:
        """Return an option's value as a whole number.

        Raises:
            Complaint: it is none.
        """
        return whole(self.value(letter, str(default)))

    def _take_long(self, written: str, rest: list[str]) -> None:
        name, equals, value = written.partition("=")
        letter = self._long.get(name)
        if letter is None:
            raise Complaint(f"the stub does not know the option --{name}", 2)
        if letter in self._valued:
            self._put(letter, value if equals else self._next(f"--{name}", rest))
        else:
            self._put(letter, "")

    def _take_short(self, letters: str, rest: list[str]) -> None:
        for at, letter in enumerate(letters):
            if letter in self._valued:
                self._put(letter, letters[at + 1 :] or self._next(f"-{letter}", rest))
                return
            if letter not in self._flags:
                raise Complaint(f"the stub does not know the option -{letter}", 2)
            self._put(letter, "")

    def _next(self, option: str, rest: list[str]) -> str:
        if not rest:
            raise Complaint(f"option {option} requires an argument", 2)
        return rest.pop(0)

    def _put(self, letter: str, value: str) -> None:
        self.given.setdefault(letter, []).append(value)


def whole(text: str) -> int:
    """Read a whole number.

    Raises:
        Complaint: it is none, or has more digits than anybody needs.
    """
    try:
        return int(text) if len(text) < 18 and text.isascii() else int("")
    except ValueError:
        raise Complaint(f"invalid number: {text!r}") from None


def decoded(data: bytes) -> str:
    """Return bytes as text from which they can be had back."""
    return data.decode("utf-8", "surrogateescape")


def encoded(text: str) -> bytes:
    """Return the bytes of a text."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "replace")


def split_lines(text: str) -> list[str]:
    """Return lines; only a line feed ends one."""
    parts = text.split("\n")
    return parts if parts[-1] else parts[:-1]


def joined(lines: Sequence[str]) -> bytes:
    """Write lines."""
    return encoded("".join(f"{line}\n" for line in lines))
