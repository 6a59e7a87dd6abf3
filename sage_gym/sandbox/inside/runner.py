"""The resident runner: answers requests on its standard input until that ends or its time to live is over.

As a container's first process it cannot be killed from inside, hides its memory and files from the commands (which
run as the same user, since no capability is left to change it), and ends the container when its owner is gone.
"""

from __future__ import annotations

import errno
import gc
import os
import selectors
import signal
import time

from . import files, memory
from .capture import CHUNK_BYTES
from .frames import Frames, pack
from .keeper import keep
from .processes import adopt_orphans, hide, kill_descendants, reap

TYPE_CHECKING = False  # importing `typing` takes time
if TYPE_CHECKING:
    from typing import Any, NoReturn

GRACE_S = 2.0
"""After a command's time-out, how long its keeper may take before everything is killed."""
TICK_S = 1.0
STDIN, STDOUT = 0, 1


class Command:
    """A keeper that is at work: what it has answered so far, and when it is given up."""

    def __init__(self, identifier: int, deadline: float) -> None:
        self.id = identifier
        self.deadline = deadline
        self.answer = bytearray()


class Runner:
    """Serves one connection.

    `options`: `scratch` (folder → mode, emptied by a reset), `readable` and `writable` (roots for files),
    `output_bytes` and `file_bytes` (limits), `rlimits` (of each command), `ttl_s` (since the last request), `delete` (a
    folder that goes with the runner, or empty), `is_container`.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.commands: dict[int, Command] = {}
        self.selector = selectors.DefaultSelector()
        self.ends_at = 0.0

    def serve(self) -> None:
        """Answer requests until the connection or the time to live ends."""
        adopt_orphans()
        hide()
        gc.freeze()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, self._on_alarm)
        self._live_on()
        self.selector.register(STDIN, selectors.EVENT_READ)
        frames = Frames()
        _send(pack({"id": 0, "is_ready": True}))
        while True:
            for key, _ in self.selector.select(TICK_S):
                if key.fd != STDIN:
                    self._listen(key.fd)
                    continue
                received = os.read(STDIN, CHUNK_BYTES)
                if not received:
                    self.end()
                for request, body in frames.feed(received):
                    self._live_on()
                    self._answer(request, body)
            self._give_up_late()
            reap()

    def end(self) -> NoReturn:
        """Kill everything, delete what nobody else will, and end this process."""
        kill_descendants(os.getpid())
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
        is_clean = kill_descendants(os.getpid())
        if self.options["is_container"]:
            memory.remove_shared()
        for folder, mode in self.options["scratch"].items():
            is_clean &= files.empty(folder, mode)
        return {"is_clean": is_clean}, b""

    def _start(self, request: dict[str, Any], body: bytes) -> None:
        ours, theirs = os.pipe()
        try:
            pid = os.fork()
        except BlockingIOError:  # the commands before left too many processes behind
            kill_descendants(os.getpid())
            pid = os.fork()
        if pid == 0:
            _become_keeper(request, body, self.options, theirs)
        os.close(theirs)
        deadline = time.monotonic() + request["timeout_s"] + GRACE_S
        self.commands[ours] = Command(request["id"], deadline)
        self.selector.register(ours, selectors.EVENT_READ)

    def _listen(self, pipe: int) -> None:
        command = self.commands[pipe]
        read = os.read(pipe, CHUNK_BYTES << 4)
        command.answer += read
        if read:
            return
        self.selector.unregister(pipe)
        os.close(pipe)
        del self.commands[pipe]
        reap()
        _send(bytes(command.answer) or pack({"id": command.id, "errno": errno.ECHILD, "error": "killed"}))

    def _give_up_late(self) -> None:
        now = time.monotonic()
        if any(command.deadline < now for command in self.commands.values()):
            kill_descendants(os.getpid())

    def _live_on(self) -> None:
        self.ends_at = time.monotonic() + self.options["ttl_s"]
        signal.setitimer(signal.ITIMER_REAL, self.options["ttl_s"], TICK_S)

    def _on_alarm(self, number: int, frame: object) -> None:
        if time.monotonic() >= self.ends_at:  # else a command sent the signal
            self.end()


def _become_keeper(request: dict[str, Any], body: bytes, options: dict[str, Any], pipe: int) -> NoReturn:
    """Be a command's keeper, and end."""
    try:
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, STDIN)
        os.dup2(nowhere, STDOUT)
        answer = memoryview(keep(request, body, options))
        while answer:
            answer = answer[os.write(pipe, answer) :]
    finally:
        os._exit(0)


def _send(message: bytes) -> None:
    left = memoryview(message)
    while left:
        left = left[os.write(STDOUT, left) :]
