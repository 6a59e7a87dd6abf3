"""A request that is carried out in a process of its own; none holds up the runner, whatever is done to that process."""

from __future__ import annotations

import os
import selectors
import signal
import time

from .capture import CHUNK_BYTES

TYPE_CHECKING = False  # importing `typing` takes time
if TYPE_CHECKING:
    from typing import Any

KILLED = 128 + signal.SIGKILL
DRAIN_S = 1.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Job:
    """A process, what it is fed, what it writes, and when it is late.

    Attributes:
        pid: of the process, 0 until it is known.
        started_ticks: when it was asked for, in clock ticks since boot.
    """

    def __init__(self, request: dict[str, Any], timeout_s: float, stdin: bytes = b"") -> None:
        self.request = request
        self.started_s = time.monotonic()
        self.started_ticks = int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_PER_S)
        self.deadline = self.started_s + timeout_s
        self.pid = 0
        self.left = memoryview(stdin)
        self.feed = -1
        self.outputs: list[int] = []
        self.exit = -1

    def take(self, output: int, read: bytes) -> None:
        """Keep what came from one of the outputs, by its number."""
        raise NotImplementedError

    def answer(self, code: int, *, is_timed_out: bool) -> bytes:
        """Return the answer, packed; `code` is the process's exit code."""
        raise NotImplementedError

    def watch(self, pid: int, outputs: list[int], feed: int, selector: selectors.BaseSelector) -> None:
        """Have the event loop watch the process and its pipes (`feed` -1 where it is fed nothing)."""
        self.pid, self.outputs, self.feed = pid, outputs, feed
        self.exit = os.pidfd_open(pid)
        for watched in (self.exit, *outputs):
            os.set_blocking(watched, False)
            selector.register(watched, selectors.EVENT_READ, self)
        if feed >= 0:
            os.set_blocking(feed, False)
            selector.register(feed, selectors.EVENT_WRITE, self)

    def advance(self, ready: int, selector: selectors.BaseSelector) -> bool:
        """Do what one of its descriptors is ready for; say whether the process has ended."""
        if ready == self.exit:
            return True
        if ready == self.feed:
            self._feed(selector)
        elif not self._read(ready):
            selector.unregister(ready)
        return False

    def finish(self, selector: selectors.BaseSelector, *, is_timed_out: bool) -> bytes:
        """Read what is left, let it go and return the answer, packed."""
        until = time.monotonic() + DRAIN_S
        for output in self.outputs:
            while time.monotonic() < until and self._read(output) > 0:
                pass
        code = self._exit_code() if self.pid else KILLED
        watched = selector.get_map()
        for descriptor in (self.exit, self.feed, *self.outputs):
            if descriptor >= 0:
                if descriptor in watched:
                    selector.unregister(descriptor)
                os.close(descriptor)
        return self.answer(KILLED if is_timed_out else code, is_timed_out=is_timed_out)

    def _exit_code(self) -> int:
        """Return how it ended, as a shell says it; as killed where it has not, or was reaped before."""
        try:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            return KILLED
        code = os.waitstatus_to_exitcode(status) if ended else -signal.SIGKILL
        return 128 - code if code < 0 else code

    def _read(self, output: int) -> int:
        """Read once; return the number of bytes, 0 at the end, -1 where there is nothing yet."""
        try:
            read = os.read(output, CHUNK_BYTES)
        except BlockingIOError:
            return -1
        self.take(self.outputs.index(output), read)
        return len(read)

    def _feed(self, selector: selectors.BaseSelector) -> None:
        try:
            self.left = self.left[os.write(self.feed, self.left[:CHUNK_BYTES]) :]
        except BlockingIOError:
            return
        except OSError:
            self.left = self.left[:0]
        if not self.left:
            selector.unregister(self.feed)
            os.close(self.feed)
            self.feed = -1
