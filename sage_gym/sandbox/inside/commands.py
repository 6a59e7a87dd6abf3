"""One command: started, fed, listened to, and answered for. It shares the runner's event loop with the others."""

from __future__ import annotations

import errno
import os
import selectors
import signal
import subprocess
import time

from .capture import CHUNK_BYTES, Capture
from .frames import pack
from .processes import count_oom_kills, offer_to_oom_killer

TYPE_CHECKING = False  # importing `typing` takes time
if TYPE_CHECKING:
    from typing import Any

NOT_FOUND, NOT_RUN = 127, 126
"""What a shell answers where there is no such program, and where it cannot be run."""
KILLED = 128 + signal.SIGKILL
DRAIN_S = 1.0


class NotStartedError(Exception):
    """A command that could not be started; `answer` says so to who asked."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer)
        self.answer = answer


class Command:
    """A command that is running.

    Raises:
        NotStartedError: there is no such program, or it may not be run.
        BlockingIOError: there is no room for one more process.
    """

    def __init__(self, request: dict[str, Any], stdin: bytes, limit_bytes: int, mark: int) -> None:
        self.id, self.mark = request["id"], mark
        self.oom_kills = count_oom_kills()
        self.started = time.monotonic()
        self.deadline: float = self.started + request["timeout_s"]
        try:
            self.child = subprocess.Popen(
                request["argv"],
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=request["cwd"],
                env=request["env"],
                start_new_session=True,
                bufsize=0,
            )
        except BlockingIOError:
            raise
        except (OSError, ValueError) as error:
            raise NotStartedError(refusal(request, error)) from error
        assert self.child.stdout is not None
        assert self.child.stderr is not None
        offer_to_oom_killer(self.child.pid)
        self.left = memoryview(stdin)
        self.exit = os.pidfd_open(self.child.pid)
        self.captures = {
            self.child.stdout.fileno(): Capture(limit_bytes),
            self.child.stderr.fileno(): Capture(limit_bytes),
        }
        for pipe in self.captures:
            os.set_blocking(pipe, False)

    def register(self, selector: selectors.BaseSelector) -> None:
        """Have the event loop watch it."""
        for watched in (self.exit, *self.captures):
            selector.register(watched, selectors.EVENT_READ, self)
        if self.child.stdin is not None:
            os.set_blocking(self.child.stdin.fileno(), False)
            selector.register(self.child.stdin, selectors.EVENT_WRITE, self)

    def advance(self, ready: int, selector: selectors.BaseSelector) -> bool:
        """Do what one of its descriptors is ready for; say whether the command has ended."""
        if ready == self.exit:
            return True
        if ready not in self.captures:
            self._feed(selector)
        elif not self._read(ready):
            selector.unregister(ready)
        return False

    def finish(self, selector: selectors.BaseSelector, *, is_timed_out: bool) -> bytes:
        """Read what is left, let it go and return the answer, packed."""
        until = time.monotonic() + DRAIN_S
        for pipe in self.captures:
            while time.monotonic() < until and self._read(pipe) > 0:
                pass
        elapsed_s = time.monotonic() - self.started
        code = KILLED if is_timed_out else self.child.wait()
        out, err = self.captures.values()
        stdout, stderr = out.kept(), err.kept()
        header = {
            "id": self.id,
            "exit_code": 128 - code if code < 0 else code,
            "stdout": len(stdout),
            "stdout_bytes": out.total_bytes,
            "stderr_bytes": err.total_bytes,
            "is_timed_out": is_timed_out,
            "is_out_of_memory": count_oom_kills() > self.oom_kills,
            "elapsed_s": elapsed_s,
        }
        self._let_go(selector)
        return pack(header, stdout + stderr)

    def _let_go(self, selector: selectors.BaseSelector) -> None:
        watched = selector.get_map()
        for pipe in (self.child.stdin, self.child.stdout, self.child.stderr):
            if pipe is not None and not pipe.closed:
                if pipe.fileno() in watched:
                    selector.unregister(pipe)
                pipe.close()
        selector.unregister(self.exit)
        os.close(self.exit)

    def _read(self, pipe: int) -> int:
        """Read once; return the number of bytes, 0 at the end, -1 where there is nothing yet."""
        try:
            read = os.read(pipe, CHUNK_BYTES)
        except BlockingIOError:
            return -1
        self.captures[pipe].add(read)
        return len(read)

    def _feed(self, selector: selectors.BaseSelector) -> None:
        assert self.child.stdin is not None
        try:
            self.left = self.left[os.write(self.child.stdin.fileno(), self.left[:CHUNK_BYTES]) :]
        except BlockingIOError:
            return
        except OSError:
            self.left = self.left[:0]
        if not self.left:
            selector.unregister(self.child.stdin)
            self.child.stdin.close()


def refusal(request: dict[str, Any], error: Exception) -> bytes:
    """Answer as a shell does for what cannot be started."""
    if isinstance(error, FileNotFoundError) and error.filename == request["cwd"]:
        code, text = NOT_RUN, f"{request['cwd']}: no such folder to run in"
    elif isinstance(error, FileNotFoundError):
        code, text = NOT_FOUND, f"{request['argv'][0]}: command not found"
    elif isinstance(error, OSError) and error.errno == errno.EAGAIN:
        code, text = NOT_RUN, "no more processes: the limit is reached"
    else:
        code, text = NOT_RUN, f"{request['argv'][0]}: {getattr(error, 'strerror', None) or error}"
    stderr = (text + "\n").encode(errors="surrogateescape")
    sizes = {"stdout": 0, "stdout_bytes": 0, "stderr_bytes": len(stderr)}
    state = {"is_timed_out": False, "is_out_of_memory": False, "elapsed_s": 0.0}
    return pack({"id": request["id"], "exit_code": code, **sizes, **state}, stderr)
