"""The runs on show: their files read, kept, and looked at again while a run is still going.

Everything slow is done by one thread beside those that answer. What was read before comes from the cache at once; where
nothing is kept and a round has its table, that stands in until its journal has been read.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Condition, Thread

from sage_gym.errors import RecordError
from sage_gym.evaluation.viewer.cache import Cache
from sage_gym.evaluation.viewer.files import TABLE, Run, TrajectoryFile, find_files
from sage_gym.evaluation.viewer.index import Index
from sage_gym.evaluation.viewer.reading import FileRows, load_trajectory, read_journal
from sage_gym.evaluation.viewer.summaries import as_utf8, empty
from sage_gym.evaluation.viewer.tables import load_row, read_table
from sage_gym.rollout.journal import Damage
from sage_gym.types import Trajectory

__all__ = ["Library", "Progress"]

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 2.0
"""How old what is known of the folders may be when a page is asked for."""
SHOW_EVERY_S = 0.5
"""How often what has been read is shown while there is more to read."""
READERS = max(1, min(4, (os.cpu_count() or 2) - 1))
"""Threads that parse; one processor is left to those that answer."""

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far reading has come; in bytes."""

    pending_files: int
    pending: int
    total: int

    @property
    def share(self) -> float:
        """Of the bytes that have been read."""
        return 1.0 - self.pending / self.total if self.total else 1.0


@dataclass(frozen=True, slots=True)
class _Held:
    """What is known of a file; a journal's rows may be its table's for the time being."""

    file: TrajectoryFile
    rows: FileRows


class Library:
    """Runs and the index of their trajectories. A context manager: files are read while it is open.

    Args:
        runs: to show.
        cache: where rows are kept; None keeps none.
    """

    def __init__(self, runs: Sequence[Run], cache: Cache | None) -> None:
        self.runs = {run.name: run for run in runs}
        self._cache = cache
        self._held: dict[Key, _Held] = {}
        self._pending: dict[Key, TrajectoryFile] = {}
        self._read_unshown: set[Key] = set()
        """Read, but not yet in the index; still pending for whoever asks."""
        self._is_index_old = True
        self._looked_at = 0.0
        self._is_closed = False
        self._wake = Condition()
        self._index = Index([])
        self._thread = Thread(target=self._work, name="reader", daemon=True)

    def __enter__(self) -> Library:
        """Find the files, take what is kept of them, and start to read the rest."""
        self._look()
        self._show()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._wake:
            self._is_closed = True
            self._wake.notify_all()

    @property
    def index(self) -> Index:
        """What is known now."""
        return self._index

    @property
    def progress(self) -> Progress:
        """How much is still to be read."""
        with self._wake:
            waiting = [_size(file) for file in self._pending.values()]
            read = [held.rows.bytes for key, held in self._held.items() if key not in self._pending]
        return Progress(len(waiting), sum(waiting), sum(waiting) + sum(read))

    def damage(self, run: str | None = None) -> list[tuple[TrajectoryFile, FileRows]]:
        """Return the files in which something is damaged or unfinished, of one run or of all."""
        with self._wake:
            held = sorted(self._held.items())
        return [
            (one.file, one.rows)
            for (name, _), one in held
            if run in (None, name) and (one.rows.damage or one.rows.unfinished)
        ]

    def look_again(self) -> None:
        """Have the folders looked at, where that is some time ago; does not wait for it."""
        with self._wake:
            if time.monotonic() - self._looked_at > LOOK_AGAIN_S:
                self._looked_at = 0.0
                self._wake.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait until everything has been read; return whether it has."""
        with self._wake:
            return self._wake.wait_for(lambda: not self._pending or self._is_closed, timeout_s)

    def load(self, index: Index, row: int) -> Trajectory:
        """Return a whole trajectory.

        Raises:
            RecordError: its file holds something else by now.
            OSError: its file cannot be read.
        """
        file, identifier = index.file_of(row), index.id(row)
        place, size = int(index.numbers["place"][row]), int(index.numbers["size"][row])
        if size:
            found = load_trajectory(file.path, place, size)
        else:
            found = load_row(file.path if file.is_table else file.path.with_name(TABLE), place)
        if as_utf8(found.id) != identifier:
            raise RecordError(f"{file.path}: expected {identifier} where it was, got {found.id}; load the page again")
        return found

    def _work(self) -> None:
        if self._cache:
            self._cache.prune()
        shown = time.monotonic()
        with ThreadPoolExecutor(READERS, thread_name_prefix="parser") as workers:
            while not self._is_closed:
                with self._wake:
                    self._wake.wait_for(lambda: self._pending or self._is_closed or self._looked_at == 0.0)
                    is_old = self._looked_at == 0.0
                if self._is_closed:
                    return
                if is_old:
                    self._look()
                left = self._pending.keys() - self._read_unshown
                if left:
                    self._read(min(left, key=lambda key: _size(self._pending[key])), workers)
                if self._is_index_old and (len(left) <= 1 or time.monotonic() - shown > SHOW_EVERY_S):
                    self._show()
                    shown = time.monotonic()

    def _look(self) -> None:
        """Find what is new, changed or gone."""
        files = {(file.run, file.name): file for run in self.runs.values() for file in find_files(run.name, run.folder)}
        for key, file in files.items():
            held = self._held.get(key)
            if key not in self._pending and (held is None or not _is_current(held)):
                self._take(key, file)
        with self._wake:
            for key in self._held.keys() - files.keys():
                del self._held[key]
                self._is_index_old = True
            for key in self._pending.keys() - files.keys():
                del self._pending[key]
                self._read_unshown.discard(key)
            self._looked_at = time.monotonic()

    def _take(self, key: Key, file: TrajectoryFile) -> None:
        """Hold what is kept of a file, or what stands in for it, or nothing; note what has to be read."""
        kept = self._cache.load(file.path) if self._cache else None
        stand_in = _stand_in(file) if kept is None and key not in self._held else None
        with self._wake:
            if found := kept or stand_in:
                self._held[key] = _Held(file, found)
                self._is_index_old = True
            if kept is None:
                self._pending[key] = file

    def _read(self, key: Key, workers: ThreadPoolExecutor) -> None:
        file = self._pending[key]
        try:
            found = read_table(file.path) if file.is_table else read_journal(file.path, workers)
            if self._cache:
                self._cache.save(file.path, found)
        except Exception as error:
            if self._is_closed:
                return  # the workers are gone with the process
            # whatever a file does to its reader, the other files are shown, and this one is named
            if not isinstance(error, OSError | RecordError):
                log.exception("%s", file.path)
            found = FileRows(empty(), (Damage(0, f"cannot be read: {error}", 0),), **_stamp(file))
        for damage in found.damage:
            log.warning("%s, line %d: %s; %d skipped", file.path, damage.line, damage.reason, damage.episodes)
        with self._wake:
            self._held[key] = _Held(file, found)
            self._is_index_old = True
            self._read_unshown.add(key)

    def _show(self) -> None:
        """Put what is held in an index, and tell who waits for it."""
        with self._wake:
            held = sorted(self._held.values(), key=lambda one: _order(one.file))
            read = set(self._read_unshown)
            self._is_index_old = False
        self._index = Index([(one.file, one.rows) for one in held])
        with self._wake:
            self._read_unshown -= read
            for key in read:
                self._pending.pop(key, None)
            self._wake.notify_all()


def _is_current(held: _Held) -> bool:
    return _stamp(held.file) == {"bytes": held.rows.bytes, "mtime_ns": held.rows.mtime_ns}


def _stand_in(file: TrajectoryFile) -> FileRows | None:
    """Read the table that was made from a journal, where it is the newer of the two."""
    table = file.path.with_name(TABLE)
    try:
        is_made_from_it = (
            file.name.endswith("/collect.jsonl") and table.stat().st_mtime_ns >= file.path.stat().st_mtime_ns
        )
        return read_table(table) if is_made_from_it else None
    except (OSError, RecordError):
        return None


def _order(file: TrajectoryFile) -> tuple[str, float, str]:
    """Runs by name, their files by round, then what belongs to none."""
    return (file.run, float("inf") if file.round is None else file.round, file.name)


def _size(file: TrajectoryFile) -> int:
    return _stamp(file)["bytes"]


def _stamp(file: TrajectoryFile) -> dict[str, int]:
    """Return what a file is told apart by from an earlier form of it."""
    try:
        status = file.path.stat()
    except OSError:
        return {"bytes": 0, "mtime_ns": 0}
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns}
