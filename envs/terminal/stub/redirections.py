"""Where a command reads from and writes to, and what `<`, `>`, `>>`, `2>`, `&>` and `<<<` change about it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO

from envs.terminal.stub.calls import Complaint
from envs.terminal.stub.heredocs import FOLDER
from sage_gym.sandbox.guard.syntax import Node, text_of
from sage_gym.sandbox.tree import Tree

__all__ = ["Refused", "Streams", "redirected"]

NOWHERE = "/dev/null"
OPERATORS = (">", ">>", ">|", "&>", "&>>", "<", ">&", "<&")


@dataclass(frozen=True, slots=True)
class Streams:
    """Where a command reads from, and writes its output and its errors."""

    stdin: BytesIO
    out: BytesIO
    errors: BytesIO

    def size(self) -> int:
        """Return how much was written to both."""
        return self.out.tell() + self.errors.tell()


class Refused(Complaint):
    """A file that cannot be opened: its command is not run, and the next one is."""


@contextmanager
def redirected(
    node: Node, streams: Streams, files: Tree, folder: str, word: Callable[[Node], str], heredoc: Callable[[str], bytes]
) -> Iterator[Streams]:
    """Give a command its streams as the redirections of a node have it; files are written when it has ended.

    Args:
        node: a command, or a statement with redirections.
        streams: those around it.
        files: of the machine.
        folder: that names belong to.
        word: gives the one word that a node of the parser expands to.
        heredoc: gives the here-document that a path below its folder stands for.

    Raises:
        Refused: a file cannot be read or written.
        Complaint: a redirection is not known.
    """
    ends: dict[str, BytesIO] = {"0": streams.stdin, "1": streams.out, "2": streams.errors}
    written = list[tuple[str, BytesIO]]()
    for part in node.children:
        if part.type == "herestring_redirect":
            ends["0"] = BytesIO(f"{word(part.named_children[-1])}\n".encode("utf-8", "surrogateescape"))
        elif part.type == "file_redirect":
            operator, numbers, name = _parts(part, word)
            if operator == "<" and name.startswith(FOLDER):
                ends["0"] = BytesIO(heredoc(name))
            else:
                _redirect(operator, numbers, name, ends, written, files, folder)
        elif part.type.endswith("_redirect"):
            raise Complaint("the stub's shell does not know this here-document", 2)
    try:
        yield Streams(ends["0"], ends["1"], ends["2"])
    finally:
        for path, buffer in written:
            if files.find(path) is not None:  # else the command itself took it away
                _put(files, path, path, buffer.getvalue())


def _parts(part: Node, word: Callable[[Node], str]) -> tuple[str, list[str], str]:
    """Return a redirection's operator, the descriptor in front of it, and the name behind it."""
    numbers = [text_of(child) for child in part.named_children if child.type == "file_descriptor"]
    operator = next((child.type for child in part.children if not child.is_named), "")
    targets = [child for child in part.named_children if child.type != "file_descriptor"]
    if operator not in OPERATORS or len(targets) != 1:
        raise Complaint(f"the stub's shell does not know the redirection {text_of(part)!r}", 2)
    return operator, numbers, word(targets[0])


def _redirect(
    operator: str,
    numbers: list[str],
    name: str,
    ends: dict[str, BytesIO],
    written: list[tuple[str, BytesIO]],
    files: Tree,
    folder: str,
) -> None:
    end = numbers[0] if numbers else "0" if operator.startswith("<") else "1"
    if operator in (">&", "<&"):
        if name not in ends:
            raise Refused(f"{name}: Bad file descriptor")
        ends[end] = ends[name]
        return
    path = posixpath.join(folder, name)
    if operator == "<":
        ends[end] = BytesIO(b"" if path == NOWHERE else _opened(files, path, name))
        return
    buffer = BytesIO()
    if path != NOWHERE:
        is_there = operator.endswith(">>") and files.find(path) is not None
        buffer.write(_opened(files, path, name) if is_there else b"")
        _put(files, path, name, buffer.getvalue())
        written.append((path, buffer))
    for each in ("1", "2") if operator.startswith("&") else (end,):
        ends[each] = buffer


def _opened(files: Tree, path: str, name: str) -> bytes:
    try:
        return files.read(path)
    except OSError as error:
        raise Refused(f"{name}: {error.strerror}") from error


def _put(files: Tree, path: str, name: str, content: bytes) -> None:
    try:
        files.put(path, content)
    except OSError as error:
        raise Refused(f"{name}: {error.strerror}") from error
