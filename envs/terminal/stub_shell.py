"""A bash for the stub sandbox: pipes, `;`, `>` and a dozen text programs, as Python functions over files in memory.

For tests and demonstrations without an engine. It has no variables, loops, patterns, modes or processes: of the
generator's kinds, `STUB_KINDS` can be solved with it. What it does not know it says, as a shell does of a program that
is missing.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Mapping

from sage_gym.sandbox import Limits
from sage_gym.sandbox.stub import Said, StubCall, StubSandbox

__all__ = ["STUB_KINDS", "stub_sandbox"]

STUB_KINDS = ("count_lines", "merge_lists", "take_column", "missing_lines")
OPERATORS = ("|", ";", ">", ">>")
Filter = Callable[[list[str], list[str], "Files"], list[str]]


class Misused(Exception):
    """A program that was called in a way it does not know; the text says how."""


class Files:
    """The files of a call, by the names that a command uses."""

    def __init__(self, call: StubCall) -> None:
        self._call = call

    def lines(self, name: str) -> list[str]:
        """Return a file's lines.

        Raises:
            Misused: there is none.
        """
        content = self._call.files.get(self._call.path(name))
        if content is None:
            raise Misused(f"{name}: No such file or directory")
        return content.decode(errors="replace").splitlines()

    def put(self, name: str, lines: list[str], *, is_added: bool) -> None:
        """Write a file's lines.

        Raises:
            Misused: it would lie outside of what may be written.
        """
        path = self._call.path(name)
        if not path.startswith(("/workspace/", "/tmp/")):
            raise Misused(f"{name}: Read-only file system")
        before = self._call.files.get(path, b"") if is_added else b""
        self._call.files[path] = before + "".join(f"{line}\n" for line in lines).encode()

    def names(self, folder: str) -> list[str]:
        """Return what lies directly in a folder."""
        start = self._call.path(folder).rstrip("/") + "/"
        return sorted({path[len(start) :].partition("/")[0] for path in self._call.files if path.startswith(start)})

    def remove(self, name: str) -> None:
        """Delete a file."""
        self.lines(name)
        del self._call.files[self._call.path(name)]

    @property
    def folder(self) -> str:
        """The folder that the command runs in."""
        return posixpath.normpath(self._call.cwd)


def stub_sandbox(limits: Limits | None = None) -> StubSandbox:
    """Return a stub sandbox that has this bash."""
    return StubSandbox({"bash": _bash}, limits)


def _bash(call: StubCall) -> Said:
    """Run `bash -c TEXT`."""
    files, out = Files(call), list[str]()
    try:
        for command in _split(_tokens(call.argv[2]), ";"):
            out += _pipeline(command, files)
    except Misused as error:
        said = "".join(f"{line}\n" for line in out).encode()
        return Said(said, f"bash: {error}\n".encode(), 127 if "command not found" in str(error) else 1)
    return Said("".join(f"{line}\n" for line in out).encode())


def _tokens(text: str) -> list[str]:
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|;<>&()")
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        tokens = list(lexer)
    except ValueError as error:
        raise Misused(f"syntax error: {error}") from error
    strange = [token for token in tokens if set(token) <= set("|;<>&()") and token not in OPERATORS]
    if strange or re.search(r"[`$]", text):
        raise Misused(f"the stub shell does not know {strange[0] if strange else '$ and `'}")
    return tokens


def _split(tokens: list[str], operator: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == operator:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def _pipeline(tokens: list[str], files: Files) -> list[str]:
    read: list[str] = []
    for command in _split(tokens, "|"):
        at = next((at for at, token in enumerate(command) if token in (">", ">>")), len(command))
        words, target = command[:at], command[at:]
        if not words or (target and len(target) != 2):
            raise Misused("syntax error near a redirection")
        if words[0] not in PROGRAMS:
            raise Misused(f"{words[0]}: command not found")
        read = PROGRAMS[words[0]](words[1:], read, files)
        if target:
            files.put(target[1], read, is_added=target[0] == ">>")
            read = []
    return read


def _parsed(words: list[str], valued: str = "") -> tuple[dict[str, str], list[str]]:
    """Split options from names; `valued` are letters of options that take the next word."""
    options, names, rest = dict[str, str](), list[str](), list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            names.append(word)
        elif word[1] in valued:
            options[word[1]] = word[2:] or (rest.pop(0) if rest else "")
        else:
            options.update(dict.fromkeys(word[1:], ""))
    return options, names


def _input(names: list[str], read: list[str], files: Files) -> list[str]:
    return [line for name in names for line in files.lines(name)] if names else read


def _number(text: str) -> int:
    found = re.fullmatch(r"\+?\d+", text)
    if found is None:
        raise Misused(f"expected a number, got {text!r}")
    return int(text)


def _sort(words: list[str], read: list[str], files: Files) -> list[str]:
    options, names = _parsed(words)
    found = sorted(_input(names, read, files))
    if "n" in options:
        found.sort(key=lambda line: int(start[0]) if (start := re.match(r"\s*-?\d+", line)) else 0)
    found = list(dict.fromkeys(found)) if "u" in options else found
    return found[::-1] if "r" in options else found


def _grep(words: list[str], read: list[str], files: Files) -> list[str]:
    options, names = _parsed(words, "ef")
    if not (options.keys() & {"e", "f"} or names):
        raise Misused("grep: no pattern")
    patterns = files.lines(options["f"]) if "f" in options else [options["e"] if "e" in options else names.pop(0)]
    flags = re.IGNORECASE if "i" in options else 0
    written = [re.escape(pattern) if "F" in options else pattern for pattern in patterns]
    try:
        compiled = [re.compile(f"^({pattern})$" if "x" in options else pattern, flags) for pattern in written]
    except re.error as error:
        raise Misused(f"grep: {error}") from error
    lines = _input(names, read, files)
    found = [line for line in lines if any(pattern.search(line) for pattern in compiled) is not ("v" in options)]
    return [str(len(found))] if "c" in options else found


def _cut(words: list[str], read: list[str], files: Files) -> list[str]:
    options, names = _parsed(words, "df")
    at = _number(options.get("f", ""))
    sign = options.get("d", "\t")
    return [line.split(sign)[at - 1] if line.count(sign) >= at - 1 else "" for line in _input(names, read, files)]


def _tail(words: list[str], read: list[str], files: Files) -> list[str]:
    options, names = _parsed(words, "n")
    count, found = options.get("n", "10"), _input(names, read, files)
    return found[_number(count) - 1 :] if count.startswith("+") else found[max(0, len(found) - _number(count)) :]


def _head(words: list[str], read: list[str], files: Files) -> list[str]:
    options, names = _parsed(words, "n")
    return _input(names, read, files)[: _number(options.get("n", "10"))]


def _uniq(words: list[str], read: list[str], files: Files) -> list[str]:
    found = _input(_parsed(words)[1], read, files)
    return [line for at, line in enumerate(found) if at == 0 or line != found[at - 1]]


def _rm(words: list[str], read: list[str], files: Files) -> list[str]:
    for name in _parsed(words)[1]:
        files.remove(name)
    return []


PROGRAMS: Mapping[str, Filter] = {
    "cat": lambda words, read, files: _input(_parsed(words)[1], read, files),
    "cut": _cut,
    "echo": lambda words, read, files: [" ".join(words)],
    "grep": _grep,
    "head": _head,
    "ls": lambda words, read, files: files.names((_parsed(words)[1] or ["."])[0]),
    "pwd": lambda words, read, files: [files.folder],
    "rm": _rm,
    "sort": _sort,
    "tail": _tail,
    "true": lambda words, read, files: [],
    "uniq": _uniq,
    "wc": lambda words, read, files: [str(len(_input(_parsed(words)[1], read, files)))],
}
