"""Every wait has a deadline: calls run on a worker thread, and one that outlives its limit is abandoned.

A whole batch of calls is handed over at once, so the watch costs one hand-over between threads a batch (some tens of
microseconds), not one a call. A thread is the only thing that can be walked away from: a signal works on the main
thread alone, and neither a signal nor an asynchronous exception gets out of a call that blocks inside C. The abandoned
thread is sent a `DeadlineError`, which ends it when it is running Python; when it blocks, it stays behind, and is
left to end by itself.

While one call is slow, the rest of its batch goes on in another thread, so many calls that hang wait side by side.
So what is called may meet different threads over time, though never two at once. What is bound to a thread of its
own (a browser's synchronous driver) has to keep that thread itself, and settings that hold for one thread only
(`torch.no_grad`, autocast) have to be made inside `act`, not around the collection.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from sage_gym.errors import DeadlineError

__all__ = ["DEFAULT_DEADLINES", "Call", "Calls", "Deadlines", "InlineCalls", "Outcome", "WatchedCalls"]

T = TypeVar("T")
log = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""After this long a call counts as slow, and the rest of its batch goes on beside it."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a single call may take, in seconds, before it is held to hang. Not a budget: the policy pays nothing."""

    reset_s: float = 120.0
    """Making an environment and resetting it."""
    step_s: float = 120.0
    act_s: float = 900.0
    """One batch of decisions."""
    close_s: float = 10.0


DEFAULT_DEADLINES = Deadlines()


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """Something to be called; `on_late` runs in the abandoned thread, should the call ever return."""

    function: Callable[[], T]
    on_late: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What a call gave: a value, or the exception that it ended with."""

    value: T | None
    error: BaseException | None
    elapsed_s: float
    is_abandoned: bool = False


class Calls(Protocol):
    """A way to make calls, watched or not."""

    def run(self, calls: Sequence[Call[T]], limit_s: float) -> list[Outcome[T]]:
        """Make the calls, each of which may take `limit_s`; exceptions are returned, not raised."""
        ...

    def has_settled(self, grace_s: float) -> bool:
        """Whether every abandoned call has ended; waits at most `grace_s`."""
        ...

    def close(self) -> None:
        """Let the threads go."""
        ...


class InlineCalls:
    """Calls in the caller's own thread, without a deadline: for what is bound to one thread, and for debugging."""

    def run(self, calls: Sequence[Call[T]], limit_s: float) -> list[Outcome[T]]:
        """Make the calls one after the other; `limit_s` is not enforced."""
        return [_attempt(call, Exception) for call in calls]

    def has_settled(self, grace_s: float) -> bool:
        """Nothing is ever abandoned."""
        return True

    def close(self) -> None:
        """Nothing to let go."""


class WatchedCalls:
    """Calls on a worker thread, each with a deadline."""

    def __init__(self, name: str, patience_s: float = PATIENCE_S) -> None:
        self._name, self._patience_s = name, patience_s
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._abandoned: list[_Worker] = []
        self._hired = 0

    def run(self, calls: Sequence[Call[T]], limit_s: float) -> list[Outcome[T]]:
        """Make the calls, each of which may take `limit_s`; a `DeadlineError` stands for one that took longer."""
        if not calls:
            return []
        batch = _Batch(calls)
        active = [self._hire(batch)]
        try:
            while active:
                try:
                    worker = batch.reports.get(timeout=min(self._patience_s, limit_s))
                except Empty:
                    self._supervise(batch, active, limit_s)
                else:
                    active.remove(worker)
                    self._idle.append(worker)
        except BaseException:
            for worker in active:
                self._abandon(worker, batch, worker.index, limit_s)
            raise
        self._idle.sort(key=lambda worker: worker.number)
        return [outcome for outcome in batch.outcomes if outcome is not None]

    def has_settled(self, grace_s: float) -> bool:
        """Whether every abandoned call has ended; waits at most `grace_s`."""
        end = monotonic() + grace_s
        for worker in self._abandoned:
            worker.thread.join(max(0.0, end - monotonic()))
        self._abandoned = [worker for worker in self._abandoned if worker.thread.is_alive()]
        return not self._abandoned

    def close(self) -> None:
        """Let idle threads end; abandoned ones are daemons and hold up nothing."""
        for worker in self._idle:
            worker.inbox.put(None)
        self._idle.clear()

    def _hire(self, batch: _Batch) -> _Worker:
        if self._idle:
            worker = self._idle.pop(0)
        else:
            worker = _Worker(self._hired, f"{self._name}-{self._hired}", self._lock)
            self._hired += 1
        worker.inbox.put(batch)
        return worker

    def _supervise(self, batch: _Batch, active: list[_Worker], limit_s: float) -> None:
        now = monotonic()
        for worker in tuple(active):
            index, started_s = worker.index, worker.started_s
            if index is not None and now - started_s >= limit_s and self._abandon(worker, batch, index, limit_s):
                active.remove(worker)
        if batch.waiting and all(now - worker.started_s >= self._patience_s for worker in active):
            active.append(self._hire(batch))

    def _abandon(self, worker: _Worker, batch: _Batch, index: int | None, limit_s: float) -> bool:
        """Walk away from a worker unless it has got on with its work in the meantime."""
        with self._lock:
            if worker.index != index:
                return False
            worker.is_abandoned = True
            if index is not None:
                error = DeadlineError(f"expected an answer from {self._name} within {limit_s:g} s, got none")
                batch.outcomes[index] = Outcome(None, error, monotonic() - worker.started_s, is_abandoned=True)
        self._abandoned.append(worker)
        worker.interrupt()
        log.warning("%s: a call was abandoned after %g s", self._name, limit_s)
        return True


class _Batch:
    """Calls that workers take one by one, and where they put what came of them."""

    def __init__(self, calls: Sequence[Call[Any]]) -> None:
        self.calls = calls
        self.waiting = deque(range(len(calls)))
        self.outcomes: list[Outcome[Any] | None] = [None] * len(calls)
        self.reports: SimpleQueue[_Worker] = SimpleQueue()


class _Worker:
    """A daemon thread that works through batches until it is let go or abandoned.

    `index` and the batch's outcomes are written under the lock, so that a call either counts or is abandoned.
    """

    def __init__(self, number: int, name: str, lock: threading.Lock) -> None:
        self.number = number
        self.inbox: SimpleQueue[_Batch | None] = SimpleQueue()
        self.index: int | None = None
        self.started_s = monotonic()
        self.is_abandoned = False
        self._lock = lock
        self.thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self.thread.start()

    def interrupt(self) -> None:
        """Raise `DeadlineError` inside the thread, at its next Python instruction."""
        if self.thread.ident is not None:
            identity, error = ctypes.c_ulong(self.thread.ident), ctypes.py_object(DeadlineError)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(identity, error)

    def _serve(self) -> None:
        try:
            while (batch := self.inbox.get()) is not None:
                if not self._work(batch):
                    return
                batch.reports.put(self)
        except DeadlineError:
            if not self.is_abandoned:
                raise

    def _work(self, batch: _Batch) -> bool:
        """Make the calls that are left; return False when abandoned."""
        while True:
            try:
                index = batch.waiting.popleft()
            except IndexError:
                return True
            call = batch.calls[index]
            self.started_s = monotonic()
            self.index = index
            outcome = _attempt(call, BaseException)
            with self._lock:
                if not self.is_abandoned:
                    batch.outcomes[index] = outcome
                    self.index = None
            if self.is_abandoned:
                _finish_late(call)
                return False


def _attempt(call: Call[T], caught: type[BaseException]) -> Outcome[T]:
    started_s = monotonic()
    try:
        value = call.function()
    except caught as error:
        return Outcome(None, error, monotonic() - started_s)
    return Outcome(value, None, monotonic() - started_s)


def _finish_late(call: Call[Any]) -> None:
    if call.on_late is None:
        return
    try:
        call.on_late()
    except Exception:
        log.warning("cleaning up after an abandoned call failed", exc_info=True)
