"""The resident runner: answers requests on its standard input until that ends or its time to live is over.

In a container it is the first process, of another user than the commands (who can so neither signal nor alter it), with
no capability but those to become that user and to end what is that user's.
"""

from __future__ import annotations

import errno
import gc
import os
import resource
import selectors
import signal
import time
from collections import deque
from contextlib import suppress

from . import files
from .capture import CHUNK_BYTES
from .commands import Command, Starters
from .filework import FileWork
from .frames import Frames, pack
from .identity import bound, offer_to_oom_killer
from .place import Place
from .processes import adopt_orphans, hide, kill_all, kill_coming_from, reap

TYPE_CHECKING = False  # importing `typing` takes time
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .jobs import Job

TICK_S, PAUSE_S = 1.0, 0.001
START_S = 0.2
"""So long the end of a late command waits for the start of others beside it, which would be taken for its own."""
STDIN, STDOUT = 0, 1


class Runner:
    """Serves one connection.

    `options`: `user` (of commands, None for the runner's own), `scratch` (folder → mode, emptied by a reset),
    `readable` and `writable` (roots for files), `output_bytes` and `file_bytes` (limits), `rlimits` (of each command),
    `ttl_s` (since the last request), `delete` (a folder that goes with the runner, or empty).
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.place = Place(options)
        self.jobs: set[Job] = set()
        self.starters = Starters(self._tell_started)
        self.started: deque[Command] = deque()
        self.is_offered = False
        self.wake, self.waker = os.pipe()
        os.set_blocking(self.waker, False)
        self.selector = selectors.DefaultSelector()
        self.ends_at = 0.0

    def serve(self) -> None:
        """Answer requests until the connection or the time to live ends."""
        adopt_orphans()
        hide()
        bound()
        gc.freeze()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, self._on_alarm)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)  # the event loop is woken, and reaps
        signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        for name, limit in self.options["rlimits"].items():
            resource.setrlimit(getattr(resource, name), (limit, limit))
        self._live_on()
        for watched in (STDIN, self.wake):
            self.selector.register(watched, selectors.EVENT_READ)
        frames = Frames()
        _send(pack({"id": 0, "is_ready": True}))
        while True:
            for key, _ in self.selector.select(self._patience()):
                if key.fd == STDIN:
                    self._receive(frames)
                elif key.fd == self.wake:
                    self._begin_started()
                elif key.data in self.jobs and key.data.advance(key.fd, self.selector):
                    self._finish(key.data, is_timed_out=False)
            self._end_late()
            self._reap()

    def end(self) -> NoReturn:
        """Kill everything, delete what nobody else will, and end this process."""
        try:
            kill_all()
            if self.options["delete"]:
                files.delete_tree(self.options["delete"])
        finally:
            os._exit(0)

    def _receive(self, frames: Frames) -> None:
        received = os.read(STDIN, CHUNK_BYTES)
        if not received:
            self.end()
        for request, body in frames.feed(received):
            self._live_on()
            try:
                self._answer(request, body)
            except OSError as error:
                _send(pack({"id": request["id"], "errno": error.errno or errno.EIO, "error": str(error.strerror)}))

    def _answer(self, request: dict[str, Any], body: bytes) -> None:
        if request["op"] == "ping":
            _send(pack({"id": request["id"]}, body))
            return
        if request["op"] == "reset":
            kill_all()
            for job in list(self.jobs):
                self._finish(job, is_timed_out=False)
        make = self._start if request["op"] == "exec" else self._work_with_files
        try:
            make(request, body)
        except BlockingIOError:
            self._make_room()
            make(request, body)

    def _make_room(self) -> None:
        """Kill everything: the commands before this one have left no room for one more process."""
        kill_all()
        self._reap()

    def _start(self, request: dict[str, Any], body: bytes) -> None:
        command = Command(request, body, self.place)
        if not self.is_offered:
            offer_to_oom_killer(is_offered=True)  # the new process has it from here
            self.is_offered = True
        self.starters.start(command)
        self.jobs.add(command)

    def _work_with_files(self, request: dict[str, Any], body: bytes) -> None:
        work = FileWork(request, body, self.place)
        work.begin(self.selector)
        self.jobs.add(work)

    def _tell_started(self, command: Command) -> None:
        """Have the event loop see to a command; called in another thread."""
        self.started.append(command)
        with suppress(BlockingIOError):  # it is full, so the loop is to be woken anyway
            os.write(self.waker, b".")

    def _begin_started(self) -> None:
        os.read(self.wake, CHUNK_BYTES)
        while self.started:
            command = self.started.popleft()
            command.is_started = True
            self.starters.idle += 1
            try:
                self._begin(command)
            except OSError as error:
                command.failure = error
                self._finish(command, is_timed_out=False)
        if self.is_offered and not self._are_starting():
            offer_to_oom_killer(is_offered=False)
            self.is_offered = False

    def _begin(self, command: Command) -> None:
        if command not in self.jobs:  # it was late
            if command.child is not None:
                kill_coming_from(command.child.pid, command.started_ticks, self._roots())
            command.let_go()
        elif command.child is not None:
            command.begin(self.selector)
        elif isinstance(command.failure, BlockingIOError) and not command.is_retried:
            self._make_room()
            self.starters.start(command)
            command.is_retried, command.is_started, command.failure = True, False, None
        else:
            self._finish(command, is_timed_out=False)

    def _finish(self, job: Job, *, is_timed_out: bool) -> None:
        self.jobs.discard(job)
        _send(job.finish(self.selector, is_timed_out=is_timed_out))

    def _patience(self) -> float:
        """Return for how long nothing has to be done unless somebody asks, in seconds."""
        now = time.monotonic()
        return max(PAUSE_S, min([TICK_S, *(job.deadline - now for job in self.jobs)]))

    def _end_late(self) -> None:
        now = time.monotonic()
        for job in list(self.jobs):
            if job.deadline > now:
                continue
            if now < job.deadline + START_S and self._are_starting(but=job):
                continue
            kill_coming_from(job.pid, job.started_ticks, self._roots())
            self._finish(job, is_timed_out=True)

    def _are_starting(self, but: Job | None = None) -> bool:
        return any(isinstance(job, Command) and job is not but and not job.is_started for job in self.jobs)

    def _reap(self) -> None:
        """Let ended orphans go, unless one of them may be a command whose start has not been told of yet."""
        if not self._are_starting():
            reap(but=self._roots())

    def _roots(self) -> set[int]:
        return {job.pid for job in self.jobs}

    def _live_on(self) -> None:
        self.ends_at = time.monotonic() + self.options["ttl_s"]
        signal.setitimer(signal.ITIMER_REAL, self.options["ttl_s"], TICK_S)

    def _on_alarm(self, number: int, frame: object) -> None:
        if time.monotonic() >= self.ends_at:  # else a command of the runner's own user sent the signal
            self.end()


def _send(message: bytes) -> None:
    left = memoryview(message)
    while left:
        left = left[os.write(STDOUT, left) :]
