"""A command of the agent.

It is started in a thread of its own: the start is over when the program is reached, and another process of the same
user can stop the new one on the way. Then that thread waits, and the deadline ends the wait.
"""

from __future__ import annotations

import errno
import os
import subprocess
import threading
import time
from queue import SimpleQueue

from .capture import Capture
from .frames import pack
from .jobs import Job
from .processes import count_oom_kills

TYPE_CHECKING = False  # importing `typing` takes time
if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable
    from typing import Any

    from .place import Place

NOT_FOUND, NOT_RUN = 127, 126
"""What a shell answers where there is no such program, and where it cannot be run."""


class Command(Job):
    """A command. `request` holds `argv`, `cwd`, `env` and `timeout_s`.

    Attributes:
        failure: why it could not be started.
        is_started: whether the event loop knows that it has been, or could not be.
        is_retried: whether it is being started for the second time.
    """

    def __init__(self, request: dict[str, Any], stdin: bytes, place: Place) -> None:
        super().__init__(request, request["timeout_s"], stdin)
        self.user = place.user
        self.captures = [Capture(place.output_bytes), Capture(place.output_bytes)]
        self.oom_kills = count_oom_kills()
        self.child: subprocess.Popen[bytes] | None = None
        self.failure: Exception | None = None
        self.is_started = self.is_retried = False

    def begin(self, selector: selectors.BaseSelector) -> None:
        """Watch it, once it has been started."""
        child = self.child
        assert child is not None
        assert child.stdout is not None
        assert child.stderr is not None
        outputs = [os.dup(child.stdout.fileno()), os.dup(child.stderr.fileno())]
        feed = os.dup(child.stdin.fileno()) if child.stdin else -1
        self.let_go()
        self.watch(child.pid, outputs, feed, selector)

    def let_go(self) -> None:
        """Close what `Popen` holds, and have it never look for the process: by then its number may be another's."""
        child = self.child
        if child is not None:
            child.returncode = 0
            for pipe in (child.stdin, child.stdout, child.stderr):
                if pipe is not None:
                    pipe.close()

    def take(self, output: int, read: bytes) -> None:
        """Keep what it wrote."""
        self.captures[output].add(read)

    def answer(self, code: int, *, is_timed_out: bool) -> bytes:
        """Say how it ended and what it wrote."""
        out, err = self.captures
        if self.failure is not None:
            code, text = self._refusal(self.failure)
            err.add(text.encode(errors="backslashreplace"))
        stdout, stderr = out.kept(), err.kept()
        header = {
            "id": self.request["id"],
            "exit_code": code,
            "stdout": len(stdout),
            "stdout_bytes": out.total_bytes,
            "stderr_bytes": err.total_bytes,
            "is_timed_out": is_timed_out,
            "is_out_of_memory": count_oom_kills() > self.oom_kills,
            "elapsed_s": time.monotonic() - self.started_s,
        }
        return pack(header, stdout + stderr)

    def start(self) -> None:
        """Start it, or note why that failed; this takes as long as it takes."""
        argv, cwd = self.request["argv"], self.request["cwd"]
        try:
            try:
                self.child = self._popen(argv, cwd)
            except PermissionError as error:
                if error.filename != cwd or self.user is None:
                    raise
                # a folder that is closed to others is closed to the runner too, but not to the commands' user
                self.child = self._popen(["sh", "-c", 'cd -- "$0" && exec "$@"', cwd, *argv], "/")
        except Exception as error:
            self.failure = error

    def _popen(self, argv: list[str], cwd: str) -> subprocess.Popen[bytes]:
        user: dict[str, Any] = {}
        if self.user is not None:
            user = {"user": self.user, "group": self.user, "extra_groups": []}
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if self.left else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=self.request["env"],
            start_new_session=True,
            bufsize=0,
            **user,
        )

    def _refusal(self, error: Exception) -> tuple[int, str]:
        """Return what a shell says of what cannot be started."""
        program, folder = self.request["argv"][0], self.request["cwd"]
        if isinstance(error, FileNotFoundError) and error.filename != folder:
            return NOT_FOUND, f"{program}: command not found\n"
        if isinstance(error, OSError) and error.errno == errno.EAGAIN:
            return NOT_RUN, f"{program}: the limit of processes is reached\n"
        what = folder if isinstance(error, OSError) and error.filename == folder else program
        return NOT_RUN, f"{what}: {getattr(error, 'strerror', None) or error}\n"


class Starters:
    """Threads that start commands, as many as have one to start, kept for the next.

    Args:
        tell: called with a command, in a thread, when it has been started or could not be.

    Attributes:
        idle: how many wait; whoever is told counts the thread as idle again.
    """

    def __init__(self, tell: Callable[[Command], None]) -> None:
        self.tell = tell
        self.idle = 0
        self.commands: SimpleQueue[Command] = SimpleQueue()

    def start(self, command: Command) -> None:
        """Have a command started.

        Raises:
            BlockingIOError: there is no room for one more thread.
        """
        if self.idle:
            self.idle -= 1
        else:
            try:
                threading.Thread(target=self._work, daemon=True).start()
            except RuntimeError as error:
                raise BlockingIOError(errno.EAGAIN, "no room for one more thread") from error
        self.commands.put(command)

    def _work(self) -> None:
        while True:
            command = self.commands.get()
            command.start()
            self.tell(command)
