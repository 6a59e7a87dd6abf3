"""`python -m sage_gym.card run=runs/demo`: a run's data card made anew, against the benchmarks that are there now."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from sage_gym.config import CARD, TRAIN, CardConfig, TrainConfig, make_environment, read, read_or_exit
from sage_gym.config.finished import find_run_folder
from sage_gym.config.saved import CONFIG_FILE
from sage_gym.errors import SageGymError
from sage_gym.evaluation.card import CARD_FILE, DataCard

__all__ = ["main", "make_card"]


def make_card(config: CardConfig, console: Console) -> DataCard:
    """Make a run's data card from its episodes, and write it into the run's folder and its report.

    Raises:
        SageGymError: no such run, or something of it or of the benchmarks cannot be read.
    """
    from sage_gym.distill.arena import Arena
    from sage_gym.distill.held_out import open_library
    from sage_gym.distill.recounting import recount
    from sage_gym.evaluation.manifest import read_rounds
    from sage_gym.evaluation.report import write_report

    folder = find_run_folder(config.run)
    trained = _with_benchmarks(read(TRAIN, [f"config={folder / CONFIG_FILE}"]), config)
    arena = Arena(lambda: make_environment(trained.env), trained.rollout, trained.run.seed)
    library = open_library(trained, arena)
    rounds = read_rounds(folder)
    card = recount(folder, trained, track(rounds, "rounds", console=console, transient=True), library)
    _show(card, console)
    console.print(f"data card: {folder / CARD_FILE}\nreport: {write_report(folder)}", soft_wrap=True)
    return card


def _with_benchmarks(trained: TrainConfig, config: CardConfig) -> TrainConfig:
    if config.benchmarks == "run":
        return trained
    folder = config.benchmarks.expanduser() if isinstance(config.benchmarks, Path) else config.benchmarks
    selection = trained.selection.model_copy(update={"benchmarks": folder})
    return trained.model_copy(update={"selection": selection})


def _show(card: DataCard, console: Console) -> None:
    kind = "trained" if card.basis == "trained" else "collected"
    console.print(f"{card.run}: {card.tokens:,} {kind} tokens of {card.episodes:,} episodes")
    table = Table(box=None, pad_edge=False)
    table.add_column("held out", overflow="fold")
    for name in ("tasks", "overlap", "same", "8 words", "13 words", "left out", "reported"):
        table.add_column(name, justify="right")
    for row in card.held_out:
        shared = (row.sharing_tasks.get(n, 0) for n in (8, 13))
        found = (row.tasks, row.overlapping_tasks, row.same_tasks, *shared, row.dropped_episodes, row.reported_episodes)
        table.add_row(row.source, *(f"{number:,}" for number in found))
    console.print(table)
    for note in card.notes:
        console.print(f"note: {note}", soft_wrap=True)


def main(words: Sequence[str] | None = None) -> int:
    """Make a card, and return the process's exit status."""
    config = read_or_exit(CARD, None if words is None else list(words))
    try:
        make_card(config, Console(stderr=True, highlight=False, markup=False))
    except SageGymError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
