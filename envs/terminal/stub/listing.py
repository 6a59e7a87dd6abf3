"""Programs that tell of files: what lies where, with which mode, under which name."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from envs.terminal.stub.calls import Call, Complaint, Done, Options, Program, encoded, joined
from envs.terminal.stub.files import each_name
from sage_gym.sandbox.tree import Node

__all__ = ["PROGRAMS"]

LONG = {"all": "a", "almost-all": "A", "reverse": "r", "recursive": "R", "directory": "d", "sort": "="}
SORTED = ("size", "name")
KINDS = {"file": "-", "folder": "d", "link": "l"}


def _ls(call: Call) -> Done:
    options = Options(call.words, "aAl1SrRdFhtn", "=", LONG)
    if options.value("=", "size") not in SORTED:
        raise Complaint(f"the stub knows --sort={' and --sort='.join(SORTED)} only", 2)
    is_deep = "R" in options
    names = options.names or ["."]
    errors, files, folders = list[str](), list[str](), list[str]()
    for name in names:
        node = call.files.find(call.path(name)) or call.files.find(call.path(name), is_followed=False)
        if node is None:
            errors.append(f"ls: cannot access {name!r}: No such file or directory")
        else:
            (folders if node.kind == "folder" and "d" not in options else files).append(name)
    if "t" in options:
        raise Complaint("the stub keeps no times", 2)
    blocks = [[_row(call, name, name, options) for name in _ordered(call, sorted(files), "", options)]] if files else []
    for name in sorted(folders):
        blocks += _blocks(call, name, options, has_head=len(names) > 1 or is_deep)
    text = "\n".join("".join(f"{line}\n" for line in block) for block in blocks)
    return Done(encoded(text), joined(errors), 2 if errors else 0)


def _blocks(call: Call, folder: str, options: Options, *, has_head: bool) -> Iterator[list[str]]:
    start = f"{folder.rstrip('/')}/"
    is_all = bool(options.given.keys() & {"a", "A"})
    names = [name for name in call.files.names(call.path(folder)) if is_all or name[0] != "."]
    shown = [".", "..", *names] if "a" in options else names
    rows = [_row(call, name, start + name, options) for name in _ordered(call, shown, start, options)]
    head = [f"{folder}:"] if has_head else []
    yield [*head, *(["total 0"] if "l" in options else []), *rows]
    for name in names if "R" in options else ():
        if call.files.node(call.path(start + name), is_followed=False).kind == "folder":
            yield from _blocks(call, start + name, options, has_head=True)


def _ordered(call: Call, names: Sequence[str], start: str, options: Options) -> list[str]:
    def size(name: str) -> int:
        return -_size(call.files.node(call.path(start + name), is_followed=False))

    found = sorted(names, key=size) if "S" in options or options.value("=") == "size" else list(names)
    return found[::-1] if "r" in options else found


def _row(call: Call, name: str, path: str, options: Options) -> str:
    node = call.files.node(call.path(path), is_followed=False)
    shown = name + ("/" if node.kind == "folder" else "*" if node.mode & 0o111 else "") * ("F" in options)
    if "l" not in options:
        return shown
    arrow = f" -> {node.target}" if node.kind == "link" else ""
    return f"{_marks(node)} 1 agent agent {_size(node):5d} Jan  1 00:00 {shown}{arrow}"


def _marks(node: Node) -> str:
    """Write kind and mode as `ls -l` does."""
    return KINDS[node.kind] + "".join(sign if node.mode >> (8 - at) & 1 else "-" for at, sign in enumerate("rwxrwxrwx"))


def _size(node: Node) -> int:
    return len(node.content) if node.kind == "file" else len(node.target) if node.kind == "link" else 4096


STATED: Mapping[str, Callable[[Node, str], str]] = {
    "a": lambda node, name: f"{node.mode:o}",
    "A": lambda node, name: _marks(node),
    "s": lambda node, name: str(_size(node)),
    "n": lambda node, name: name,
    "F": lambda node, name: {"file": "regular file", "folder": "directory", "link": "symbolic link"}[node.kind],
}


def _stat(call: Call) -> Done:
    options = Options(call.words, "L", "c", {"format": "c"})
    if "c" not in options:
        raise Complaint("the stub knows stat with -c FORMAT only")
    out = list[str]()

    def fill(found: re.Match[str], node: Node, name: str) -> str:
        if found[1] not in STATED:
            raise Complaint(f"the stub's stat does not know %{found[1]}")
        return STATED[found[1]](node, name)

    def act(name: str) -> None:
        node = call.files.node(call.path(name), is_followed="L" in options)
        out.append(re.sub(r"%(.)", lambda found: fill(found, node, name), options.value("c")))

    done = each_name(call, options.names, act)
    return Done(joined(out), done.stderr, done.code)


def _readlink(call: Call) -> Done:
    options = Options(call.words, "fe")
    out = list[str]()

    def act(name: str) -> None:
        if options.given or call.name == "realpath":
            out.append(call.files.real(call.path(name)))
            return
        node = call.files.node(call.path(name), is_followed=False)
        if node.kind != "link":
            raise Complaint("")
        out.append(node.target)

    done = each_name(call, options.names, act)
    return Done(joined(out), done.stderr if call.name == "realpath" else b"", done.code)


def _basename(call: Call) -> Done:
    if not 1 <= len(call.words) <= 2:
        raise Complaint("expected a name, and maybe a suffix")
    name = posixpath.basename(call.words[0].rstrip("/"))
    suffix = call.words[1] if len(call.words) == 2 else ""
    return Done(joined([name.removesuffix(suffix) if name != suffix else name]))


PROGRAMS: Mapping[str, Program] = {
    "basename": _basename,
    "dirname": lambda call: Done(joined([posixpath.dirname(word.rstrip("/")) or "." for word in call.words])),
    "ls": _ls,
    "readlink": _readlink,
    "realpath": _readlink,
    "stat": _stat,
}
