"""What a check is given, and the few things that checks share."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sage_gym.sandbox.conformance.programs import COUNT_ARGUMENT
from sage_gym.sandbox.protocol import Limits, Result, Sandbox

__all__ = ["Check", "Subject", "expect", "expect_error", "is_running", "new_mark", "python", "shell"]

PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Subject:
    """A backend to be checked.

    Args:
        backend: its name in `KNOWN_GAPS`.
        start: makes a sandbox with these limits.
    """

    backend: str
    start: Callable[[Limits], Sandbox]

    def open(self, **limits: float) -> Sandbox:
        """Start a sandbox with small limits, some of them given."""
        return self.start(Limits.model_validate({"timeout_s": 20, "ttl_s": 600, **limits}))


Check = Callable[[Subject], None]


def expect(is_so: bool, what: str, got: object) -> None:
    """Say what was expected, and what came instead.

    Raises:
        AssertionError: it is not so.
    """
    if not is_so:
        raise AssertionError(f"expected {what}, got {got!r}")


@contextmanager
def expect_error(kind: type[Exception], what: str) -> Iterator[None]:
    """Expect an exception of a kind."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"expected {kind.__name__} for {what}, got nothing")


def shell(sandbox: Sandbox, text: str, timeout_s: float | None = None, stdin: bytes = b"") -> Result:
    """Run a text with `sh -c`."""
    return sandbox.exec(["sh", "-c", text], timeout_s, stdin)


def python(sandbox: Sandbox, text: str, timeout_s: float | None = None) -> Result:
    """Run a text with `python3 -c`."""
    return sandbox.exec(["python3", "-c", text], timeout_s)


def new_mark() -> str:
    """Return a number of seconds that no other `sleep` on this machine waits, to tell a process by."""
    return f"4242.{secrets.randbelow(10**9):09d}"


def is_running(sandbox: Sandbox, mark: str, patience_s: float = PATIENCE_S) -> bool:
    """Whether a process with this word among its arguments lives; waits for it to end."""
    until = time.monotonic() + patience_s
    while True:
        counted = sandbox.exec(["python3", "-c", COUNT_ARGUMENT, mark])
        expect(counted.is_ok, "a count of processes", counted)
        if counted.stdout == b"0\n":
            return False
        if time.monotonic() > until:
            return True
        time.sleep(0.05)
