"""Programs that make, move, delete and mark files."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence

from envs.terminal.stub.calls import Call, Complaint, Done, Options, Program, joined, told
from sage_gym.sandbox.tree import Node

__all__ = ["PROGRAMS", "changed_mode", "each_name"]

SYMBOLIC = re.compile(r"([ugoa]*)([-+=])([rwxX]*)")
CLASSES = {"u": 0o700, "g": 0o070, "o": 0o007, "a": 0o777}
BITS = {"r": 0o444, "w": 0o222, "x": 0o111}


def each_name(call: Call, names: Sequence[str], act: Callable[[str], None]) -> Done:
    """Do something with each name; what fails is said, and the others are done all the same."""
    if not names:
        raise Complaint("missing operand")
    errors = list[str]()
    for name in names:
        try:
            with told(name):
                act(name)
        except Complaint as error:
            errors.append(f"{call.name}: {error}")
    return Done(stderr=joined(errors), code=int(bool(errors)))


def _mkdir(call: Call) -> Done:
    options = Options(call.words, "pv", "m", {"parents": "p", "mode": "m"})

    def act(name: str) -> None:
        path = call.path(name)
        if "p" in options:
            call.files.make_folders(posixpath.normpath(path))
        else:
            call.files.make_folder(path)
        if "m" in options:
            call.files.node(path).mode = changed_mode(options.value("m"), 0o777, is_folder=True)

    return each_name(call, options.names, act)


def _rmdir(call: Call) -> Done:
    options = Options(call.words)

    def act(name: str) -> None:
        if call.files.node(call.path(name), is_followed=False).kind != "folder":
            raise Complaint(f"failed to remove {name!r}: Not a directory")
        call.files.remove(call.path(name))

    return each_name(call, options.names, act)


def _rm(call: Call) -> Done:
    options = Options(call.words, "rRfdv", long={"recursive": "r", "force": "f", "dir": "d"})
    is_deep, is_forced = bool(options.given.keys() & {"r", "R"}), "f" in options

    def act(name: str) -> None:
        path = call.path(name)
        node = call.files.find(path, is_followed=False)
        if node is None and is_forced:
            return
        if node is not None and node.kind == "folder":
            if posixpath.basename(name.rstrip("/")) in (".", ".."):
                raise Complaint(f"refusing to remove '.' or '..' directory: skipping {name!r}")
            if not (is_deep or "d" in options):
                raise Complaint(f"cannot remove {name!r}: Is a directory")
            for inner in call.files.names(path) if is_deep else ():
                act(f"{name.rstrip('/')}/{inner}")
        call.files.remove(path)

    return Done() if is_forced and not options.names else each_name(call, options.names, act)


def _into(call: Call, names: Sequence[str], folder: str) -> tuple[list[tuple[str, str]], bool]:
    """Pair what is moved or copied with where it goes; say whether that is a folder that is there."""
    if not names or (len(names) < 2 and not folder):
        raise Complaint("missing file operand")
    *sources, target = [*names, folder] if folder else names
    node = call.files.find(call.path(target))
    is_folder = node is not None and node.kind == "folder"
    if not is_folder and (len(sources) > 1 or target.endswith("/")):
        raise Complaint(f"target {target!r}: {'Not a directory' if node else 'No such file or directory'}")
    if not is_folder:
        return [(sources[0], target)], False
    return [
        (source, posixpath.join(target, posixpath.basename(posixpath.normpath(source)))) for source in sources
    ], True


def _mv(call: Call) -> Done:
    options = Options(call.words, "fnv", "t", {"target-directory": "t"})
    pairs, _ = _into(call, options.names, options.value("t"))

    def act(name: str) -> None:
        target = dict(pairs)[name]
        if "n" not in options or call.files.find(call.path(target), is_followed=False) is None:
            call.files.move(call.path(name.rstrip("/")), call.path(target))

    return each_name(call, [source for source, _ in pairs], act)


def _cp(call: Call) -> Done:
    options = Options(call.words, "rRapfvn", "t", {"recursive": "r", "archive": "a", "target-directory": "t"})
    pairs, _ = _into(call, options.names, options.value("t"))
    is_deep = bool(options.given.keys() & {"r", "R", "a"})

    def act(name: str) -> None:
        _copy(call, name, dict(pairs)[name], is_deep=is_deep)

    return each_name(call, [source for source, _ in pairs], act)


def _copy(call: Call, name: str, target: str, *, is_deep: bool) -> None:
    source, there = call.path(name), call.path(target)
    node = call.files.node(source, is_followed=not is_deep)
    if node.kind == "folder":
        if not is_deep:
            raise Complaint(f"-r not specified; omitting directory {name!r}")
        if f"{call.files.real(there)}/".startswith(f"{call.files.real(source)}/"):
            raise Complaint(f"cannot copy a directory, {name!r}, into itself, {target!r}")
        if call.files.find(there) is None:
            call.files.make_folder(there, node.mode)
        for inner in call.files.names(source):
            _copy(call, f"{name.rstrip('/')}/{inner}", f"{target.rstrip('/')}/{inner}", is_deep=True)
    elif node.kind == "link":
        call.files.place(there, Node("link", node.mode, target=node.target))
    elif call.files.find(there) is node:
        raise Complaint(f"{name!r} and {target!r} are the same file")
    else:
        call.files.put(there, call.files.read(source), node.mode)


def _ln(call: Call) -> Done:
    options = Options(call.words, "sfnr", "", {"symbolic": "s", "force": "f"})
    if "s" not in options or "r" in options:
        raise Complaint("the stub makes symbolic links only, with -s")
    names = options.names if len(options.names) != 1 else [options.names[0], "."]
    pairs, _ = _into(call, names, "")

    def act(name: str) -> None:
        path = call.path(dict(pairs)[name])
        if call.files.find(path, is_followed=False) is not None and "f" not in options:
            raise Complaint(f"failed to create symbolic link {dict(pairs)[name]!r}: File exists")
        call.files.place(path, Node("link", 0o777, target=name))

    return each_name(call, [source for source, _ in pairs], act)


def _touch(call: Call) -> Done:
    options = Options(call.words, "acm")

    def act(name: str) -> None:
        if call.files.find(call.path(name)) is None and "c" not in options:
            call.files.put(call.path(name), b"")

    return each_name(call, options.names, act)


def _chmod(call: Call) -> Done:
    words = list(call.words)
    at = next((at for at, word in enumerate(words) if not re.fullmatch(r"-[Rvf]+|--recursive", word)), len(words))
    if at + 2 > len(words):
        raise Complaint("missing operand")
    mode, options = words[at], Options(words[:at], "Rvf", long={"recursive": "R"})

    def act(name: str) -> None:
        node = call.files.node(call.path(name))
        if not call.files.is_writable(call.path(name)):
            raise Complaint(f"changing permissions of {name!r}: Read-only file system")
        node.mode = changed_mode(mode, node.mode, is_folder=node.kind == "folder")
        if node.kind == "folder" and "R" in options:
            for inner in call.files.names(call.path(name)):
                if call.files.node(call.path(f"{name}/{inner}"), is_followed=False).kind != "link":
                    act(f"{name}/{inner}")

    return each_name(call, words[at + 1 :], act)


def changed_mode(written: str, mode: int, *, is_folder: bool) -> int:
    """Return a mode changed as `chmod` has it: `755`, or `u+x,go=r`.

    Raises:
        Complaint: it is no mode.
    """
    if re.fullmatch(r"0*[0-7]{1,4}", written):
        return int(written, 8)
    for part in written.split(","):
        found = SYMBOLIC.fullmatch(part)
        if found is None:
            raise Complaint(f"invalid mode: {written!r}")
        who = 0
        for sign in found[1] or "a":
            who |= CLASSES[sign]
        bits = 0
        for sign in found[3]:
            bits |= BITS.get(sign, BITS["x"] if is_folder or mode & BITS["x"] else 0)
        bits &= who
        bits &= ~0o022 if not found[1] else 0o777  # as the usual mask has it, where nobody is named
        mode = mode | bits if found[2] == "+" else mode & ~bits if found[2] == "-" else (mode & ~who) | bits
    return mode


PROGRAMS: Mapping[str, Program] = {
    "chmod": _chmod,
    "cp": _cp,
    "ln": _ln,
    "mkdir": _mkdir,
    "mv": _mv,
    "rm": _rm,
    "rmdir": _rmdir,
    "touch": _touch,
}
