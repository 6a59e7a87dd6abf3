"""Processes of a sandbox: told apart by the command that they come from, and ended with everything that descends.

Each command's processes carry a mark that none of them can put off: a hard limit, which is inherited and can only be
lowered. It is the one on the time of real-time scheduling, which nobody here may use. The runner lowers its own before
each command, so what has a lower one than was ever given out has tampered with it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time

TYPE_CHECKING = False  # importing `typing` takes time
if TYPE_CHECKING:
    from collections.abc import Callable, Container

SET_DUMPABLE = 4
SET_CHILD_SUBREAPER = 36
KILL_S = 5.0
FIRST_MARK = 1 << 40
OOM_COUNTERS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
"""Of cgroup v2 and v1; both hold a line `oom_kill N`."""
_libc = ctypes.CDLL(None, use_errno=True)


def adopt_orphans() -> None:
    """Have what descends from this process become its child when the parent in between ends."""
    _libc.prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def hide() -> None:
    """Let no process of the same user trace this one or look into its memory and open files."""
    _libc.prctl(SET_DUMPABLE, 0, 0, 0, 0)


def set_mark(mark: int) -> None:
    """Have the processes that this one starts from now on carry a mark, lower than all before."""
    resource.setrlimit(resource.RLIMIT_RTTIME, (mark, mark))


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


def descendants() -> list[int]:
    """Return the ids of living processes that descend from this one."""
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
    waiting = [os.getpid()]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def kill_marked(mark: int, lowest_mark: int) -> bool:
    """Kill what carries a mark, and what has tampered with its own; say whether all of it is gone."""
    return _kill(lambda process: _is_marked(process, mark, lowest_mark))


def kill_all() -> bool:
    """Kill everything that descends from this process; say whether all of it is gone."""
    if os.getpid() == 1:
        _signal([-1], signal.SIGKILL)
    return _kill(lambda process: True)


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


def _kill(is_meant: Callable[[int], bool]) -> bool:
    """Kill processes until none is left; they are stopped first, so that a fork bomb cannot outrun the search."""
    until = time.monotonic() + KILL_S
    while time.monotonic() < until:
        found = [process for process in descendants() if is_meant(process)]
        if not found:
            return True
        _signal(found, signal.SIGSTOP)
        _signal(found, signal.SIGKILL)
        time.sleep(0.001)
    return False


def _is_marked(process: int, mark: int, lowest_mark: int) -> bool:
    try:
        found = resource.prlimit(process, resource.RLIMIT_RTTIME)[1]
    except OSError:
        return False
    return found == mark or found < lowest_mark


def _signal(ids: list[int], number: int) -> None:
    for process in ids:
        try:
            os.kill(process, number)
        except OSError:
            pass
