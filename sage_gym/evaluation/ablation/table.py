"""An ablation in the terminal: what each part is worth, and what each run was and cost."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sage_gym.evaluation.ablation.figures import Ablation, Cost, RunFigures
from sage_gym.evaluation.intervals import Interval
from sage_gym.evaluation.report.wording import count, fixed, neutralise, p_value, percent, points

__all__ = ["print_ablation"]

WIDTH = 160
"""Columns where nobody says how wide a line may be: a file, a pipe."""


def print_ablation(ablation: Ablation, console: Console | None = None) -> None:
    """Print what was found, and what the reader must know about it; to standard output by default."""
    console = console or Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    console.print(_effects(ablation))
    if ablation.rivals:
        console.print(_rivals(ablation))
    console.print(_runs(ablation))
    for effect in ablation.effects:
        console.print(escape(neutralise(f"{effect.part}: {effect.verdict}, {effect.words}")))
    for note in ablation.notes:
        console.print(escape(neutralise(note)), style="yellow")


def _effects(ablation: Ablation) -> Table:
    title = f"{ablation.environment}: the full system minus the same without a part, success in points"
    table = _table(
        title, "part", "verdict", *(f"seed {seed} (McNemar p)" for seed in ablation.seeds), "pooled [95 %]", "p",
        "Holm", "sampled tokens", "trained tokens", "s a round",
    )  # fmt: skip
    for effect in ablation.effects:
        seeds = [effect.by_seed.get(seed) for seed in ablation.seeds]
        shown = [
            "–" if test is None else f"{points(test.success_difference.value)} ({p_value(test.mcnemar_p)})"
            for test in seeds
        ]
        p_values = (p_value(effect.pooled.p), p_value(effect.p_holm))
        _row(table, effect.part, effect.verdict, *shown, _interval(effect.pooled.mean), *p_values, *_cost(effect.cost))
    return table


def _rivals(ablation: Ablation) -> Table:
    title = "Against the yardstick (success-filtered fine-tuning), success in points"
    table = _table(title, "variant", "verdict", *(f"seed {seed}" for seed in ablation.seeds), "pooled [95 %]", "p")
    for rival in ablation.rivals:
        tests = [rival.by_seed.get(seed) for seed in ablation.seeds]
        shown = ["–" if test is None else points(test.success_difference.value) for test in tests]
        _row(table, rival.variant, rival.verdict, *shown, _interval(rival.pooled.mean), p_value(rival.pooled.p))
    return table


def _runs(ablation: Ablation) -> Table:
    table = _table(
        "Runs", "run", "success on test, round 0", "last promoted", "its round", "trained tokens", "steps",
        "sampled tokens", "s a round", "re-planning", "taken over from",
    )  # fmt: skip
    for run in ablation.runs:
        seconds = fixed(run.cost.seconds_a_round, 0)
        trained = [count(run.cost.tokens_trained), count(run.steps)]
        numbers = [*trained, count(run.cost.tokens_sampled), seconds]
        sources = ", ".join(dict.fromkeys(run.shared.values()))
        replanned = f"{run.replanned} of {run.rounds}"
        _row(table, run.run, *_successes(run), f"{run.last_promoted}", *numbers, replanned, sources)
    return table


def _successes(run: RunFigures) -> list[str]:
    sides = (run.test.before.success, run.test.after.success)
    return [percent(None if side is None else side.value) for side in sides]


def _cost(cost: Cost) -> list[str]:
    seconds = "–" if cost.seconds_a_round is None else f"{cost.seconds_a_round:+.0f}"
    return [f"{cost.tokens_sampled:+,.0f}", f"{cost.tokens_trained:+,.0f}", seconds]


def _interval(found: Interval) -> str:
    return f"{points(found.value)} [{fixed(100 * found.low, 1)}, {fixed(100 * found.high, 1)}]"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=escape(neutralise(title)), title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < 2 else "right", overflow="fold")
    return table


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(escape(neutralise(cell)) for cell in cells))
