"""The resident runner: answers requests on its standard input until that ends or its time to live is over.

As a container's first process it cannot be killed from inside, hides its memory and files from the commands (which
run as the same user, since no capability is left to change it), and ends the container when its owner is gone.
"""

from __future__ import annotations

import errno
import gc
import os
import resource
import selectors
import signal
import time

from . import files, memory
from .capture import CHUNK_BYTES
from .commands import Command, NotStartedError, refusal
from .frames import Frames, pack
from .processes import FIRST_MARK, adopt_orphans, hide, kill_all, kill_marked, reap, set_mark

TYPE_CHECKING = False  # importing `typing` takes time
if TYPE_CHECKING:
    from typing import Any, NoReturn

TICK_S = 1.0
STDIN, STDOUT = 0, 1


class Runner:
    """Serves one connection.

    `options`: `scratch` (folder → mode, emptied by a reset), `readable` and `writable` (roots for files),
    `output_bytes` and `file_bytes` (limits), `rlimits` (of each command), `ttl_s` (since the last request), `delete` (a
    folder that goes with the runner, or empty), `is_container`.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.commands: dict[int, Command] = {}
        self.mark = FIRST_MARK
        self.selector = selectors.DefaultSelector()
        self.ends_at = 0.0
        self.standing: tuple[object, ...] = ()

    def serve(self) -> None:
        """Answer requests until the connection or the time to live ends."""
        adopt_orphans()
        hide()
        gc.freeze()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, self._on_alarm)
        for name, limit in self.options["rlimits"].items():
            resource.setrlimit(getattr(resource, name), (limit, limit))
        self.standing = _standing()
        self._live_on()
        self.selector.register(STDIN, selectors.EVENT_READ)
        frames = Frames()
        _send(pack({"id": 0, "is_ready": True}))
        while True:
            for key, _ in self.selector.select(self._patience()):
                if key.fd == STDIN:
                    received = os.read(STDIN, CHUNK_BYTES)
                    if not received:
                        self.end()
                    for request, body in frames.feed(received):
                        self._live_on()
                        self._answer(request, body)
                elif key.data.child.pid in self.commands and key.data.advance(key.fd, self.selector):
                    self._finish(key.data, is_timed_out=False)
            self._end_late()
            reap(but=self.commands)

    def end(self) -> NoReturn:
        """Kill everything, delete what nobody else will, and end this process."""
        kill_all()
        if self.options["delete"]:
            files.delete_tree(self.options["delete"])
        os._exit(0)

    def _answer(self, request: dict[str, Any], body: bytes) -> None:
        if request["op"] == "exec":
            self._start(request, body)
            return
        try:
            answer, content = getattr(self, "_" + request["op"])(request, body)
        except OSError as error:
            answer, content = {"errno": error.errno or errno.EIO, "error": error.strerror or str(error)}, b""
        _send(pack({"id": request["id"], **answer}, content))

    def _ping(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        return {}, body

    def _write(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        files.write(request["path"], body, request["mode"], self.options["writable"])
        return {}, b""

    def _read(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        return {}, files.read(request["path"], self.options["file_bytes"], self.options["readable"])

    def _reset(self, request: dict[str, Any], body: bytes) -> tuple[dict[str, Any], bytes]:
        is_clean = kill_all()
        for command in list(self.commands.values()):
            self._finish(command, is_timed_out=False)
        if self.options["is_container"]:
            memory.remove_shared()
        for folder, mode in self.options["scratch"].items():
            is_clean &= files.empty(folder, mode)
        return {"is_clean": is_clean and _standing() == self.standing}, b""

    def _start(self, request: dict[str, Any], body: bytes) -> None:
        try:
            command = self._command(request, body)
        except NotStartedError as refused:
            _send(refused.answer)
            return
        self.commands[command.child.pid] = command
        command.register(self.selector)

    def _command(self, request: dict[str, Any], body: bytes) -> Command:
        """Start a command; where those before it left no room for one more process, all of them are killed first."""
        self.mark -= 1
        set_mark(self.mark)
        try:
            return Command(request, body, self.options["output_bytes"], self.mark)
        except BlockingIOError:
            kill_all()
            reap(but=self.commands)
        try:
            return Command(request, body, self.options["output_bytes"], self.mark)
        except BlockingIOError as error:
            raise NotStartedError(refusal(request, error)) from error

    def _finish(self, command: Command, *, is_timed_out: bool) -> None:
        del self.commands[command.child.pid]
        _send(command.finish(self.selector, is_timed_out=is_timed_out))

    def _patience(self) -> float:
        """Return for how long nothing has to be done unless somebody asks, in seconds."""
        now = time.monotonic()
        return max(0.0, min([TICK_S, *(command.deadline - now for command in self.commands.values())]))

    def _end_late(self) -> None:
        for command in list(self.commands.values()):
            if command.deadline <= time.monotonic():
                kill_marked(command.mark, self.mark)
                self._finish(command, is_timed_out=True)

    def _live_on(self) -> None:
        self.ends_at = time.monotonic() + self.options["ttl_s"]
        signal.setitimer(signal.ITIMER_REAL, self.options["ttl_s"], TICK_S)

    def _on_alarm(self, number: int, frame: object) -> None:
        if time.monotonic() >= self.ends_at:  # else a command sent the signal
            self.end()


def _standing() -> tuple[object, ...]:
    """Return what a process of the same user can change about this one from outside, but for the mark."""
    names = sorted(name for name in vars(resource) if name.startswith("RLIMIT_") and name != "RLIMIT_RTTIME")
    limits = tuple(resource.getrlimit(getattr(resource, name)) for name in names)
    return (*limits, os.getpriority(os.PRIO_PROCESS, 0), frozenset(os.sched_getaffinity(0)), os.sched_getscheduler(0))


def _send(message: bytes) -> None:
    left = memoryview(message)
    while left:
        left = left[os.write(STDOUT, left) :]
