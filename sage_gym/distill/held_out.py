"""What a run's training text is held against: every benchmark that is there, and its environment's held-out splits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from sage_gym.config import TrainConfig
from sage_gym.config.words import VARIABLE_DEFAULTS
from sage_gym.distill.arena import Arena
from sage_gym.selection import Library, read_benchmarks

__all__ = ["benchmark_folder", "open_library"]


def open_library(config: TrainConfig, arena: Arena) -> Library:
    """Read the benchmarks, and name the splits, whose tasks are listed at the first comparison.

    Raises:
        CatalogError: a benchmark's file that cannot be read.
    """
    folder = benchmark_folder(config.selection.benchmarks)
    splits = arena.held_out_splits(
        (config.evaluate.select_split, config.evaluate.test_split, *config.evaluate.further_splits),
        config.rollout.split,
    )
    return Library([*(read_benchmarks(folder) if folder else []), *map(arena.held_out, splits)])


def benchmark_folder(given: Path | Literal["auto"] | None) -> Path | None:
    """Return the folder of benchmarks that a setting means; `auto` is the usual one, where it is there."""
    if given != "auto":
        return given
    found = Path(os.environ.get("SAGE_GYM_DATA") or VARIABLE_DEFAULTS["SAGE_GYM_DATA"]) / "data" / "benchmarks"
    return found if found.is_dir() else None
