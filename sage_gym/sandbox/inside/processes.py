"""Processes of a sandbox: found through /proc, ended with everything that descends from them."""

from __future__ import annotations

import ctypes
import os
import signal
import time

SET_DUMPABLE = 4
SET_CHILD_SUBREAPER = 36
KILL_S = 5.0
OOM_COUNTERS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
"""Of cgroup v2 and v1; both hold a line `oom_kill N`."""
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Have what descends from this process become its child when the parent in between ends."""
    _libc.prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def hide() -> None:
    """Let no process of the same user trace this one or look into its memory and open files."""
    _libc.prctl(SET_DUMPABLE, 0, 0, 0, 0)


def offer_to_oom_killer(process: int) -> None:
    """Have a process, and those that it starts from now on, be killed before the runner when memory is short."""
    try:
        with open(f"/proc/{process}/oom_score_adj", "w") as file:
            file.write("500")
    except OSError:
        pass


def count_oom_kills() -> int:
    """Return how many processes of this container were killed for memory, 0 where that cannot be read."""
    for path in OOM_COUNTERS:
        try:
            with open(path) as file:
                return sum(int(line.split()[1]) for line in file if line.startswith("oom_kill "))
        except OSError:
            continue
    return 0


def descendants(ancestor: int) -> list[int]:
    """Return the ids of living processes that descend from `ancestor`, without it."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    state, parent = file.read().rpartition(b")")[2].split()[:2]
            except OSError:
                continue
            if state not in (b"Z", b"X"):
                children.setdefault(int(parent), []).append(int(name))
    found: list[int] = []
    waiting = [ancestor]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def kill_descendants(ancestor: int) -> bool:
    """Kill what descends from this process, whatever session it fled to; say whether all of it is gone.

    What is found is stopped before it is killed, so that a fork bomb cannot outrun the search.
    """
    if ancestor == 1 and os.getpid() == 1:
        _signal([-1], signal.SIGKILL)
    until = time.monotonic() + KILL_S
    while time.monotonic() < until:
        reap()
        found = descendants(ancestor)
        if not found:
            return True
        _signal(found, signal.SIGSTOP)
        _signal(found, signal.SIGKILL)
        time.sleep(0.001)
    return False


def reap() -> None:
    """Let ended children go."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _signal(ids: list[int], number: int) -> None:
    for process in ids:
        try:
            os.kill(process, number)
        except OSError:
            pass
