"""Benchmarks' own texts, from a folder that holds a folder of files for each, to hold training text against.

Read is every text of some length in JSON, JSON Lines (either may be gzipped), Markdown and plain files, under whatever
key: questions, options, solutions, tools' records. Each benchmark has a format of its own, and a text too many costs
little: it is dropped from no training that does not repeat it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sage_gym.errors import CatalogError
from sage_gym.selection.decontamination import HeldOut

__all__ = ["read_benchmarks"]

LEAST_WORDS = 5
"""Shorter texts (a name, a number, a label) are no benchmark's own."""
PLAIN = (".md", ".txt")
JSON = (".json", ".jsonl")


def read_benchmarks(folder: Path) -> list[HeldOut]:
    """Return the texts of each benchmark, one for each folder or file in `folder`, in the order of their names.

    Raises:
        CatalogError: the folder is not there, or a file in it cannot be read.
    """
    if not folder.is_dir():
        raise CatalogError(
            f"{folder}: expected a folder of benchmarks, got none; give selection.benchmarks another one"
        )
    return [
        HeldOut(entry.name, [text for path in _files(entry) for text in _texts(path)])
        for entry in sorted(folder.iterdir())
        if not entry.name.startswith(".")
    ]


def _files(entry: Path) -> list[Path]:
    return [entry] if entry.is_file() else sorted(path for path in entry.rglob("*") if path.is_file())


def _texts(path: Path) -> Iterator[str]:
    """Give a file's texts; files of other kinds have none."""
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if kind not in (*PLAIN, *JSON):
        return
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        content = raw.decode("utf-8")
        if kind in PLAIN:
            yield from (part for part in content.split("\n\n") if _is_long(part))
        else:
            yield from (text for record in _records(content) for text in _strings(record) if _is_long(text))
    except (OSError, ValueError) as error:
        raise CatalogError(f"{path}: expected a benchmark's file, got {error}; remove it or mend it") from error


def _records(content: str) -> Iterator[Any]:
    """Give the whole document, or one a line where it is JSON Lines under either name."""
    try:
        yield json.loads(content)
    except json.JSONDecodeError:
        yield from (json.loads(line) for line in content.split("\n") if line.strip())


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for inner in node.values() if isinstance(node, dict) else node:
            yield from _strings(inner)


def _is_long(text: str) -> bool:
    return len(text.split(None, LEAST_WORDS)) >= LEAST_WORDS
