"""An append-only file of chunks. What was once written whole survives a kill, a full disk and a damaged line.

    {"kind":"header","format":1}
    {...a trajectory...}
    {...a trajectory...}
    {"kind":"chunk","chunk":0,"episodes":2,"digest":"…"}

A chunk counts when its marker is there and the digest agrees. A chunk that is written again counts in its last form.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from sage_gym.errors import RecordError
from sage_gym.rollout.records import ChunkMarker, Header, decode, encode
from sage_gym.types import Trajectory

__all__ = ["MARKER_START", "Damage", "Journal", "Scan", "Span", "load", "read_trajectories", "scan"]

log = logging.getLogger(__name__)

HEADER_LINE = Header().model_dump_json().encode() + b"\n"
MARKER_START = b'{"kind":"chunk",'
"""What the line after a chunk's trajectories begins with, and no trajectory's does."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A line (counted from 1) that keeps a chunk from counting, and why; `episodes` lines are skipped with it."""

    line: int
    reason: str
    episodes: int


@dataclass(frozen=True, slots=True)
class Span:
    """Where the trajectories of a chunk lie, in bytes."""

    start: int
    stop: int
    episodes: int


@dataclass(frozen=True, slots=True)
class Scan:
    """What a file holds: whole chunks by number, what is damaged, and the byte after the last whole chunk."""

    chunks: dict[int, Span]
    damage: tuple[Damage, ...]
    whole_bytes: int


def scan(path: Path) -> Scan:
    """Find the whole chunks of a file, without decoding them. A file that is not there holds none.

    Raises:
        RecordError: the file is of another kind or format.
    """
    if not path.exists() or path.stat().st_size == 0:
        return Scan({}, (), 0)
    chunks: dict[int, Span] = {}
    damage: list[Damage] = []
    with path.open("rb") as file:
        header = file.readline()
        start = stop = len(header)
        if not _is_header(header, path):
            return Scan({}, (Damage(1, "the header is cut off", 0),), 0)
        lines: list[bytes] = []
        number = 1
        whole_bytes = start
        for number, line in enumerate(file, 2):
            if not line.startswith(MARKER_START):
                lines.append(line)
                stop += len(line)
                continue
            found = _judge(line, lines, number)
            if isinstance(found, Damage):
                damage.append(found)
            else:
                chunks[found.chunk] = Span(start, stop, len(lines))
                whole_bytes = stop + len(line)
            start = stop = stop + len(line)
            lines.clear()
        if lines:
            damage.append(_first_bad(lines, number + 1, "the chunk has no marker"))
    return Scan(chunks, tuple(damage), whole_bytes)


def load(path: Path, span: Span) -> list[Trajectory]:
    """Decode the trajectories of a chunk."""
    with path.open("rb") as file:
        file.seek(span.start)
        return [decode(line) for line in file.read(span.stop - span.start).splitlines()]


def read_trajectories(path: Path) -> Iterator[list[Trajectory]]:
    """Give the whole chunks of a file in the order of their numbers."""
    for _, span in sorted(scan(path).chunks.items()):
        yield load(path, span)


class Journal:
    """Appends chunks to a file; opening it cuts off what a killed process left half-written. A context manager.

    Attributes:
        damage: what was found on opening; lines after the last whole chunk are gone, earlier ones stay and are skipped.
        chunks: the whole chunks.

    Raises:
        RecordError: the file is of another kind or format, or another process has it open.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _open_alone(path)
        try:
            found = scan(path)
        except RecordError:
            self._file.close()
            raise
        self.path, self.damage, self.chunks = path, found.damage, dict(found.chunks)
        for damage in found.damage:
            log.warning("%s, line %d: %s; %d episodes skipped", path, damage.line, damage.reason, damage.episodes)
        self._file.truncate(found.whole_bytes)
        self._file.seek(found.whole_bytes)
        if found.whole_bytes == 0:
            self._write(HEADER_LINE)
            _sync_folder(path.parent)

    def append(self, chunk: int, trajectories: Sequence[Trajectory]) -> None:
        """Write a chunk through to the disk; either all of it counts afterwards, or none.

        Raises:
            OSError: the disk is full or fails; the file is as it was.
        """
        start = self._file.tell()
        lines = b"".join(encode(trajectory).encode() + b"\n" for trajectory in trajectories)
        marker = ChunkMarker(chunk=chunk, episodes=len(trajectories), digest=_digest(lines))
        self._write(lines + marker.model_dump_json().encode() + b"\n")
        self.chunks[chunk] = Span(start, start + len(lines), len(trajectories))

    def load(self, chunk: int) -> list[Trajectory]:
        """Read a chunk back."""
        return load(self.path, self.chunks[chunk])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, data: bytes) -> None:
        start = self._file.tell()
        try:
            left = memoryview(data)
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except BaseException:
            self._file.truncate(start)
            self._file.seek(start)
            raise


def _is_header(line: bytes, path: Path) -> bool:
    """Whether the first line is whole; False where a kill left a beginning of ours."""
    if HEADER_LINE.startswith(line) and line != HEADER_LINE:
        return False
    try:
        Header.model_validate_json(line)
    except ValidationError as error:
        raise RecordError(
            f"{path}: expected a first line {HEADER_LINE!r}, got {line[:80]!r}; "
            "it is no trajectory file, or was written by another version"
        ) from error
    return True


def _judge(line: bytes, lines: Sequence[bytes], number: int) -> ChunkMarker | Damage:
    """Hold a marker against the lines before it."""
    try:
        marker = ChunkMarker.model_validate_json(line)
    except ValidationError:
        return Damage(number, "the chunk's marker cannot be read", len(lines))
    if line.endswith(b"\n") and marker.episodes == len(lines) and marker.digest == _digest(b"".join(lines)):
        return marker
    return _first_bad(lines, number, "the lines are not those that were written")


def _first_bad(lines: Sequence[bytes], marker_number: int, otherwise: str) -> Damage:
    """Name the first line that cannot be decoded, or else the place of the marker."""
    for number, line in enumerate(lines, marker_number - len(lines)):
        try:
            decode(line)
        except RecordError as error:
            return Damage(number, str(error), len(lines))
    return Damage(marker_number, otherwise, len(lines))


def _digest(lines: bytes) -> str:
    return blake2b(lines, digest_size=8).hexdigest()


def _open_alone(path: Path) -> BinaryIO:
    file: BinaryIO = path.open("r+b" if path.exists() else "x+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise RecordError(
            f"{path}: another process writes to it; wait for it, or give this run another name"
        ) from error
    return file


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
