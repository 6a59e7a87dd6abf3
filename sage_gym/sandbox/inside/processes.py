"""Processes of a sandbox: found through /proc, and ended with everything that comes from them."""

from __future__ import annotations

import ctypes
import os
import signal
import time

TYPE_CHECKING = False  # importing `typing` takes time
if TYPE_CHECKING:
    from collections.abc import Callable, Container

SET_CHILD_SUBREAPER = 36
SET_DUMPABLE = 4
KILL_S = 5.0
OOM_COUNTERS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
"""Of cgroup v2 and v1; both hold a line `oom_kill N`."""
_libc = ctypes.CDLL(None, use_errno=True)


class Process:
    """A line of /proc: who its parent is, when it started (in clock ticks since boot), whether any of it is alive."""

    def __init__(self, identifier: int) -> None:
        with open(f"/proc/{identifier}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        self.id, self.parent, self.started = identifier, int(fields[1]), int(fields[19])
        # a first thread that has ended is shown as a zombie while others of its process go on
        self.is_alive = fields[0] not in (b"Z", b"X") or int(fields[17]) > 1


def adopt_orphans() -> None:
    """Have what descends from this process become its child when the parent in between ends."""
    _libc.prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def hide() -> None:
    """Let no process of the same user trace this one or look into its memory and open files."""
    _libc.prctl(SET_DUMPABLE, 0, 0, 0, 0)


def count_oom_kills() -> int:
    """Return how many processes of this container were killed for memory, 0 where that cannot be read."""
    for path in OOM_COUNTERS:
        try:
            with open(path) as file:
                return sum(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
        except OSError:
            continue
    return 0


def kill_coming_from(root: int, started_ticks: int, roots: Container[int]) -> bool:
    """Kill what comes from a command, and say whether all of it is gone.

    That is what descends from its first process, and, with what descends from it, every orphan that is not older than
    that: an orphan's parent cannot be told any more, and one that fled from the command must not be spared.

    Args:
        root: the command's first process.
        started_ticks: when it was given its order, in clock ticks since boot.
        roots: the first processes of all commands, and those kept ready for more.
    """

    def comes_from_it(process: Process, parent: Process | None) -> bool:
        if process.id == root:
            return True
        return parent is None and process.id not in roots and process.started >= started_ticks

    return _kill(comes_from_it)


def kill_all() -> bool:
    """Kill everything that descends from this process; say whether all of it is gone."""
    if os.getpid() == 1:
        _signal(-1, signal.SIGKILL)
    return _kill(lambda process, parent: True)


def reap(but: Container[int]) -> None:
    """Let ended children go, but those whose end somebody waits for."""
    try:
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid in but:
                return
            os.waitpid(ended.si_pid, 0)
    except ChildProcessError:
        pass


def _kill(is_meant: Callable[[Process, Process | None], bool]) -> bool:
    """Kill processes until none is left; they are stopped first, so that a fork bomb cannot outrun the search.

    `is_meant` is asked about a process and its parent (None: this process); what descends from one that is, is too.
    """
    until = time.monotonic() + KILL_S
    while time.monotonic() < until:
        found = [process.id for process in _meant(is_meant) if process.is_alive]
        if not found:
            return True
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in found:
                _signal(process, number)
        time.sleep(0.001)
    return False


def _meant(is_meant: Callable[[Process, Process | None], bool]) -> list[Process]:
    children: dict[int, list[Process]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                process = Process(int(name))
            except OSError:
                continue
            children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    waiting: list[tuple[Process | None, bool]] = [(None, False)]
    while waiting:
        parent, is_found = waiting.pop()
        for child in children.get(parent.id if parent else os.getpid(), []):
            is_child_found = is_found or is_meant(child, parent)
            if is_child_found:
                found.append(child)
            waiting.append((child, is_child_found))
    return found


def _signal(process: int, number: int) -> None:
    try:
        os.kill(process, number)
    except OSError:
        pass
