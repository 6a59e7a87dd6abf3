"""Messages on a byte stream, alike at both ends: a JSON header and a body of bytes, each after its length."""

from __future__ import annotations

import json
import struct

TYPE_CHECKING = False  # importing `typing` takes time
if TYPE_CHECKING:
    from typing import Any

LENGTHS = struct.Struct(">II")
"""Bytes of the header and of the body, big-endian."""
MOST_BYTES = 1 << 28


def pack(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Write one message."""
    text = json.dumps(header).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


class Frames:
    """Takes bytes as they come and gives whole messages."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def feed(self, received: bytes) -> list[tuple[dict[str, Any], bytes]]:
        """Return the messages, `(header, body)` each, that are whole now.

        Raises:
            ValueError: this is no message.
        """
        self.buffer += received
        found = []
        while len(self.buffer) >= LENGTHS.size:
            header_bytes, body_bytes = LENGTHS.unpack_from(self.buffer)
            if header_bytes + body_bytes > MOST_BYTES:
                raise ValueError(f"expected a message of at most {MOST_BYTES} bytes, got {header_bytes + body_bytes}")
            end = LENGTHS.size + header_bytes + body_bytes
            if len(self.buffer) < end:
                break
            start = LENGTHS.size + header_bytes
            header = json.loads(bytes(self.buffer[LENGTHS.size : start]))
            found.append((header, bytes(self.buffer[start:end])))
            del self.buffer[:end]
        return found
