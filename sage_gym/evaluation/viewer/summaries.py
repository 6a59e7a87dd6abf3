"""One row a trajectory: what lists are filtered and sorted by, and where the whole of it lies.

`read_lines` takes the row from the JSON with Arrow's own parser, which is several times as fast as decoding
trajectories and does not hold up other threads; `rows_of` takes it from decoded ones. Both give the same row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.json as pj  # type: ignore[import-untyped]
from numpy.typing import NDArray

from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import StopReason, Trajectory

__all__ = [
    "OUTCOMES",
    "SCHEMA",
    "Turns",
    "as_utf8",
    "build_table",
    "code_outcomes",
    "empty",
    "numbers",
    "read_lines",
    "rows_of",
    "spread_turns",
]

OUTCOMES = ("succeeded", "did not succeed", "infrastructure")
"""What `outcome` counts: truncated episodes did not succeed, and what the policy could not have caused stands apart."""

WORD = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "task": WORD,
        "instruction": WORD,
        "environment": WORD,
        "split": WORD,
        "family": WORD,
        "hash": WORD,
        "policy": WORD,
        "stop_reason": WORD,
        "outcome": pa.int8(),
        "reward": pa.float64(),
        "round": pa.int32(),
        "attempt": pa.int32(),
        "turns": pa.int32(),
        "tokens": pa.int64(),
        "invalid": pa.int32(),
        "denied": pa.int32(),
        "is_intervened": pa.bool_(),
        "forecast_before": pa.float64(),
        "forecast": pa.float64(),
        "forecast_last": pa.float64(),
        "place": pa.int64(),
        "size": pa.int64(),
    }
)
"""`forecast` is p_fail at the first decision, the place that forecasts are judged at; `forecast_before` the one before
that decision was sampled, `forecast_last` the one at the last decision; null where there is none. `place` and `size`
are bytes of a journal, or the row of a table."""

_LINE = pa.schema(
    {
        "id": pa.string(),
        "task": pa.struct(dict.fromkeys(("key", "instruction", "environment", "split", "family", "hash"), pa.string())),
        "turns": pa.list_(
            pa.struct(
                {
                    "is_invalid": pa.bool_(),
                    "info": pa.struct({"denial": pa.string()}),
                    "decision": pa.struct(
                        {
                            "p_fail_before": pa.float64(),
                            "p_fail": pa.float64(),
                            "ledger": pa.struct({"mask": pa.list_(pa.bool_())}),
                        }
                    ),
                }
            )
        ),
        "stop_reason": pa.string(),
        "reward": pa.float64(),
        "success": pa.bool_(),
        "policy": pa.string(),
        "round": pa.int32(),
        "attempt": pa.int32(),
        "is_intervened": pa.bool_(),
    }
)
"""What is read of a line; all else is passed over."""

Places = Sequence[tuple[int, int]]


def empty() -> pa.Table:
    """Return no rows."""
    return SCHEMA.empty_table()


def read_lines(text: bytes, places: Places) -> pa.Table | None:
    """Read the rows of lines that `records.encode` wrote.

    Args:
        text: whole lines.
        places: of each line in its file: first byte and length.

    Returns:
        None where Arrow cannot read them (an infinite number, half a surrogate pair): decode the lines then.
    """
    try:
        raw = pj.read_json(
            pa.BufferReader(text),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=pj.ParseOptions(explicit_schema=_LINE, unexpected_field_behavior="ignore"),
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OverflowError):
        return None
    if raw.num_rows != len(places) or raw.column("turns").null_count or raw.column("task").null_count:
        return None
    task = raw.column("task").combine_chunks()
    columns: dict[str, Any] = {name: pc.struct_field(task, name) for name in ("environment", "split", "hash")}
    columns |= {"task": pc.struct_field(task, "key"), "instruction": pc.struct_field(task, "instruction")}
    columns |= {"family": pc.struct_field(task, "family").fill_null("")}
    columns |= {name: raw.column(name) for name in ("id", "policy", "stop_reason", "reward")}
    columns |= {name: raw.column(name).fill_null(0) for name in ("round", "attempt")}
    columns["is_intervened"] = raw.column("is_intervened").fill_null(False)
    columns["outcome"] = code_outcomes(raw.column("success"), raw.column("stop_reason"))
    columns |= spread_turns(_turns(raw.column("turns").combine_chunks()))
    columns |= {"place": [start for start, _ in places], "size": [size for _, size in places]}
    return build_table(columns)


def rows_of(trajectories: Sequence[Trajectory], places: Places) -> pa.Table:
    """Return the rows of decoded trajectories; text that UTF-8 cannot hold is replaced."""
    found = [
        _summarise(one) | {"place": place[0], "size": place[1]} for one, place in zip(trajectories, places, strict=True)
    ]
    return build_table({name: [row[name] for row in found] for name in SCHEMA.names})


def code_outcomes(success: pa.ChunkedArray, stop_reason: pa.ChunkedArray) -> NDArray[np.int8]:
    """Return each trajectory's place in `OUTCOMES`."""
    won = numbers(success, False).astype(bool) & ~_is_truncated(stop_reason)
    lost = numbers(pc.equal(stop_reason, StopReason.INFRASTRUCTURE.value), False).astype(bool)
    return np.where(lost, 2, np.where(won, 0, 1)).astype(np.int8)


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns of many trajectories end to end, one entry a turn; `lengths` says how many each trajectory has."""

    lengths: Any
    tokens: Any
    is_invalid: Any
    is_denied: Any
    p_fail_before: Any
    p_fail: Any


def spread_turns(turns: Turns) -> dict[str, NDArray[Any]]:
    """Return the columns that are sums over turns, or of the first or the last turn."""
    ends = np.cumsum(numbers(turns.lengths, 0), dtype=np.int64)
    starts = np.concatenate(([0], ends[:-1])) if len(ends) else ends
    has_turns, p_fail = starts < ends, numbers(turns.p_fail, np.nan)
    return {
        "turns": ends - starts,
        "tokens": _sums(numbers(turns.tokens, 0), starts, ends),
        "invalid": _sums(numbers(turns.is_invalid, False), starts, ends),
        "denied": _sums(numbers(turns.is_denied, False), starts, ends),
        "forecast_before": _pick(numbers(turns.p_fail_before, np.nan), starts, has_turns),
        "forecast": _pick(p_fail, starts, has_turns),
        "forecast_last": _pick(p_fail, ends - 1, has_turns),
    }


def _summarise(trajectory: Trajectory) -> dict[str, Any]:
    task, turns = trajectory.task, trajectory.turns
    first, last = (turns[0].decision, turns[-1].decision) if turns else (None, None)
    outcome = 2 if trajectory.is_infrastructure else 0 if has_succeeded(trajectory) else 1
    row = {
        "id": trajectory.id,
        "task": task.key,
        "instruction": task.instruction,
        "environment": task.environment,
        "split": task.split,
        "family": task.family,
        "hash": task.hash,
        "policy": trajectory.policy,
        "stop_reason": trajectory.stop_reason.value,
        "outcome": outcome,
        "reward": trajectory.reward,
        "round": trajectory.round,
        "attempt": trajectory.attempt,
        "turns": len(turns),
        "tokens": trajectory.token_count,
        "invalid": sum(turn.is_invalid for turn in turns),
        "denied": sum(bool(turn.info.get("denial")) for turn in turns),
        "is_intervened": trajectory.is_intervened,
        "forecast_before": first and first.p_fail_before,
        "forecast": first and first.p_fail,
        "forecast_last": last and last.p_fail,
    }
    return {name: as_utf8(value) if isinstance(value, str) else value for name, value in row.items()}


def as_utf8(text: str) -> str:
    """Write half surrogate pairs, which UTF-8 cannot hold, by their numbers."""
    return text.encode("utf-8", "backslashreplace").decode()


def build_table(columns: Mapping[str, Any]) -> pa.Table:
    """Return rows with the columns of `SCHEMA`."""
    return pa.table({field.name: _cast(columns[field.name], field.type) for field in SCHEMA}, schema=SCHEMA)


def _cast(values: Any, type_: pa.DataType) -> Any:
    if isinstance(values, np.ndarray):
        return pa.array(values, from_pandas=values.dtype.kind == "f").cast(type_)  # what is not a number becomes null
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        return pa.array(values, type=type_.value_type if pa.types.is_dictionary(type_) else type_).cast(type_)
    return values.cast(type_) if not pa.types.is_dictionary(type_) else values.dictionary_encode().cast(type_)


def _is_truncated(stop_reason: pa.ChunkedArray) -> NDArray[np.bool_]:
    budgets = pa.array([reason.value for reason in StopReason if reason.is_truncation])
    return numbers(pc.is_in(stop_reason, budgets), False).astype(bool)


def _turns(turns: pa.ListArray) -> Turns:
    records = turns.flatten()
    decisions = pc.struct_field(records, "decision")
    return Turns(
        lengths=pc.list_value_length(turns),
        tokens=pc.list_value_length(pc.struct_field(decisions, ["ledger", "mask"])),
        is_invalid=pc.struct_field(records, "is_invalid"),
        is_denied=pc.greater(pc.utf8_length(pc.struct_field(records, ["info", "denial"])), 0),
        p_fail_before=pc.struct_field(decisions, "p_fail_before"),
        p_fail=pc.struct_field(decisions, "p_fail"),
    )


def numbers(values: Any, missing: Any) -> NDArray[Any]:
    """Return an Arrow column as an array, with something in the place of what is missing."""
    filled = values.fill_null(bool(missing) if pa.types.is_boolean(values.type) else missing)
    found: NDArray[Any] = (
        filled.to_numpy() if isinstance(filled, pa.ChunkedArray) else filled.to_numpy(zero_copy_only=False)
    )
    return found


def _sums(amounts: NDArray[Any], starts: NDArray[Any], ends: NDArray[Any]) -> NDArray[np.int64]:
    total = np.concatenate(([0], np.cumsum(amounts, dtype=np.int64)))
    sums: NDArray[np.int64] = total[ends] - total[starts]
    return sums


def _pick(values: NDArray[Any], places: NDArray[Any], is_there: NDArray[np.bool_]) -> NDArray[np.float64]:
    picked = np.full(len(places), np.nan)
    picked[is_there] = values[places[is_there]]
    return picked
