"""Where metrics go: `metrics.jsonl` always, a table in the terminal, Weights & Biases where it is wanted.

`open_tracker(run_folder)` gives one tracker that feeds them all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from sage_gym.protocols import Tracker
from sage_gym.tracking.journal import JsonlTracker, read_metrics
from sage_gym.tracking.table import RoundTable
from sage_gym.tracking.weights_and_biases import WandbSetting, open_wandb

__all__ = ["JsonlTracker", "RoundTable", "Trackers", "open_tracker", "read_metrics"]


class Trackers:
    """Several trackers as one. The journal comes first, so that a number is on disk before it goes anywhere else."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = tuple(trackers)

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Record numbers at a step with every tracker."""
        for tracker in self._trackers:
            tracker.log(metrics, step)

    def close(self) -> None:
        """Close every tracker."""
        for tracker in self._trackers:
            tracker.close()


def open_tracker(
    run_folder: Path,
    *,
    wandb: WandbSetting = "auto",
    project: str = "sage-gym",
    config: Mapping[str, Any] | None = None,
    console: Console | None = None,
    say: Callable[[str], None] | None = None,
) -> Trackers:
    """Open `metrics.jsonl`, the terminal's table, and W&B, for a new run or one that goes on.

    Args:
        run_folder: made where absent; W&B's files go under `wandb/` in it.
        wandb: `auto` is online with a key and offline without one; the variable WANDB_MODE wins over
            `auto`, `online` and `offline`.
        project: W&B's.
        config: the resolved configuration, for W&B.
        console: where the table goes; the terminal's standard error by default.
        say: where a word about W&B goes; the console by default.
    """
    run_folder.mkdir(parents=True, exist_ok=True)
    console = console or Console(stderr=True)
    journal = JsonlTracker(run_folder / "metrics.jsonl")
    table = RoundTable(console, earlier=read_metrics(run_folder / "metrics.jsonl"))
    remote = open_wandb(run_folder, setting=wandb, project=project, config=config or {}, say=say or console.print)
    return Trackers([journal, table, *([remote] if remote is not None else [])])
