"""AgentBench's records of database tasks: JSON, one a line."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from envs.database.embedded import Embedded
from envs.database.problems import Problem, final_hash
from envs.database.statements import SqlError
from envs.database.tables import Column, Table
from sage_gym.errors import CatalogError
from sage_gym.tasks import KeyRange, Source

__all__ = ["FILES", "default_folder", "read_records"]

FILES = ("dev", "standard")
CHANGES = ("INSERT", "UPDATE", "DELETE")
HASH = re.compile(r"[0-9a-f]{32}(?:_[0-9a-f]{32})*")


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)  # records carry fields that no one reads


class _Column(_Model):
    name: str


class _Info(_Model):
    columns: tuple[_Column, ...] = Field(min_length=1)
    rows: tuple[tuple[str | int | float | None, ...], ...] = ()


class _Table(_Model):
    table_name: str
    table_info: _Info


class _Query(_Model):
    query: str = ""


class Record(_Model):
    """One line."""

    description: str
    type: tuple[str, ...] = Field(min_length=1)
    table: _Table | tuple[_Table, ...]
    label: tuple[Any, ...] | None = None
    answer_md5: str | None = None
    add_description: str = ""
    evidence: str = ""
    sql: _Query = _Query()


def default_folder() -> Path:
    """Return where the records lie under `$SAGE_GYM_DATA`, or under `shared` beside the project; it may be absent."""
    data = Path(os.environ.get("SAGE_GYM_DATA") or Path(__file__).resolve().parents[3] / "shared")
    return data / "data" / "benchmarks" / "agentbench_db"


@lru_cache(maxsize=8)
def read_records(folder: str) -> Mapping[str, Source[Problem]]:
    """Read `dev.jsonl` and `standard.jsonl` of a folder, each a split by its name, numbered by line from 0.

    Raises:
        CatalogError: the folder has neither, or a line is no record; file, line and cause are given.
    """
    found = {name: _source(path) for name in FILES if (path := Path(folder) / f"{name}.jsonl").is_file()}
    if not found:
        raise CatalogError(f"expected {' or '.join(f'{name}.jsonl' for name in FILES)} in {folder}, got neither")
    return MappingProxyType(found)


def _source(path: Path) -> Source[Problem]:
    split, records = path.stem, _read(path)
    keys = KeyRange(f"database/{split}", len(records))
    return Source(keys, lambda at: _problem(records[at], keys.key(at), split))


def _problem(record: Record, key: str, split: str) -> Problem:
    held = record.table if isinstance(record.table, tuple) else (record.table,)
    tables = tuple(_table(table) for table in held)
    is_change = record.type[0] in CHANGES
    label = tuple(str(value) for value in record.label or ())
    gold = label[0] if is_change and label else record.sql.query
    return Problem(
        key=key,
        split=split,
        question="\n".join(part for part in (record.evidence, record.description, record.add_description) if part),
        tables=tables,
        gold_sql=gold,
        judged_by="state" if is_change else "answer",
        answers=() if is_change else label,
        state=_wanted_state(record, tables, gold) if is_change else "",
        family=record.type[0],
    )


def _read(path: Path) -> list[Record]:
    lines = path.read_text(encoding="utf-8").splitlines()
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = Record.model_validate_json(line)
            _check_widths(record)
        except (ValidationError, ValueError) as error:
            raise CatalogError(f"{path}, line {number}: expected an AgentBench database record: {error}") from error
        records.append(record)
    return records


def _check_widths(record: Record) -> None:
    for table in record.table if isinstance(record.table, tuple) else (record.table,):
        width = len(table.table_info.columns)
        wrong = next((row for row in table.table_info.rows if len(row) != width), None)
        if wrong is not None:
            raise ValueError(f"expected rows of {width} values in table {table.table_name!r}, got {len(wrong)}")
    if record.label is None and record.answer_md5 is None:
        raise ValueError("expected label or answer_md5, got neither")


def _table(held: _Table) -> Table:
    columns = tuple(Column(column.name) for column in held.table_info.columns)
    rows = tuple(tuple(None if v is None else str(v) for v in row) for row in held.table_info.rows)
    return Table(held.table_name, columns, rows)


def _wanted_state(record: Record, tables: tuple[Table, ...], gold: str) -> str:
    """Read the recorded hash; where it is empty, take what the gold SQL leaves, as upstream does."""
    found = HASH.search(record.answer_md5 or "")
    if found:
        return found[0]
    engine = Embedded(tables)
    try:
        engine.run(gold)
    except SqlError:
        return ""
    else:
        return final_hash(engine, tables)
    finally:
        engine.close()
