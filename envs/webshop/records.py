"""Reading upstream's JSON files record by record, so that a bad record can be named and memory stays flat."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from sage_gym.errors import CatalogError

__all__ = ["array_records", "object_records", "read_json"]

CHUNK_CHARACTERS = 1 << 22
MAX_RECORD_CHARACTERS = 1 << 26
BLANKS = " \t\r\n"


def read_json(path: Path) -> Any:
    """Read a whole JSON file, gzipped or not.

    Raises:
        CatalogError: it is missing, truncated or not JSON.
    """
    try:
        with _open(path) as file:
            return json.load(file)
    except (OSError, EOFError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CatalogError(f"{path}: expected a JSON file, optionally gzipped; got {_brief(error)}") from error


def array_records(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the position and value of each element of a file that holds one JSON array.

    Raises:
        CatalogError: names the file, the record and what was expected.
    """
    reader = _Reader(path, "[")
    index = 0
    while reader.has_next("]"):
        yield index, reader.value(f"record {index}")
        index += 1


def object_records(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield the key and value of each member of a file that holds one JSON object.

    Raises:
        CatalogError: names the file, the record and what was expected.
    """
    reader = _Reader(path, "{")
    index = 0
    while reader.has_next("}"):
        key = reader.value(f"key {index}")
        if not isinstance(key, str):
            raise CatalogError(f"{path}: key {index}: expected a string, got {type(key).__name__}")
        reader.expect(":", f"record {key!r}")
        yield key, reader.value(f"record {key!r}")
        index += 1


class _Reader:
    def __init__(self, path: Path, opening: str) -> None:
        self._path = path
        try:
            self._file = _open(path)
        except OSError as error:
            raise CatalogError(f"{path}: expected a readable file; got {_brief(error)}") from error
        self._text, self._at, self._is_first = "", 0, True
        self._decoder = json.JSONDecoder()
        self.expect(opening, "start")

    def expect(self, mark: str, where: str) -> None:
        found = self._peek()
        if found != mark:
            raise CatalogError(f"{self._path}: {where}: expected {mark!r}, got {found!r}{self._hint(found)}")
        self._at += 1

    def has_next(self, closing: str) -> bool:
        found = self._peek()
        if found == closing:
            self._at += 1
            trailing = self._peek()
            if trailing:
                raise CatalogError(f"{self._path}: end: expected nothing after {closing!r}, got {trailing!r}")
            self._file.close()
            return False
        if not self._is_first:
            if found != ",":
                raise CatalogError(
                    f"{self._path}: after the last whole record: expected ',' or {closing!r}, got {found!r}"
                    f"{self._hint(found)}"
                )
            self._at += 1
        self._is_first = False
        return True

    def value(self, where: str) -> Any:
        self._peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > MAX_RECORD_CHARACTERS or not self._fill():
                    hint = self._hint("" if error.pos >= len(self._text.rstrip()) else "x")
                    raise CatalogError(
                        f"{self._path}: {where}: expected a JSON value, got {error.msg} at {self._excerpt()!r}{hint}"
                    ) from error
                continue
            if end == len(self._text) and self._fill():
                continue
            self._at = end
            return value

    def _peek(self) -> str:
        while True:
            while self._at < len(self._text) and self._text[self._at] in BLANKS:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ""

    def _fill(self) -> bool:
        try:
            more = self._file.read(CHUNK_CHARACTERS)
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise CatalogError(f"{self._path}: expected UTF-8 JSON, got {_brief(error)}") from error
        self._text, self._at = self._text[self._at :] + more, 0
        return bool(more)

    def _excerpt(self) -> str:
        return self._text[self._at : self._at + 40]

    @staticmethod
    def _hint(found: str) -> str:
        return "" if found else "; the file ends here: it looks truncated, fetch it again"


def _open(path: Path) -> IO[str]:
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf-8") if is_gzip else path.open(encoding="utf-8")


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
