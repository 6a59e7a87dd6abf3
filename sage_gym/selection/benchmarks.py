"""Benchmarks' own texts, from a folder that holds a folder of files for each, to hold training text against.

Read is every text in every file of a kind that `sage_gym.selection.formats` knows: questions, options, solutions,
tools' records. Each benchmark has a format of its own, and a text too many costs little: it is dropped from no training
that does not repeat it.
"""

from __future__ import annotations

from pathlib import Path

from sage_gym.errors import CatalogError
from sage_gym.selection.formats import kind_of, texts_in
from sage_gym.selection.library import HeldOut

__all__ = ["read_benchmarks"]

LEAST_CHARACTERS = 8
"""Shorter texts, and those of one word (a name, a number, a label), are nobody's own."""


def read_benchmarks(folder: Path) -> list[HeldOut]:
    """Return the texts of each benchmark, one for each folder or file in `folder`, in the order of their names.

    Raises:
        CatalogError: the folder is not there, or a file in it cannot be read.
    """
    if not folder.is_dir():
        raise CatalogError(
            f"{folder}: expected a folder of benchmarks, got none; give selection.benchmarks another one"
        )
    return [_read(entry) for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]


def _read(entry: Path) -> HeldOut:
    files = [entry] if entry.is_file() else sorted(path for path in entry.rglob("*") if path.is_file())
    known = [path for path in files if kind_of(path) is not None]
    unread = tuple(str(path.relative_to(entry.parent)) for path in files if kind_of(path) is None)
    texts = dict.fromkeys(text for path in known for text in texts_in(path) if _is_long(text))
    return HeldOut(entry.name, list(texts), unread=unread)


def _is_long(text: str) -> bool:
    return len(text) >= LEAST_CHARACTERS and len(text.split(None, 1)) > 1
