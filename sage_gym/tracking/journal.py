"""Metrics as JSON lines: append-only, readable after a kill at any moment."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["JsonlTracker", "read_metrics"]


class JsonlTracker:
    """Appends `{"step": …, "metrics": {…}}` lines. A line that a kill tore is cut off when the file is opened again.

    A step that a resumed run does again is appended again; `read_metrics` takes the later one.
    """

    def __init__(self, path: Path) -> None:
        _cut_torn_line(path)
        self._stream = path.open("a", encoding="utf-8")

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Append a line and flush it to the disk.

        Raises:
            TypeError: a value that is no number, string, truth value or None.
        """
        line = {"step": step, "metrics": {name: _plain(name, value) for name, value in metrics.items()}}
        self._stream.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def read_metrics(path: Path) -> dict[int, dict[str, Any]]:
    """Read a journal: step -> metrics, those of a later line winning. A torn last line is passed over.

    Raises:
        ValueError: another line is damaged; says which.
    """
    found: dict[int, dict[str, Any]] = {}
    text = path.read_bytes() if path.exists() else b""
    for number, line in enumerate(text.split(b"\n")[:-1], start=1):
        try:
            record = json.loads(line)
            found.setdefault(record["step"], {}).update(
                {name: _from_plain(value) for name, value in record["metrics"].items()}
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f'{path}, line {number}: expected {{"step": …, "metrics": {{…}}}}, got {line[:80]!r}; '
                f"delete the line to go on without it"
            ) from error
    return found


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)


def _plain(name: str, value: Any) -> str | float | int | bool | None:
    if value is None or isinstance(value, str | bool | int):
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, int | float):
        # JSON has neither nan nor infinity, and a loss that became one must be seen
        return value if math.isfinite(value) else str(float(value))
    raise TypeError(f"metric {name!r}: expected a number, string, truth value or None, got {type(value).__name__}")


def _from_plain(value: Any) -> Any:
    return float(value) if value in ("nan", "inf", "-inf") else value
