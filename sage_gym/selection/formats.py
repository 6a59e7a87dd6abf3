"""The texts in a file of somebody else's making: every string in it, under whatever key."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sage_gym.errors import CatalogError

__all__ = ["KINDS", "kind_of", "texts_in"]

KINDS = (".csv", ".json", ".jsonl", ".md", ".ndjson", ".parquet", ".tsv", ".txt", ".yaml", ".yml")
"""Any of these may be gzipped as well."""
LONGEST_CELL = 1 << 30


def kind_of(path: Path) -> str | None:
    """Return how a file is written, by its name; None where it is read by nothing here."""
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    return suffix.lower() if suffix.lower() in KINDS else None


def texts_in(path: Path) -> Iterator[str]:
    """Give every text of a file, one of `KINDS`, in its order.

    Raises:
        CatalogError: it cannot be read.
    """
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        yield from _texts(raw, kind_of(path) or "")
    except (OSError, EOFError, ValueError, csv.Error, yaml.YAMLError, RecursionError) as error:
        raise CatalogError(f"{path}: expected a benchmark's file, got {error}; remove it or mend it") from error


def _texts(raw: bytes, kind: str) -> Iterator[str]:
    if kind == ".parquet":
        yield from _parquet(raw)
        return
    content = raw.decode("utf-8-sig")
    if kind in (".md", ".txt"):
        yield from content.split("\n\n")
    elif kind in (".csv", ".tsv"):
        csv.field_size_limit(LONGEST_CELL)
        rows = csv.reader(io.StringIO(content, newline=""), delimiter="\t" if kind == ".tsv" else ",")
        yield from (cell for row in rows for cell in row)
    elif kind in (".yaml", ".yml"):
        yield from (text for document in yaml.safe_load_all(content) for text in _strings(document))
    else:
        yield from (text for record in _records(content) for text in _strings(record))


def _parquet(raw: bytes) -> Iterator[str]:
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    for batch in pq.ParquetFile(io.BytesIO(raw)).iter_batches():
        for column in batch.columns:
            yield from _strings(column.to_pylist())


def _records(content: str) -> Iterator[Any]:
    """Give the whole document, or one a line where it is JSON Lines under either name."""
    try:
        yield json.loads(content)
    except json.JSONDecodeError:
        yield from (json.loads(line) for line in content.split("\n") if line.strip())


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list | tuple):
        for inner in node.values() if isinstance(node, dict) else node:
            yield from _strings(inner)
