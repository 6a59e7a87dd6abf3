"""The run's episodes as a data set that `datasets.load_dataset` opens, in three configurations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from sage_gym.distill.held_out import benchmark_folder
from sage_gym.exporting.finished import FinishedRun
from sage_gym.exporting.rows import Decision, conversation, decisions, origin_of
from sage_gym.selection import Library, find_contamination, has_succeeded, read_benchmarks
from sage_gym.selection.settings import Decontamination
from sage_gym.types import Trajectory

__all__ = ["SCHEMAS", "DatasetCounts", "put_dataset"]

ORIGIN = {
    "episode": pa.string(),
    "task": pa.string(),
    "environment": pa.string(),
    "split": pa.string(),
    "policy": pa.string(),
    "round": pa.int32(),
    "reward": pa.float64(),
    "success": pa.bool_(),
}
MESSAGE = pa.struct({"role": pa.string(), "content": pa.string()})
SCHEMAS = {
    "conversational": pa.schema({"messages": pa.list_(MESSAGE), **ORIGIN}),
    "prompt_completion": pa.schema({"prompt": pa.string(), "completion": pa.string(), "turn": pa.int32(), **ORIGIN}),
    "tokens": pa.schema(
        {"input_ids": pa.list_(pa.int32()), "completion_mask": pa.list_(pa.int8()), "turn": pa.int32(), **ORIGIN}
    ),
}
CHECKED = 500
"""Rows whose text is tokenised again, to say how often that gives the ids that were fed and sampled."""


@dataclass(slots=True)
class DatasetCounts:
    """What went into a data set."""

    episodes: int = 0
    overlapping: int = 0
    """Left out, since a benchmark holds text of theirs too."""
    benchmarks: tuple[str, ...] = ()
    """That the episodes were held against."""
    failed: int = 0
    """Left out, since only successes were asked for."""
    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SCHEMAS, 0))
    checked: int = 0
    exact: int = 0
    """Of those checked, rows whose text gives back exactly the ids."""


def put_dataset(run: FinishedRun, folder: Path, tokenizer: Any, *, only_successes: bool) -> DatasetCounts:
    """Write the episodes that the exported student's rounds collected, round by round.

    Text that a benchmark holds too is left out, whatever the run itself did with it.

    Args:
        run: which.
        folder: a new one.
        tokenizer: of the student, to spell out what was fed and sampled.
        only_successes: leave out failures.

    Raises:
        CatalogError: a benchmark's file that cannot be read.
    """
    is_compact = run.policy.get("prompt") == "compact"
    counts = DatasetCounts()
    writers = {name: _open(folder / name / "train-00000-of-00001.parquet", schema) for name, schema in SCHEMAS.items()}
    try:
        for episodes in _episodes(run, counts, only_successes):
            spoken = (conversation(one, is_compact=is_compact) for one in episodes)
            fed = [(one, decision) for one in episodes for decision in decisions(one)]
            rows: dict[str, list[Mapping[str, Any]]] = {
                "conversational": [row for row in spoken if row is not None],
                "prompt_completion": [_text_row(one, decision, tokenizer, counts) for one, decision in fed],
                "tokens": [_token_row(one, decision) for one, decision in fed],
            }
            for name, found in rows.items():
                writers[name].write_table(pa.Table.from_pylist(found, schema=SCHEMAS[name]))
                counts.rows[name] += len(found)
    finally:
        for writer in writers.values():
            writer.close()
    return counts


def _episodes(run: FinishedRun, counts: DatasetCounts, only_successes: bool) -> Iterator[list[Trajectory]]:
    folder = benchmark_folder(run.config.selection.benchmarks)
    library = Library(read_benchmarks(folder) if folder else [])
    counts.benchmarks = tuple(shelf.source.name for shelf in library.shelves)
    for manifest in run.trained:
        finished = [t for t in run.files.everything(manifest.round) if not t.is_infrastructure]
        wanted = [t for t in finished if has_succeeded(t)] if only_successes else finished
        overlapping = find_contamination(wanted, library, Decontamination()).dropped
        kept = [t for t in wanted if t.id not in overlapping]
        counts.failed += len(finished) - len(wanted)
        counts.overlapping += len(wanted) - len(kept)
        counts.episodes += len(kept)
        yield kept


def _text_row(trajectory: Trajectory, decision: Decision, tokenizer: Any, counts: DatasetCounts) -> Mapping[str, Any]:
    prompt, completion = (_spell(tokenizer, ids) for ids in (decision.prompt_ids, decision.completion_ids))
    if counts.checked < CHECKED:
        counts.checked += 1
        again = tuple(tokenizer.encode(prompt + completion, add_special_tokens=False))
        counts.exact += again == decision.prompt_ids + decision.completion_ids
    return {"prompt": prompt, "completion": completion, "turn": decision.turn, **origin_of(trajectory)}


def _token_row(trajectory: Trajectory, decision: Decision) -> Mapping[str, Any]:
    return {
        "input_ids": decision.prompt_ids + decision.completion_ids,
        "completion_mask": [0] * len(decision.prompt_ids) + [1] * len(decision.completion_ids),
        "turn": decision.turn,
        **origin_of(trajectory),
    }


def _spell(tokenizer: Any, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _open(path: Path, schema: Any) -> Any:
    path.parent.mkdir(parents=True)
    return pq.ParquetWriter(path, schema, compression="zstd")
