"""find: names below a folder by name, kind, size, mode and depth, and what is done with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from envs.terminal.stub.calls import Call, Complaint, Done, encoded, told, whole
from envs.terminal.stub.files import changed_mode
from envs.terminal.stub.globs import is_like
from sage_gym.sandbox.tree import Node

__all__ = ["find"]

KINDS = {"f": "file", "d": "folder", "l": "link"}
SIZE = re.compile(r"([+-]?)(\d+)([cwbkMG]?)")
UNITS = {"c": 1, "w": 2, "b": 512, "": 512, "k": 1024, "M": 1024**2, "G": 1024**3}


@dataclass(slots=True)
class Found:
    """A name that was come upon."""

    path: str
    name: str
    node: Node
    depth: int


Test = Callable[[Found], bool]


@dataclass(slots=True)
class Search:
    """What a search writes and gathers."""

    call: Call
    out: list[str] = field(default_factory=list)
    errors: bytes = b""
    gathered: dict[int, tuple[tuple[str, ...], list[str]]] = field(default_factory=dict)
    """Commands that are run once in the end, with all names."""
    code: int = 0

    def run(self, words: Sequence[str]) -> bool:
        """Run a command; say whether it did well."""
        done = self.call.run(words, b"")
        self.out.append(done.stdout.decode("utf-8", "surrogateescape"))
        self.errors += done.stderr
        return done.code == 0


def find(call: Call) -> Done:
    """Run find."""
    words, starts = list(call.words), list[str]()
    while words and not words[0].startswith("-") and words[0] not in ("(", "!"):
        starts.append(words.pop(0))
    search = Search(call)
    reader = _Reader(words, search)
    test = reader.read()
    for start in starts or ["."]:
        try:
            with told(start):
                node = call.files.node(call.path(start), is_followed=False)
        except Complaint as error:
            search.errors += encoded(f"find: {error}\n")
            search.code = 1
            continue
        for each in _below(call, start, start.rstrip("/").rpartition("/")[2] or start, node, 0, reader):
            if each.depth >= reader.least:
                test(each)
    for words_, names in search.gathered.values():
        search.code |= int(bool(names) and not search.run([*words_, *names]))
    return Done(encoded("".join(search.out)), search.errors, search.code)


def _below(call: Call, path: str, name: str, node: Node, depth: int, reader: _Reader) -> Iterator[Found]:
    here = Found(path, name, node, depth)
    if not reader.is_deep_first:
        yield here
    if node.kind == "folder" and depth < reader.most:
        for inner in call.files.names(call.path(path)):
            below = f"{path.rstrip('/')}/{inner}"
            held = call.files.node(call.path(below), is_followed=False)
            yield from _below(call, below, inner, held, depth + 1, reader)
    if reader.is_deep_first:
        yield here


class _Reader:
    """Reads what comes behind the folders."""

    def __init__(self, words: Sequence[str], search: Search) -> None:
        self._words, self._at, self._search = words, 0, search
        self.least, self.most, self._acts = 0, 1 << 20, False
        self.is_deep_first = "-delete" in words or "-depth" in words

    def read(self) -> Test:
        """Read a whole expression; without an action, names are printed."""
        test = self._either() if self._words else _always
        if self._at < len(self._words):
            raise Complaint(f"the stub's find does not know {self._words[self._at]!r} here")
        return test if self._acts else _both(test, self._printing("\n"))

    def _either(self) -> Test:
        test = self._all()
        while self._accept("-o", "-or"):
            test = _one_of(test, self._all())
        return test

    def _all(self) -> Test:
        test = self._one()
        while self._at < len(self._words) and self._words[self._at] not in ("-o", "-or", ")"):
            self._accept("-a", "-and")
            test = _both(test, self._one())
        return test

    def _one(self) -> Test:
        if self._accept("!", "-not"):
            return _not(self._one())
        if self._accept("("):
            test = self._either()
            if not self._accept(")"):
                raise Complaint("expected )")
            return test
        word = self._next()
        read = getattr(self, f"_read_{word[1:]}", None) if word.startswith("-") else None
        if read is None:
            raise Complaint(f"the stub's find does not know {word!r}")
        return read()  # type: ignore[no-any-return]

    def _read_name(self) -> Test:
        pattern = self._next()
        return lambda found: is_like(found.name, pattern)

    def _read_iname(self) -> Test:
        pattern = self._next().lower()
        return lambda found: is_like(found.name.lower(), pattern)

    def _read_path(self) -> Test:
        pattern = self._next()
        return lambda found: is_like(found.path, pattern)

    def _read_type(self) -> Test:
        kind = KINDS.get(self._next())
        if kind is None:
            raise Complaint("the stub has files (f), folders (d) and links (l) only")
        return lambda found: found.node.kind == kind

    def _read_empty(self) -> Test:
        call = self._search.call

        def is_empty(found: Found) -> bool:
            if found.node.kind == "folder":
                return not call.files.names(call.path(found.path))
            return found.node.kind == "file" and not found.node.content

        return is_empty

    def _read_size(self) -> Test:
        read = SIZE.fullmatch(self._next())
        if read is None:
            raise Complaint("expected a size such as +10k")
        sign, count, unit = read[1], int(read[2]), UNITS[read[3]]
        return lambda found: _is_so_much(-(-len(found.node.content) // unit), sign, count)

    def _read_perm(self) -> Test:
        written = self._next()
        sign = written[0] if written[0] in "-/" else ""
        mode = changed_mode(written.removeprefix(sign), 0, is_folder=False)
        if sign == "-":
            return lambda found: found.node.mode & mode == mode
        return lambda found: bool(found.node.mode & mode) if sign else found.node.mode == mode

    def _read_maxdepth(self) -> Test:
        self.most = whole(self._next())
        return _always

    def _read_mindepth(self) -> Test:
        self.least = whole(self._next())
        return _always

    def _read_depth(self) -> Test:
        return _always

    def _read_print(self) -> Test:
        return self._printing("\n")

    def _read_print0(self) -> Test:
        return self._printing("\0")

    def _read_delete(self) -> Test:
        self._acts = True
        call = self._search.call

        def delete(found: Found) -> bool:
            try:
                call.files.remove(call.path(found.path))
            except OSError as error:
                self._search.errors += encoded(f"find: cannot delete {found.path!r}: {error.strerror}\n")
                self._search.code = 1
                return False
            return True

        return delete

    def _read_exec(self) -> Test:
        self._acts, words = True, list[str]()
        while self._at < len(self._words) and self._words[self._at] not in (";", "+"):
            words.append(self._next())
        if not words or self._at >= len(self._words):
            raise Complaint("missing argument to -exec")
        if self._next() == ";":
            return lambda found: self._search.run([word.replace("{}", found.path) for word in words])
        if words[-1] != "{}":
            raise Complaint("expected {} before +")
        names = list[str]()
        self._search.gathered[self._at] = (tuple(words[:-1]), names)
        return lambda found: _added(names, found.path)

    def _printing(self, end: str) -> Test:
        self._acts = True
        return lambda found: _added(self._search.out, found.path + end)

    def _accept(self, *words: str) -> bool:
        is_there = self._at < len(self._words) and self._words[self._at] in words
        self._at += is_there
        return is_there

    def _next(self) -> str:
        if self._at >= len(self._words):
            raise Complaint(f"missing argument to {self._words[-1]!r}")
        self._at += 1
        return self._words[self._at - 1]


def _added(to: list[str], text: str) -> bool:
    to.append(text)
    return True


def _always(found: Found) -> bool:
    return True


def _both(one: Test, other: Test) -> Test:
    return lambda found: one(found) and other(found)


def _one_of(one: Test, other: Test) -> Test:
    return lambda found: one(found) or other(found)


def _not(test: Test) -> Test:
    return lambda found: not test(found)


def _is_so_much(size: int, sign: str, count: int) -> bool:
    return size > count if sign == "+" else size < count if sign == "-" else size == count
