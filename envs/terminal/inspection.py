"""A look at a sandbox that what the agent has left there cannot bend.

Commands of a sandbox are of one user, so whatever the agent has left running could read, stop or alter a program that
looks at its work. What cannot be bent is what the sandbox's own `read` gives: it runs outside of that user's reach and
follows no link, and of `/proc` the kernel itself is the author. So, in this order:

1. programs that are to run or to have ended are looked up in `/proc` with `read`, by a number and a start time that
   were noted before the agent came;
2. everything of that user is killed in one system call, and the kernel's list of what descends from the sandbox's
   first process (`/proc/1/task/1/children`, through `read`) has to be empty but for the reader: else, after a few
   tries, nothing counts as done;
3. only then is a program run for what `read` does not tell (modes, links, absence): Python from the read-only root, by
   a path and with variables that the agent could not touch, `-I -S`, so that it takes nothing from the workspace.

The local backend is no boundary: there is no list to trust and `kill -1` would end the user's own session, so steps 1
and 2 make do with a command and with nothing.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Sequence
from dataclasses import dataclass

from sage_gym.errors import SandboxFileError, SandboxLostError
from sage_gym.sandbox import Sandbox

__all__ = ["LOOK", "START", "Found", "Program", "end_everything", "is_running", "living", "look", "start_program"]

TRIES = 3
TIMEOUT_S = 20.0
PYTHON = ("python3", "-I", "-S", "-c")
KILL_ALL = "import os; os.kill(-1, 9)"
START = 'exec -a "$1" sleep 36000 >/dev/null 2>&1 & echo $!'
CHILDREN = "/proc/1/task/1/children"
LOOK = """
import json, os, stat, sys
found = []
for path in sys.argv[1:]:
    whole = os.path.join(os.getcwd(), path)
    try:
        state = os.lstat(whole)
    except OSError:
        found.append(["absent", 0, ""])
        continue
    kind = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}.get(stat.S_IFMT(state.st_mode), "other")
    if os.path.realpath(os.path.dirname(whole)) != os.path.normpath(os.path.dirname(whole)):
        kind = "other"
    found.append([kind, stat.S_IMODE(state.st_mode), os.readlink(whole) if kind == "link" else ""])
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Program:
    """A process that was started for a task: its number and when it began, which together belong to no other."""

    name: str
    pid: int
    began: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a path is: `file`, `folder`, `link`, `absent` or `other` (a device, or something behind a linked folder)."""

    kind: str
    mode: int
    target: str


def start_program(sandbox: Sandbox, name: str) -> Program:
    """Start a process that sleeps under a name, and note which it is; before the agent acts.

    Raises:
        SandboxLostError: it could not be started, which no agent can have caused.
    """
    started = sandbox.exec(["bash", "-c", START, "bash", name])
    pid = int(started.stdout or b"0")
    began = _began(sandbox, pid)
    if not began:
        raise SandboxLostError(f"expected the program {name!r} to run, but it does not: {started.text(200)}")
    return Program(name, pid, began)


def is_running(sandbox: Sandbox, program: Program) -> bool | None:
    """Say whether it is still that process, and no zombie; None where somebody keeps that from being read."""
    began = _began(sandbox, program.pid)
    return None if began is None else began == program.began


def living(sandbox: Sandbox) -> frozenset[int] | None:
    """Return the numbers of all processes that nothing but the first one started; None where that cannot be known.

    That of the reader itself is among them.
    """
    if sandbox.backend != "docker":
        return None
    try:
        return frozenset(int(pid) for pid in sandbox.read(CHILDREN).split())
    except SandboxFileError:
        return frozenset({0, -1})  # the reader was killed, or there was no room for it: somebody lives


def end_everything(sandbox: Sandbox, spared: frozenset[int] = frozenset()) -> bool:
    """Kill what runs in a container, unless only `spared` does; say whether nothing else is left.

    Where something else runs, the spared are killed with it.
    """
    if sandbox.backend != "docker":
        return True
    for _ in range(TRIES):
        if len((living(sandbox) or frozenset()) - spared) <= 1:  # the reader
            return True
        sandbox.exec([*PYTHON, KILL_ALL], TIMEOUT_S, cwd="/")
    return len((living(sandbox) or frozenset()) - spared) <= 1


def look(sandbox: Sandbox, paths: Sequence[str]) -> list[Found] | None:
    """Return what the paths of the workspace are, without following links; None where it cannot be told."""
    result = sandbox.exec([*PYTHON, LOOK, *paths], TIMEOUT_S, cwd=sandbox.workspace)
    try:
        found = [Found(str(kind), int(mode), str(target)) for kind, mode, target in json.loads(result.stdout)]
    except (ValueError, TypeError, RecursionError):
        return None
    return found if len(found) == len(paths) else None


def _began(sandbox: Sandbox, pid: int) -> str | None:
    """Return the start time of a process: empty where none lives, None where that cannot be read."""
    try:
        status = _status(sandbox, pid).decode(errors="replace").rpartition(")")[2].split()
    except SandboxFileError as error:
        return "" if error.errno in (errno.ENOENT, errno.ESRCH) else None
    return "" if len(status) < 20 or status[0] in "ZX" else status[19]


def _status(sandbox: Sandbox, pid: int) -> bytes:
    path = f"/proc/{pid}/stat"
    return sandbox.read(path) if sandbox.backend == "docker" else sandbox.exec(["cat", path]).stdout
