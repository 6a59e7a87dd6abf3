"""Something done with files, in a process of its own under the commands' user."""

from __future__ import annotations

import errno
import os

from .frames import LENGTHS, pack
from .identity import become
from .jobs import Job

TYPE_CHECKING = False  # importing `typing` takes time
if TYPE_CHECKING:
    import selectors
    from typing import Any, NoReturn

    from .place import Place

LIMIT_S = 20.0
HEADER_BYTES = 1 << 16


class FileWork(Job):
    """A request to write, read or reset."""

    def __init__(self, request: dict[str, Any], body: bytes, place: Place) -> None:
        super().__init__(request, LIMIT_S)
        self.body, self.place = body, place
        self.reported = bytearray()

    def begin(self, selector: selectors.BaseSelector) -> None:
        """Start it.

        Raises:
            BlockingIOError: there is no room for one more process.
        """
        ours, theirs = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(ours)
            os.close(theirs)
            raise
        if pid == 0:
            self._be_worker(theirs)
        os.close(theirs)
        self.watch(pid, [ours], -1, selector)

    def take(self, output: int, read: bytes) -> None:
        """Keep a piece of the answer."""
        if len(self.reported) <= self.place.file_bytes + HEADER_BYTES:
            self.reported += read

    def answer(self, code: int, *, is_timed_out: bool) -> bytes:
        """Hand the answer on if it is whole."""
        size = LENGTHS.size
        if len(self.reported) >= size and len(self.reported) == size + sum(LENGTHS.unpack_from(self.reported)):
            return bytes(self.reported)
        failure = "it took too long" if is_timed_out else "its process was killed"
        return pack({"id": self.request["id"], "errno": errno.EIO, "error": failure})

    def _be_worker(self, report: int) -> NoReturn:
        try:
            become(self.place.user)
            left = memoryview(self._done())
            while left:
                left = left[os.write(report, left) :]
        finally:
            os._exit(0)

    def _done(self) -> bytes:
        try:
            header, body = self.place.work(self.request, self.body)
        except OSError as error:
            header, body = {"errno": error.errno or errno.EIO, "error": error.strerror or str(error)}, b""
        except Exception as error:
            header, body = {"errno": errno.EINVAL, "error": str(error)}, b""
        return pack({"id": self.request["id"], **header}, body)
