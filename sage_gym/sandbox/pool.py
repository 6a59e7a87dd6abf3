"""Sandboxes kept ready: taken in milliseconds, given back to be made fresh, and never more than a bound at a time."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import Self

from sage_gym.errors import DeadlineError, SageGymError, SandboxClosedError
from sage_gym.sandbox.protocol import Sandbox

__all__ = ["SandboxPool"]

log = logging.getLogger(__name__)
STARTERS = 4
FEWEST_PINGS_S = 1.0


class SandboxPool:
    """Hands out fresh sandboxes. Used from several threads; a context manager that closes them all.

    Args:
        start: makes a new one.
        ready: how many are kept ready to be taken.
        most: how many there may be in all, lent ones included; who asks for more waits.
        ping_s: how often those that wait are asked whether they live, which also renews their time to live.
    """

    def __init__(self, start: Callable[[], Sandbox], *, ready: int = 2, most: int = 64, ping_s: float = 300.0) -> None:
        if not 0 <= ready <= most or most < 1:
            raise ValueError(f"expected 0 <= ready <= most and most >= 1, got ready {ready}, most {most}")
        self._start, self._ready, self._most = start, ready, most
        self._idle: deque[Sandbox] = deque()
        self._lent: dict[int, Sandbox] = {}
        self._refreshed: dict[int, Sandbox] = {}
        self._starting = 0
        self._waiting = 0
        self._failure: Exception | None = None
        self._is_closed = False
        self._changed = threading.Condition()
        self._workers = ThreadPoolExecutor(STARTERS, thread_name_prefix="sandbox pool")
        self._pings = threading.Thread(target=self._keep_alive, args=(max(ping_s, FEWEST_PINGS_S),), daemon=True)
        self._pings.start()
        with self._changed:
            self._fill()

    def take(self, timeout_s: float = 120.0) -> Sandbox:
        """Return a fresh sandbox that answers; waits while as many as may be are lent.

        Raises:
            DeadlineError: none came free in time.
            SandboxClosedError: the pool was closed.
            SageGymError: a sandbox could not be started, and none is left.
        """
        until = monotonic() + timeout_s
        while True:
            sandbox = self._next(until, timeout_s)
            try:
                sandbox.ping()
            except SageGymError as error:
                log.warning("a sandbox that was kept ready is gone, and another is taken: %s", error)
                self._drop(sandbox)
            else:
                return sandbox

    def give_back(self, sandbox: Sandbox) -> None:
        """Let another have it, once it has been made fresh; one that cannot be is replaced. Does not wait.

        Raises:
            ValueError: this pool has not lent it, or has it back already.
        """
        with self._changed:
            if self._lent.pop(id(sandbox), None) is None:
                raise ValueError("expected a sandbox that this pool has lent, got one that it has not, or has back")
            if not self._is_closed:
                self._refreshed[id(sandbox)] = sandbox
                self._workers.submit(self._refresh, sandbox)
                return
        sandbox.close()

    @contextmanager
    def lend(self, timeout_s: float = 120.0) -> Iterator[Sandbox]:
        """Take one for the length of a `with` block."""
        sandbox = self.take(timeout_s)
        try:
            yield sandbox
        finally:
            self.give_back(sandbox)

    def close(self) -> None:
        """Close those that are not lent, and refuse to lend more; those lent are closed as they come back."""
        with self._changed:
            self._is_closed = True
            idle = list(self._idle)
            self._idle.clear()
            self._changed.notify_all()
        self._workers.shutdown(wait=True, cancel_futures=True)
        self._pings.join()
        with self._changed:
            idle += [*self._idle, *self._refreshed.values()]
            self._idle.clear()
            self._refreshed.clear()
        for sandbox in idle:
            sandbox.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _next(self, until: float, timeout_s: float) -> Sandbox:
        with self._changed:
            self._waiting += 1
            try:
                self._failure = None
                self._fill()
                while not self._idle:
                    if self._is_closed:
                        raise SandboxClosedError("expected an open pool, got one that was closed")
                    if self._failure is not None and not self._starting and not self._refreshed:
                        raise self._failure
                    if not self._changed.wait(until - monotonic()):
                        raise DeadlineError(
                            f"no sandbox came free within {timeout_s:.0f} s: {len(self._lent)} of {self._most} are lent"
                        )
                sandbox = self._idle.popleft()
                self._lent[id(sandbox)] = sandbox
            finally:
                self._waiting -= 1
            self._fill()
            return sandbox

    def _fill(self) -> None:
        """Start as many as are wanted and may be; called with the lock held."""
        while (
            not self._is_closed
            and (coming := len(self._idle) + self._starting + len(self._refreshed)) < self._ready + self._waiting
            and coming + len(self._lent) < self._most
        ):
            self._starting += 1
            self._workers.submit(self._add)

    def _add(self) -> None:
        try:
            sandbox = self._start()
        except Exception as error:
            with self._changed:
                self._starting -= 1
                self._failure = error
                self._changed.notify_all()
            return
        with self._changed:
            self._starting -= 1
            self._idle.append(sandbox)
            self._changed.notify_all()

    def _refresh(self, sandbox: Sandbox) -> None:
        try:
            sandbox.reset()
        except Exception as error:
            log.info("a sandbox is replaced: %s", error)
            self._drop(sandbox)
            return
        with self._changed:
            del self._refreshed[id(sandbox)]
            self._idle.append(sandbox)
            self._changed.notify_all()

    def _drop(self, sandbox: Sandbox) -> None:
        try:
            sandbox.close()
        except Exception:
            log.exception("a sandbox could not be closed")
        with self._changed:
            self._lent.pop(id(sandbox), None)
            self._refreshed.pop(id(sandbox), None)
            self._fill()
            self._changed.notify_all()

    def _keep_alive(self, ping_s: float) -> None:
        """Ask those that wait, one after the other, whether they live."""
        while True:
            with self._changed:
                if self._changed.wait_for(lambda: self._is_closed, ping_s):
                    return
                count = len(self._idle)
            for _ in range(count):
                with self._changed:
                    if self._is_closed or not self._idle:
                        break
                    sandbox = self._idle.pop()
                    self._lent[id(sandbox)] = sandbox
                try:
                    sandbox.ping()
                except Exception:
                    self._drop(sandbox)
                else:
                    with self._changed:
                        self._lent.pop(id(sandbox), None)
                        self._idle.appendleft(sandbox)
                        self._changed.notify_all()
