"""A journal read for the rows of its trajectories. What is damaged is named and skipped, the rest is shown.

A trainer trusts a chunk whole or not at all (`rollout.journal`); a reader wants to see what there is. So here a line
that cannot be read costs that line alone. A chunk that was written again counts in its last whole form, and lines after
the last marker do not count: they are being written, or were cut off.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa  # type: ignore[import-untyped]
from pydantic import ValidationError

from sage_gym.errors import RecordError
from sage_gym.evaluation.viewer.summaries import empty, read_lines, rows_of
from sage_gym.rollout.journal import MARKER_START, Damage
from sage_gym.rollout.records import ChunkMarker, Header, decode
from sage_gym.types import Trajectory

__all__ = ["FileRows", "load_trajectory", "read_journal"]

BUFFER = 1 << 20
UNREADABLE = (RecordError, RecursionError, OverflowError, pa.ArrowException)
"""What a line can do: be no trajectory, be nested without end, or hold a number that no column can."""
IN_FLIGHT = 6
"""Chunks that are read ahead of those that are parsed."""


@dataclass(frozen=True, slots=True)
class FileRows:
    """What a file holds: a row a trajectory, what is damaged, and lines at the end that do not count yet."""

    rows: pa.Table
    damage: tuple[Damage, ...] = ()
    """`episodes` is how many lines are skipped."""
    unfinished: int = 0
    bytes: int = 0
    mtime_ns: int = 0

    @property
    def skipped(self) -> int:
        """Damaged lines."""
        return sum(damage.episodes for damage in self.damage)


@dataclass(slots=True)
class _Chunk:
    """Lines up to a marker, as they were read."""

    number: int
    """Of its first line, counted from 1."""
    start: int
    """Of its first byte."""
    lines: list[bytes] = field(default_factory=list)
    marker: bytes = b""

    @property
    def places(self) -> list[tuple[int, int]]:
        """First byte and length of each line."""
        found, start = [], self.start
        for line in self.lines:
            found.append((start, len(line)))
            start += len(line)
        return found


@dataclass(frozen=True, slots=True)
class _Read:
    """What was made of a chunk; `number` is its marker's, None where that cannot be read."""

    number: int | None
    is_whole: bool
    rows: pa.Table
    damage: tuple[Damage, ...] = ()


def read_journal(path: Path, workers: Executor) -> FileRows:
    """Read a journal from its beginning to its end.

    Args:
        path: of the journal.
        workers: threads that parse chunks while the next ones are read.

    Raises:
        OSError: it cannot be read.
    """
    parts: list[_Read] = []
    pending: deque[Future[_Read]] = deque()
    with path.open("rb", buffering=BUFFER) as file:
        status = os.fstat(file.fileno())
        header = file.readline()
        damage = [*_judge_header(header)]
        unfinished = 0
        for chunk in _chunks(file, len(header)):
            if not chunk.marker:
                unfinished = len(chunk.lines)
                break
            pending.append(workers.submit(_read_chunk, chunk))
            if len(pending) > IN_FLIGHT:
                parts.append(pending.popleft().result())
    parts += [one.result() for one in pending]
    damage += [found for part in parts for found in part.damage]
    rows = [part.rows for part in _that_count(parts)]
    return FileRows(
        pa.concat_tables(rows) if rows else empty(), tuple(damage), unfinished, status.st_size, status.st_mtime_ns
    )


def load_trajectory(path: Path, start: int, size: int) -> Trajectory:
    """Decode the trajectory at a place.

    Raises:
        RecordError: there is none any more.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        file.seek(start)
        return decode(file.read(size))


def _chunks(file: BinaryIO, start: int) -> Iterator[_Chunk]:
    """Give the chunks after the first line, which ends at `start`; the last one may lack its marker."""
    number, place = 2, start
    chunk = _Chunk(number, place)
    for line in file:
        number, place = number + 1, place + len(line)
        if line.startswith(MARKER_START):
            chunk.marker = line
            yield chunk
            chunk = _Chunk(number, place)
        else:
            chunk.lines.append(line)
    if chunk.lines:
        yield chunk


def _read_chunk(chunk: _Chunk) -> _Read:
    text, places = b"".join(chunk.lines), chunk.places
    try:
        marker = ChunkMarker.model_validate_json(chunk.marker)
    except ValidationError:
        line = chunk.number + len(chunk.lines)
        return _salvage(chunk, None, Damage(line, "the chunk's marker cannot be read", 0))
    if marker.episodes != len(chunk.lines) or marker.digest != blake2b(text, digest_size=8).hexdigest():
        return _salvage(chunk, marker.chunk, None)
    rows = read_lines(text, places)
    return _Read(marker.chunk, True, rows) if rows is not None else _salvage(chunk, marker.chunk, None, is_whole=True)


def _salvage(chunk: _Chunk, number: int | None, found: Damage | None, *, is_whole: bool = False) -> _Read:
    """Decode line by line, and name those that cannot be."""
    damage: list[Damage] = [found] if found else []
    rows = [empty()]
    for line_number, (line, place) in enumerate(zip(chunk.lines, chunk.places, strict=True), chunk.number):
        try:
            rows.append(rows_of([decode(line)], [place]))
        except UNREADABLE as error:
            damage.append(Damage(line_number, str(error), 1))
    if not is_whole and not damage:
        marker_line = chunk.number + len(chunk.lines)
        damage.append(Damage(marker_line, "the lines before this marker are not those that were written", 0))
    return _Read(number, is_whole, pa.concat_tables(rows), tuple(damage))


def _that_count(parts: Sequence[_Read]) -> list[_Read]:
    """Return the last whole form of each chunk, or its last form, and what belongs to no chunk; in order of number."""
    best: dict[int, _Read] = {}
    for part in parts:
        if part.number is not None and (part.is_whole or not best.get(part.number, part).is_whole):
            best[part.number] = part
    return [*(part for _, part in sorted(best.items())), *(part for part in parts if part.number is None)]


def _judge_header(line: bytes) -> Iterator[Damage]:
    try:
        Header.model_validate_json(line)
    except ValidationError:
        if line:
            yield Damage(1, f"expected a journal's first line, got {line[:80]!r}", 1)
