"""Tables of trajectories (`rollout.tables`) read: their rows without the turns' texts, or one trajectory whole.

A table stands in where a run was copied without its journals, and while a large journal is still being read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from sage_gym.errors import RecordError
from sage_gym.evaluation.viewer.reading import FileRows
from sage_gym.evaluation.viewer.summaries import Turns, build_table, code_outcomes, spread_turns
from sage_gym.rollout.records import from_json_able
from sage_gym.types import Trajectory

__all__ = ["load_row", "read_table"]

PLAIN = ("id", "instruction", "environment", "split", "family", "policy", "stop_reason", "reward", "round", "attempt")
TURN = ("is_invalid", "p_fail_before", "p_fail", "info")
TASK = ("instruction", "split", "environment", "family")
WHOLE = (
    "id",
    "stop_reason",
    "reward",
    "success",
    "seed",
    "policy",
    "round",
    "attempt",
    "final_observation",
    "elapsed_s",
)
DECISION = ("text", "action", "plan", "p_fail_before", "p_fail", "entropy", "origin", "replans")
LEDGER = ("prompt_ids", "sampled_ids", "logprobs", "mask", "allowed", "is_continuation", "temperature")


def read_table(path: Path) -> FileRows:
    """Read the rows of a table.

    Raises:
        RecordError: it is no table of trajectories.
        OSError: it cannot be read.
    """
    status = path.stat()
    wanted = [*PLAIN, "task", "task_hash", "success", "is_intervened", "turn_count", "token_count"]
    wanted += [f"turns.list.element.{name}" for name in TURN]
    try:
        raw = _read(path, wanted)
        columns = {name: raw.column(name) for name in (*PLAIN, "task", "is_intervened")}
        turns = raw.column("turns").combine_chunks().flatten()
    except (pa.ArrowException, KeyError) as error:
        raise RecordError(f"{path}: expected a table of trajectories, got {error}") from error
    columns["hash"] = raw.column("task_hash")
    columns["outcome"] = code_outcomes(raw.column("success"), raw.column("stop_reason"))
    info = pc.struct_field(turns, "info")
    found = Turns(
        lengths=raw.column("turn_count"),
        tokens=pa.nulls(len(turns), pa.int32()),
        is_invalid=pc.struct_field(turns, "is_invalid"),
        is_denied=pc.match_substring_regex(info, r'"denial": *"[^"]'),
        p_fail_before=pc.struct_field(turns, "p_fail_before"),
        p_fail=pc.struct_field(turns, "p_fail"),
    )
    columns |= spread_turns(found) | {"tokens": raw.column("token_count")}
    columns |= {"place": np.arange(raw.num_rows), "size": np.zeros(raw.num_rows, np.int64)}
    return FileRows(build_table(columns), bytes=status.st_size, mtime_ns=status.st_mtime_ns)


def load_row(path: Path, place: int) -> Trajectory:
    """Read one trajectory of a table, as nearly as a table holds it.

    Raises:
        RecordError: there is no such row, or it holds no trajectory.
        OSError: the file cannot be read.
    """
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if place < rows:
                return _trajectory(file.read_row_group(group).slice(place, 1).to_pylist()[0])
            place -= rows
    raise RecordError(f"{path}: expected a row {place} more, got the end of the table; load the page again")


def _read(path: Path, columns: list[str]) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read(columns=columns, use_threads=False)


def _trajectory(row: Mapping[str, Any]) -> Trajectory:
    return from_json_able(
        {name: row[name] for name in WHOLE}
        | {
            "task": {name: row[name] for name in TASK} | {"key": row["task"], "hash": row["task_hash"], "seed": 0},
            "turns": [_turn(turn) for turn in row["turns"]],
            "info": json.loads(row["info"] or "{}"),
            "failure": json.loads(row["failure"]) if row["failure"] else None,
            "is_intervened": row["is_intervened"],
            "hints": row["hints"] or (),
        }
    )


def _turn(turn: Mapping[str, Any]) -> dict[str, Any]:
    ledger = {name: turn[name] for name in LEDGER}
    candidates = json.loads(turn["candidates"] or "[]")
    decision = {name: turn[name] for name in DECISION} | {
        "ledger": None if ledger["sampled_ids"] is None else ledger | {"allowed": ledger["allowed"] or ()},
        "candidates": [dict(zip(("action", "logprob", "p_fail", "score"), one, strict=True)) for one in candidates],
        "notes": json.loads(turn["notes"] or "{}"),
    }
    plain = {name: turn[name] for name in ("observation", "reward", "is_invalid", "elapsed_s")}
    return plain | {"decision": decision, "info": json.loads(turn["info"] or "{}")}
