"""The rounds so far as a table in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["RoundTable"]

Row = Mapping[str, Any]


def _share(name: str) -> Callable[[Row], str]:
    def show(row: Row) -> str:
        if f"{name}_low" not in row:
            return f"{100 * row[name]:.1f}"
        return f"{100 * row[name]:.1f} [dim]\\[{100 * row[f'{name}_low']:.1f}, {100 * row[f'{name}_high']:.1f}][/dim]"

    return show


COLUMNS: tuple[tuple[str, str, Callable[[Row], str]], ...] = (
    ("success %", "select/success", _share("select/success")),
    ("score", "select/score", lambda row: f"{row['select/score']:.3f}"),
    ("loss", "distil/loss", lambda row: f"{row['distil/loss']:.4f}"),
    ("collected %", "collect/success", lambda row: f"{100 * row['collect/success']:.1f}"),
    ("kept", "selection/kept", lambda row: f"{row['selection/kept']:.0f}"),
    ("AUROC", "forecast/auroc", lambda row: f"{row['forecast/auroc']:.3f}"),
    ("tokens", "round/tokens_trained", lambda row: f"{row['round/tokens_trained']:,.0f}"),
    ("time", "round/elapsed_s", lambda row: f"{row['round/elapsed_s']:.0f} s"),
    ("promoted", "round/promoted", lambda row: "[green]yes[/green]" if row["round/promoted"] else "no"),
)
"""Heading, the metric that it needs, how it is shown. A column without any value is left out."""


class RoundTable:
    """Prints the table after each step that holds an evaluation; other steps pass without a word.

    Args:
        console: rich's.
        earlier: metrics of rounds before a resume, by step.
    """

    def __init__(self, console: Console, earlier: Mapping[int, Row] | None = None) -> None:
        self._console = console
        self._rows: dict[int, Row] = {step: row for step, row in (earlier or {}).items() if _is_round(row)}

    def log(self, metrics: Mapping[str, Any], step: int) -> None:
        """Take up a round's numbers and print the rounds so far."""
        if _is_round(metrics):
            self._rows[step] = dict(metrics)
            self._console.print(self._table())

    def close(self) -> None:
        """Nothing is held open."""

    def _table(self) -> Table:
        shown = [column for column in COLUMNS if any(column[1] in row for row in self._rows.values())]
        table = Table(title="Rounds (select split, 95 % intervals)", title_justify="left")
        table.add_column("round", justify="right")
        for heading, _, _ in shown:
            table.add_column(heading, justify="right")
        for step, row in sorted(self._rows.items()):
            table.add_row(str(step), *(show(row) if name in row else "" for _, name, show in shown))
        return table


def _is_round(metrics: Row) -> bool:
    return "round/promoted" in metrics
