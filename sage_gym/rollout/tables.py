"""Trajectories as a Parquet table that `datasets.load_dataset("parquet", data_files=…)` opens.

One row an episode, turns as a list of records, ledgers spread into columns of them. For analysis: what is lossless is
the journal. Candidates, notes and info are JSON text; text that UTF-8 cannot hold is replaced.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from sage_gym.rollout.records import to_json_able
from sage_gym.types import Decision, Trajectory, Turn

__all__ = ["SCHEMA", "write_table"]

IDS = pa.list_(pa.int32())
TURN = pa.struct(
    {
        "observation": pa.string(),
        "text": pa.string(),
        "action": pa.string(),
        "plan": pa.string(),
        "origin": pa.string(),
        "reward": pa.float64(),
        "is_invalid": pa.bool_(),
        "p_fail_before": pa.float64(),
        "p_fail": pa.float64(),
        "entropy": pa.float64(),
        "replans": pa.int32(),
        "candidates": pa.string(),
        "notes": pa.string(),
        "info": pa.string(),
        "elapsed_s": pa.float64(),
        "prompt_ids": IDS,
        "sampled_ids": IDS,
        "logprobs": pa.list_(pa.float64()),
        "mask": pa.list_(pa.bool_()),
        "allowed": pa.list_(IDS),
        "is_continuation": pa.bool_(),
        "temperature": pa.float64(),
    }
)
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "task": pa.string(),
        "environment": pa.string(),
        "split": pa.string(),
        "family": pa.string(),
        "instruction": pa.string(),
        "task_hash": pa.string(),
        "round": pa.int32(),
        "attempt": pa.int32(),
        "seed": pa.int64(),
        "policy": pa.string(),
        "stop_reason": pa.string(),
        "reward": pa.float64(),
        "success": pa.bool_(),
        "is_intervened": pa.bool_(),
        "hints": pa.list_(pa.string()),
        "turn_count": pa.int32(),
        "token_count": pa.int64(),
        "elapsed_s": pa.float64(),
        "final_observation": pa.string(),
        "info": pa.string(),
        "failure": pa.string(),
        "turns": pa.list_(TURN),
    }
)


def write_table(chunks: Iterable[Sequence[Trajectory]], path: Path) -> int:
    """Write chunks as row groups; the file appears whole or not at all. Returns the number of rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    rows = 0
    try:
        with pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
            for trajectories in chunks:
                table = pa.Table.from_pylist([_row(one) for one in trajectories], schema=SCHEMA)
                writer.write_table(table)
                rows += len(trajectories)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return rows


def _row(trajectory: Trajectory) -> dict[str, Any]:
    task, mapping = trajectory.task, to_json_able(trajectory)
    return {
        "id": _text(trajectory.id),
        "task": _text(task.key),
        "environment": task.environment,
        "split": task.split,
        "family": _text(task.family),
        "instruction": _text(task.instruction),
        "task_hash": task.hash,
        "round": trajectory.round,
        "attempt": trajectory.attempt,
        "seed": trajectory.seed,
        "policy": _text(trajectory.policy),
        "stop_reason": trajectory.stop_reason.value,
        "reward": trajectory.reward,
        "success": trajectory.success,
        "is_intervened": trajectory.is_intervened,
        "hints": [_text(hint) for hint in trajectory.hints],
        "turn_count": len(trajectory.turns),
        "token_count": trajectory.token_count,
        "elapsed_s": trajectory.elapsed_s,
        "final_observation": _text(trajectory.final_observation),
        "info": json.dumps(mapping.get("info", {})),
        "failure": json.dumps(mapping["failure"]) if trajectory.failure else None,
        "turns": [_turn(turn) for turn in trajectory.turns],
    }


def _turn(turn: Turn) -> dict[str, Any]:
    decision = turn.decision
    return {
        "observation": _text(turn.observation),
        "text": _text(decision.text),
        "action": _text(decision.action),
        "plan": _text(decision.plan),
        "origin": decision.origin.value,
        "reward": turn.reward,
        "is_invalid": turn.is_invalid,
        "p_fail_before": decision.p_fail_before,
        "p_fail": decision.p_fail,
        "entropy": decision.entropy,
        "replans": decision.replans,
        "candidates": json.dumps([[one.action, one.logprob, one.p_fail, one.score] for one in decision.candidates]),
        "notes": json.dumps(dict(decision.notes), default=str),
        "info": json.dumps(dict(turn.info), default=str),
        "elapsed_s": turn.elapsed_s,
        **_ledger(decision),
    }


def _ledger(decision: Decision) -> dict[str, Any]:
    ledger = decision.ledger
    if ledger is None:
        return {}
    return {
        "prompt_ids": ledger.prompt_ids,
        "sampled_ids": ledger.sampled_ids,
        "logprobs": ledger.logprobs,
        "mask": ledger.mask,
        "allowed": ledger.allowed,
        "is_continuation": ledger.is_continuation,
        "temperature": ledger.temperature,
    }


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")
