"""`python -m sage_gym.export run=runs/demo`: a run's student and episodes, for transformers, datasets and TRL."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from sage_gym.config import EXPORT, ExportConfig, read_or_exit
from sage_gym.config.finished import find_run_folder
from sage_gym.errors import SageGymError

if TYPE_CHECKING:
    from sage_gym.exporting import Exported

__all__ = ["export", "main"]

EXPORTS = Path("exports")


def export(config: ExportConfig, console: Console) -> Exported:
    """Write the folders `model` and `dataset`, each with a README that a hub shows.

    Raises:
        SageGymError: no such run or round, nothing promoted, a damaged checkpoint, or a place that is taken.
    """
    from transformers.utils import logging

    from sage_gym.exporting import FinishedRun, export_run

    logging.disable_progress_bar()
    folder = find_run_folder(config.run)
    run = FinishedRun.open(folder, config.round)
    out = config.out.expanduser() if config.out else EXPORTS / f"{run.name}-round{run.number}"
    done = export_run(run, out, config.episodes, console.print)
    console.print(f"model: {done.model}")
    if done.dataset is not None:
        rows = ", ".join(f"{count:,} rows {name}" for name, count in done.counts.rows.items())
        console.print(f"data set: {done.dataset} ({done.counts.episodes:,} episodes; {rows})")
    return done


def main(words: Sequence[str] | None = None) -> int:
    """Export a run, and return the process's exit status."""
    config = read_or_exit(EXPORT, None if words is None else list(words))
    try:
        export(config, Console(stderr=True, highlight=False, markup=False))
    except SageGymError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
