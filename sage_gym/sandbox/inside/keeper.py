"""One command: started, fed, listened to, and ended with all its children when its time is over.

It runs in a process of its own, which adopts whatever the command leaves behind; so, at a time-out, what fled into
another session is found, and the commands beside it are let be.
"""

from __future__ import annotations

import errno
import os
import resource
import selectors
import signal
import subprocess
import time

from .capture import CHUNK_BYTES, Capture
from .frames import pack
from .processes import adopt_orphans, count_oom_kills, kill_descendants, offer_to_oom_killer

TYPE_CHECKING = False  # importing `typing` takes time
if TYPE_CHECKING:
    from typing import Any

NOT_FOUND, NOT_RUN = 127, 126
"""What a shell answers where there is no such program, and where it cannot be run."""


def keep(request: dict[str, Any], stdin: bytes, options: dict[str, Any]) -> bytes:
    """Run the command of a request and return the answer, packed."""
    adopt_orphans()
    for name, limit in options["rlimits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0)
    killed = count_oom_kills()
    started = time.monotonic()
    try:
        child = subprocess.Popen(
            request["argv"],
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=request["cwd"],
            env=request["env"],
            start_new_session=True,
            bufsize=0,
        )
    except (OSError, ValueError) as error:
        return _refused(request, error)
    offer_to_oom_killer(child.pid)
    watch = Watch(child, stdin, options["output_bytes"])
    is_late = not watch.until(started + request["timeout_s"])
    if is_late:
        kill_descendants(os.getpid())
        watch.until(time.monotonic() + 1.0)
    return watch.answer(
        {
            "id": request["id"],
            "is_timed_out": is_late,
            "is_out_of_memory": count_oom_kills() > killed,
            "elapsed_s": time.monotonic() - started,
        }
    )


def _refused(request: dict[str, Any], error: Exception) -> bytes:
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


class Watch:
    """Feeds a running command and reads what it writes."""

    def __init__(self, child: subprocess.Popen[bytes], stdin: bytes, limit_bytes: int) -> None:
        assert child.stdout is not None
        assert child.stderr is not None
        self.child = child
        self.left = memoryview(stdin)
        self.stdout, self.stderr = Capture(limit_bytes), Capture(limit_bytes)
        self.exit = os.pidfd_open(child.pid)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.exit, selectors.EVENT_READ, None)
        self.pipes = ((child.stdout, self.stdout), (child.stderr, self.stderr))
        for pipe, capture in self.pipes:
            os.set_blocking(pipe.fileno(), False)
            self.selector.register(pipe, selectors.EVENT_READ, capture)
        if child.stdin:
            os.set_blocking(child.stdin.fileno(), False)
            self.selector.register(child.stdin, selectors.EVENT_WRITE, None)

    def until(self, deadline: float) -> bool:
        """Work until the command has ended, or the deadline; say whether it has ended. Its children may live on."""
        while True:
            for key, _ in self.selector.select(max(0.0, deadline - time.monotonic())):
                if key.fd == self.exit:
                    self._drain()
                    return True
                if key.data is None:
                    self._feed(key)
                elif not self._read(key.fd, key.data):
                    self.selector.unregister(key.fileobj)
            if time.monotonic() >= deadline:
                return False

    def answer(self, header: dict[str, Any]) -> bytes:
        """Return the answer, packed: exit code (128 + the signal's number where one ended it) and what was written."""
        code = -signal.SIGKILL if header["is_timed_out"] else self.child.wait()
        out, err = self.stdout.kept(), self.stderr.kept()
        sizes = {
            "stdout": len(out),
            "stdout_bytes": self.stdout.total_bytes,
            "stderr_bytes": self.stderr.total_bytes,
        }
        return pack({**header, "exit_code": 128 - code if code < 0 else code, **sizes}, out + err)

    def _drain(self) -> None:
        for pipe, capture in self.pipes:
            until = time.monotonic() + 1.0
            while time.monotonic() < until and self._read(pipe.fileno(), capture) > 0:
                pass

    def _read(self, pipe: int, capture: Capture) -> int:
        """Read once; return the number of bytes, 0 at the end, -1 where there is nothing yet."""
        try:
            read = os.read(pipe, CHUNK_BYTES)
        except BlockingIOError:
            return -1
        capture.add(read)
        return len(read)

    def _feed(self, key: selectors.SelectorKey) -> None:
        assert self.child.stdin is not None
        try:
            self.left = self.left[os.write(key.fd, self.left[:CHUNK_BYTES]) :]
        except BlockingIOError:
            return
        except OSError:
            self.left = self.left[:0]
        if not self.left:
            self.selector.unregister(key.fileobj)
            self.child.stdin.close()
