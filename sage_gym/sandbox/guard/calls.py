"""One call after another: what each is, what it fetches and writes, and what it runs in turn."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from sage_gym.sandbox.guard.code import INTERPRETERS, code_given, deeds_of
from sage_gym.sandbox.guard.commands import BOMB, REMOTE_CODE, Command, Feed, Redirects, program_of
from sage_gym.sandbox.guard.output import output_of
from sage_gym.sandbox.guard.places import REMOTE, UNKNOWN, Places, unquoted
from sage_gym.sandbox.guard.syntax import Node, parse, tokens
from sage_gym.sandbox.guard.words import MOST_FIELDS, Scope
from sage_gym.sandbox.guard.wrappers import SHELLS, embedded_scripts, from_find, from_parallel, from_xargs, unwrap

__all__ = ["MANY", "Calls"]

FETCHERS = frozenset(
    {"curl", "wget", "fetch", "aria2c", "http", "lynx", "GET", "scp", "sftp", "ftp", "nc", "ncat", "w3m"}
)
INPUTS = frozenset({"-", "/dev/stdin", "/dev/fd/0", "/dev/fd/63"})
LISTERS = frozenset({"find", "fd", "ls"})
INSIDE = re.compile(r"^(?:-[^=]*=|\w+=|[^=@]*=?@|-[a-zA-Z])([~/.].*)$")
"""Where a path stands inside a word."""
DEEPEST = 24
MOST_COMMANDS = 2_000
MANY = 500
"""So many rounds of a loop that leaves something in the background are a bomb."""

Script = Callable[[str, Scope, Feed], str | None]
Body = Callable[[Node, Scope, Feed], str | None]


class Calls:
    """Notes calls in `found`, and follows them. Methods return what is printed, None where that cannot be told.

    Args:
        places: the agent's own folders.
        script: runs a bash text.
        body: runs a function's body.
    """

    def __init__(self, places: Places, script: Script, body: Body) -> None:
        self.places, self.script, self._body = places, script, body
        self.found: list[Command] = []
        self._fetched: set[str] = set()
        self._unpacked: list[str] = []
        self._files: dict[str, str] = {}
        self._active: list[str] = []
        self._depth = 0

    @contextmanager
    def deeper(self) -> Iterator[bool]:
        """Go one level down; gives whether that is still allowed."""
        self._depth += 1
        try:
            yield self._depth < DEEPEST and len(self.found) < MOST_COMMANDS
        finally:
            self._depth -= 1

    def note(self, *argv: str) -> None:
        """Note a call that is only named."""
        self.found.append(Command(argv))

    def touch(self, redirects: Redirects, scope: Scope) -> None:
        """Note redirects that belong to no single call."""
        if redirects.reads or redirects.writes:
            self.found.append(Command(("",), (), redirects.reads, redirects.writes, cwd=scope.cwd))

    def write(self, paths: Sequence[str], text: str, scope: Scope) -> None:
        """Remember what a file was given; a hook will be run some time."""
        for path in paths:
            self._files[path] = self._files.get(path, "") + text
            if "/.git/hooks/" in path:
                self.script(text, scope.inner(), Feed())

    def path(self, word: str, scope: Scope) -> str:
        """Return the absolute path that a word names."""
        word = re.sub(r"^file:(//)?([^?\uf03f]*).*", r"\2", word)
        if word.startswith("~"):
            name, _, rest = word[1:].partition("/")
            word = f"{self.places.home if not name else f'/home/{name}'}/{rest}"
        return self.places.absolute(word, scope.cwd, scope.links)

    def emit(
        self, argv: Sequence[str], scope: Scope, feed: Feed | None = None, redirects: Redirects | None = None
    ) -> str | None:
        """Note a call, and follow what it calls in turn."""
        with self.deeper() as is_near:
            return self._call(list(argv), scope, feed or Feed(), redirects or Redirects()) if is_near and argv else None

    def _call(self, marked: list[str], scope: Scope, feed: Feed, redirects: Redirects) -> str | None:
        argv = [unquoted(word) for word in marked]
        name = argv[0]
        if name in scope.aliases:
            return self.script(f"{scope.aliases.pop(name)} {shlex.join(argv[1:])}", scope, feed)
        if name in scope.functions:
            self.touch(redirects, scope)
            return self._function(name, argv[1:], scope, feed)
        inside = unwrap(argv)
        if inside is not None:
            return self.emit(inside, scope, feed, redirects)
        program, code = program_of(argv), self._code(argv, feed, scope)
        operands = tuple(self.path(word, scope) for word in marked[1:] if word and not word.startswith("-"))
        mentions = [m.group(1) for word in marked[1:] for m in INSIDE.finditer(word) if "://" not in word]
        self.found.append(
            Command(
                tuple(argv), operands, redirects.reads, redirects.writes, feed, code, scope.cwd,
                tuple(self.path(path, scope) for path in mentions), dict(scope.links),
            )
        )  # fmt: skip
        self._network(argv, self.found[-1], scope)
        if code:
            self._do(program, code, scope)
        for script in embedded_scripts(argv):
            self.script(script, scope.inner(), Feed())
        if "/" in name:
            self._own_script(self.path(name, scope), argv[1:], scope, feed)
        printed = self._follow(program, argv, scope, feed)
        if printed is None and program in FETCHERS:
            return REMOTE
        return printed if printed is not None else output_of(argv, feed.text, scope.cwd)

    def _function(self, name: str, arguments: Sequence[str], scope: Scope, feed: Feed) -> str | None:
        if name in self._active:
            bodies = [scope.functions[each] for each in self._active if each in scope.functions]
            if any({"&", "|"} & tokens(body) for body in bodies):
                self.note(BOMB)
            return None
        self._active.append(name)
        printed = self._body(scope.functions[name], replace(scope, arguments=tuple(arguments)), feed)
        self._active.pop()
        return printed

    def _own_script(self, path: str, arguments: Sequence[str], scope: Scope, feed: Feed) -> str | None:
        """Run a file that was written in the same text; one that runs itself in the background is a bomb."""
        if path not in self._files:
            return None
        if path in self._active:
            if "&" in tokens(parse(self._files[path])):
                self.note(BOMB)
            return None
        self._active.append(path)
        printed = self.script(self._files[path], replace(scope.inner(), arguments=tuple(arguments), script=path), feed)
        self._active.pop()
        return printed

    def _network(self, argv: list[str], command: Command, scope: Scope) -> None:
        """Remember what is fetched, and tell where it is run."""
        program = command.program
        plain = [word for word in argv[1:] if not word.startswith("-")]
        if program in FETCHERS:
            last = {self.path(re.split("[/:]", word)[-1] or word, scope) for word in plain}
            named = {path for path in (self.path(word, scope) for word in plain) if "." in path}
            self._fetched |= {*command.writes, *last, *named}
        if (
            program in ("tar", "unzip", "bsdtar")
            and "-C" in argv[:-1]
            and any(c.program in FETCHERS for c in command.upstream())
        ):
            self._unpacked.append(self.path(argv[argv.index("-C") + 1], scope) + "/")
        takes_file = program in SHELLS or program in INTERPRETERS or program in ("source", ".")
        run = {self.path(argv[0], scope)} if "/" in argv[0] else set()
        run |= {self.path(word, scope) for word in plain[:1] if takes_file}
        is_unpacked = any(path.startswith(folder) for path in run for folder in self._unpacked)
        if REMOTE in argv[0] or REMOTE in command.code or run & self._fetched or is_unpacked:
            self.found.append(Command((REMOTE_CODE, *argv), cwd=scope.cwd))

    def _code(self, argv: list[str], feed: Feed, scope: Scope) -> str:
        """Return the code that an interpreter is given: on its command line, in a file just written, on its input."""
        program = program_of(argv)
        if program not in INTERPRETERS:
            return ""
        given = code_given(argv, program)
        operands = [word for word in argv[1:] if not word.startswith("-") or word == "-"]
        if given:
            return given
        if not operands or operands[0] in INPUTS:
            return feed.text or ""
        return self._files.get(self.path(operands[0], scope), "")

    def _do(self, program: str, code: str, scope: Scope) -> None:
        """Note what a program in another language does."""
        deeds = deeds_of(program, code)
        for call in deeds.calls:
            if call and call[0]:
                self.emit(call, scope)
        for script in deeds.scripts:
            self.script(script, scope.inner(), Feed())
        writes = tuple(self.path(path, scope) for path in deeds.writes)
        if writes:
            self.found.append(Command((program,), writes=writes, cwd=scope.cwd))

    def _follow(self, program: str, argv: list[str], scope: Scope, feed: Feed) -> str | None:
        """Do what the shell's own commands do to its state, and run what runners run."""
        rest = argv[1:]
        if program in SHELLS:
            return self._shell(rest, scope, feed)
        if program in ("cd", "pushd"):
            plain = [word for word in rest if not word.startswith("-")]
            scope.cwd = self.path(plain[0] if plain else self.places.home, scope)
            return ""
        if program == "eval":
            return self.script(" ".join(rest), scope, feed)
        if program in ("source", "."):
            return self.script(feed.text, scope, Feed()) if feed.text else None
        if program in RUNNERS:
            RUNNERS[program](self, argv, scope, feed)
        else:
            self._remember(program, rest, scope, feed)
        return None

    def _remember(self, program: str, rest: list[str], scope: Scope, feed: Feed) -> None:
        """Keep what a call tells the shell: aliases, variables, arguments, links."""
        plain = [word for word in rest if not word.startswith("-")]
        pairs = {word.partition("=")[0]: word.partition("=")[2] for word in plain if "=" in word}
        if program == "alias":
            scope.aliases.update(pairs)
        elif program in ("export", "declare", "local", "readonly", "typeset"):
            scope.variables.update(pairs)
        elif program in ("read", "readarray", "mapfile"):
            first = feed.text.split("\n", 1)[0] if feed.text else UNKNOWN
            scope.variables.update({word: first for word in plain if word.isidentifier()})
        elif program == "printf" and rest[:1] == ["-v"] and len(rest) > 2:
            scope.variables[rest[1]] = output_of(["printf", *rest[2:]], None, scope.cwd) or UNKNOWN
        elif program == "set" and "--" in rest:
            scope.arguments = tuple(rest[rest.index("--") + 1 :])
        elif program == "ln" and len(plain) > 1:
            scope.links[self.path(plain[1], scope)] = self.path(plain[0], scope)

    def _shell(self, rest: list[str], scope: Scope, feed: Feed) -> str | None:
        for at, word in enumerate(rest[:-1]):
            if re.fullmatch(r"-[a-z]*c[a-z]*", word):
                return self.script(rest[at + 1], replace(scope.inner(), arguments=tuple(rest[at + 3 :])), feed)
        plain = [word for word in rest if not word.startswith(("-", "+"))]
        if plain and plain[0] not in INPUTS and "-s" not in rest:
            return self._own_script(self.path(plain[0], scope), plain[1:], scope, feed)
        return self.script(feed.text, scope.inner(), Feed()) if feed.text else None

    def fed_words(self, feed: Feed) -> list[str]:
        """Return the words on a command's input; what a lister would print is something below where it looks."""
        if feed.text is not None and UNKNOWN not in feed.text:
            return feed.text.replace("\0", " ").split()[:MOST_FIELDS]
        below: list[str] = []
        for source in feed.sources:
            if source.program == "ls" and not source.operands:
                below.append(f"{source.cwd.rstrip('/')}/*")
            elif source.program in LISTERS:
                below += [f"{path.rstrip('/')}/{UNKNOWN}" for path in source.operands if path.startswith("/")]
        return below or [UNKNOWN]


def _find(calls: Calls, argv: list[str], scope: Scope, feed: Feed) -> None:
    del feed
    for call in from_find(argv, UNKNOWN):
        calls.emit(call, scope)


def _xargs(calls: Calls, argv: list[str], scope: Scope, feed: Feed) -> None:
    sequences = [source.argv for source in feed.sources if source.program == "seq"]
    counts = [int(word) for argv in sequences for word in argv if word.isdecimal()]
    is_endless = any(source.program == "yes" for source in feed.sources)
    if "-P" in argv and (is_endless or max(counts, default=0) >= 20 * MANY):
        calls.note(BOMB)
    calls.emit(from_xargs(argv, calls.fed_words(feed)), scope)


def _parallel(calls: Calls, argv: list[str], scope: Scope, feed: Feed) -> None:
    calls.emit(from_parallel(argv, calls.fed_words(feed)), scope)


def _later(calls: Calls, argv: list[str], scope: Scope, feed: Feed) -> None:
    del argv
    calls.script(feed.text or "", scope.inner(), Feed())


def _trap(calls: Calls, argv: list[str], scope: Scope, feed: Feed) -> None:
    del feed
    calls.script(next((word for word in argv[1:] if not word.startswith("-")), ""), scope.inner(), Feed())


def _make(calls: Calls, argv: list[str], scope: Scope, feed: Feed) -> None:
    text = feed.text if feed.text and {"-f", "-f-"} & set(argv) else "\n".join(argv[1:])
    lines = re.findall(r"^\t[@-]*(.+)$", text, re.MULTILINE) + re.findall(r"--eval=.*?\$\(shell (.+)\)", text)
    for line in lines:
        calls.script(line.replace("$$", "$"), scope.inner(), Feed())


RUNNERS: dict[str, Callable[[Calls, list[str], Scope, Feed], None]] = {
    "find": _find,
    "xargs": _xargs,
    "parallel": _parallel,
    "rush": _parallel,
    "at": _later,
    "batch": _later,
    "trap": _trap,
    "make": _make,
    "gmake": _make,
}
