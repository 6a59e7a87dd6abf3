"""How far a collection has come: success so far with its counts, invalid actions, pace, time left."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from time import monotonic
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as RichBar

from sage_gym.types import Trajectory

__all__ = ["BarProgress", "Counts", "LineProgress", "Progress", "SilentProgress", "progress_for"]

LINE_EVERY_S = 15.0


class Progress(Protocol):
    """Told of each finished episode; `begin` and `end` may come several times, once a collection."""

    def begin(self, total: int) -> None:
        """Start to count towards `total` episodes."""
        ...

    def advance(self, trajectory: Trajectory) -> None:
        """Count one finished episode."""
        ...

    def end(self) -> None:
        """Stop."""
        ...


@dataclass(slots=True)
class Counts:
    """What is shown, in numbers. Lost episodes are counted apart; they are in no rate."""

    total: int
    done: int = 0
    lost: int = 0
    succeeded: int = 0
    turns: int = 0
    invalid: int = 0

    def add(self, trajectory: Trajectory) -> None:
        """Count one finished episode."""
        self.done += 1
        if trajectory.is_infrastructure:
            self.lost += 1
            return
        self.succeeded += trajectory.success
        self.turns += len(trajectory.turns)
        self.invalid += sum(turn.is_invalid for turn in trajectory.turns)

    def line(self, elapsed_s: float) -> str:
        """Say it in one line, after `elapsed_s` seconds."""
        scored = self.done - self.lost
        parts = []
        if scored:
            parts.append(f"success {self.succeeded}/{scored} ({self.succeeded / scored:.1%})")
        if self.turns:
            parts.append(f"invalid {self.invalid / self.turns:.1%} of {self.turns} turns")
        if self.lost:
            parts.append(f"lost {self.lost}")
        if self.done and elapsed_s > 0:
            pace = self.done / elapsed_s
            parts.append(f"{pace:.1f} episodes/s")
            parts.append(f"{_clock((self.total - self.done) / pace)} left")
        return ", ".join(parts) or "starting"


class SilentProgress:
    """Says nothing."""

    def begin(self, total: int) -> None:
        """Say nothing."""

    def advance(self, trajectory: Trajectory) -> None:
        """Say nothing."""

    def end(self) -> None:
        """Say nothing."""


class LineProgress:
    """Writes a line every few seconds and one at the end: for logs.

    Args:
        label: what is being played.
        stream: where to.
        every_s: seconds between lines.
    """

    def __init__(self, label: str, stream: TextIO, every_s: float = LINE_EVERY_S) -> None:
        self._label, self._stream, self._every_s = label, stream, every_s
        self._counts, self._started_s, self._last_s = Counts(0), 0.0, 0.0

    def begin(self, total: int) -> None:
        """Start the clock."""
        self._counts, self._started_s = Counts(total), monotonic()
        self._last_s = self._started_s

    def advance(self, trajectory: Trajectory) -> None:
        """Count, and write a line when it is time."""
        self._counts.add(trajectory)
        if monotonic() - self._last_s >= self._every_s:
            self._write()

    def end(self) -> None:
        """Write the last line."""
        self._write()

    def _write(self) -> None:
        self._last_s = monotonic()
        counts = self._counts
        line = counts.line(self._last_s - self._started_s)
        print(f"{self._label}: {counts.done}/{counts.total} episodes, {line}", file=self._stream, flush=True)


class BarProgress:
    """A bar for terminals.

    Args:
        label: what is being played.
        console: where to.
    """

    def __init__(self, label: str, console: Console | None = None) -> None:
        self._label, self._console = label, console or Console(stderr=True)
        self._counts, self._started_s = Counts(0), 0.0
        self._bar: RichBar | None = None
        self._task = TaskID(0)

    def begin(self, total: int) -> None:
        """Show the bar."""
        self._counts, self._started_s = Counts(total), monotonic()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[line]}"),
        )
        self._bar = RichBar(*columns, console=self._console)
        self._task = self._bar.add_task(self._label, total=total, line="starting")
        self._bar.start()

    def advance(self, trajectory: Trajectory) -> None:
        """Move the bar."""
        self._counts.add(trajectory)
        if self._bar is not None:
            line = self._counts.line(monotonic() - self._started_s)
            self._bar.update(self._task, completed=self._counts.done, line=line)

    def end(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def progress_for(label: str, stream: TextIO | None = None) -> Progress:
    """Return a bar where `stream` (standard error) is a terminal, lines elsewhere."""
    stream = stream or sys.stderr
    if stream.isatty():
        return BarProgress(label, Console(file=stream))
    return LineProgress(label, stream)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
