"""Our end of the connection to a runner: many requests at a time, each with a deadline."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from sage_gym.errors import SandboxLostError
from sage_gym.sandbox.inside.frames import Frames, pack

__all__ = ["SEND_S", "Channel", "Stream"]

log = logging.getLogger(__name__)
Reply = tuple[dict[str, Any], bytes]
SEND_S = 30.0
WORDS_BYTES = 2000
READY = 0


class Stream(Protocol):
    """A connection to a runner's standard streams."""

    def send(self, message: bytes) -> None:
        """Send all of it, or raise `OSError`, also where the other end has not taken it in `SEND_S`."""
        ...

    def receive(self) -> Iterator[tuple[bool, bytes]]:
        """Give what the runner writes until the connection ends, each with whether it was written to stderr."""
        ...

    def close(self) -> None:
        """End the connection, and with it the runner."""
        ...


class Channel:
    """Sends requests and hands the replies to whoever waits for them.

    Args:
        stream: the connection, which the channel then owns.
        what: what is at the other end, for errors.
    """

    def __init__(self, stream: Stream, what: str) -> None:
        self._stream, self._what = stream, what
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._ids = count(READY + 1)
        self._waiting: dict[int, SimpleQueue[Reply | None]] = {READY: SimpleQueue()}
        self._is_lost = False
        self._last_words = b""
        threading.Thread(target=self._listen, name=f"listening to {what}", daemon=True).start()

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended."""
        return self._is_lost

    def wait_ready(self, timeout_s: float) -> None:
        """Wait for the runner's first word.

        Raises:
            SandboxLostError: it did not come in time.
        """
        self._receive(READY, timeout_s)

    def request(self, header: dict[str, Any], body: bytes, timeout_s: float) -> Reply:
        """Send one request and wait for its reply.

        Raises:
            SandboxLostError: the connection ended, or there was no reply in time; then it is of no more use.
        """
        identifier = next(self._ids)
        with self._lock:
            if self._is_lost:
                raise self._lost()
            self._waiting[identifier] = SimpleQueue()
        if not self._sending.acquire(timeout=SEND_S):
            raise self._give_up(identifier, f"took no request within {SEND_S:.0f} s")
        try:
            self._stream.send(pack({**header, "id": identifier}, body))
        except OSError as error:
            raise self._give_up(identifier, f"took no request: {error}") from error
        finally:
            self._sending.release()
        return self._receive(identifier, timeout_s)

    def close(self) -> None:
        """End the connection."""
        self._stream.close()

    def _receive(self, identifier: int, timeout_s: float) -> Reply:
        replies = self._waiting[identifier]
        try:
            reply = replies.get(timeout=timeout_s)
        except Empty:
            raise self._give_up(identifier, f"gave no answer within {timeout_s:.0f} s") from None
        self._waiting.pop(identifier, None)
        if reply is None:
            raise self._lost()
        return reply

    def _give_up(self, identifier: int, what: str) -> SandboxLostError:
        """End the connection to what does not answer, and return the error that says so."""
        self._waiting.pop(identifier, None)
        self._stream.close()
        return SandboxLostError(f"{self._what} {what}")

    def _listen(self) -> None:
        frames = Frames()
        try:
            for is_stderr, received in self._stream.receive():
                if is_stderr:
                    self._last_words = (self._last_words + received)[-WORDS_BYTES:]
                    continue
                for header, body in frames.feed(received):
                    replies = self._waiting.get(header["id"])
                    if replies is not None:
                        replies.put((header, body))
        except (OSError, ValueError, KeyError) as error:
            log.debug("the connection to %s broke: %s", self._what, error)
        with self._lock:
            self._is_lost = True
            waiting = list(self._waiting.values())
        for replies in waiting:
            replies.put(None)

    def _lost(self) -> SandboxLostError:
        words = self._last_words.decode(errors="replace").strip()
        return SandboxLostError(f"{self._what} ended without having been asked to" + (f": {words}" if words else ""))
