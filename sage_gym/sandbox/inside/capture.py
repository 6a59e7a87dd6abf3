"""What a command wrote, up to a limit: its beginning and its end are kept, the middle is counted."""

from __future__ import annotations

CHUNK_BYTES = 1 << 16


class Capture:
    """Keeps at most `limit_bytes` of a stream."""

    def __init__(self, limit_bytes: int) -> None:
        self.head_bytes = limit_bytes - limit_bytes // 2
        self.tail_bytes = limit_bytes // 2
        self.head = bytearray()
        self.tail = bytearray()
        self.total_bytes = 0

    def add(self, read: bytes) -> None:
        """Take what was read."""
        self.total_bytes += len(read)
        room = self.head_bytes - len(self.head)
        if room > 0:
            self.head += read[:room]
            read = read[room:]
        self.tail += read
        if len(self.tail) > self.tail_bytes + (CHUNK_BYTES << 4):
            self._trim()

    def kept(self) -> bytes:
        """Return what is kept, with a notice where something was left out."""
        self._trim()
        left_out = self.total_bytes - len(self.head) - len(self.tail)
        notice = b"\n[... %d bytes left out ...]\n" % left_out if left_out else b""
        return bytes(self.head) + notice + bytes(self.tail)

    def _trim(self) -> None:
        del self.tail[: max(0, len(self.tail) - self.tail_bytes)]
