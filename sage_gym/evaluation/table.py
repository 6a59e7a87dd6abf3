"""An evaluation in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from sage_gym.evaluation.calibration import CalibrationError, ForecastQuality
from sage_gym.evaluation.comparison import SplitComparison
from sage_gym.evaluation.forecasts import ForecastReport
from sage_gym.evaluation.intervals import Interval
from sage_gym.evaluation.metrics import Metrics
from sage_gym.evaluation.records import Evaluation, SplitResult
from sage_gym.evaluation.report.wording import count, fixed, neutralise, p_value, percent, points

__all__ = ["print_evaluation"]

WIDTH = 140
"""Columns where nobody says how wide a line may be: a file, a pipe."""


def print_evaluation(evaluation: Evaluation, console: Console | None = None) -> None:
    """Print everything that was measured, and what the reader must know about it; to standard output by default."""
    console = console or Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    for table in _tables(evaluation):
        console.print(table)
    for line in _remarks(evaluation):
        console.print(escape(neutralise(line)), style="yellow")


def _tables(evaluation: Evaluation) -> Iterator[RenderableType]:
    results = evaluation.results
    yield _successes(results)
    yield _courses(results)
    if any(result.passes for result in results):
        yield _passes(results)
    if any(result.recovery for result in results):
        yield _recoveries(results)
    for result in results:
        if result.forecast is not None and result.forecast.decision is not None:
            yield _forecasts(result, result.forecast, result.forecast.decision)
    if any(result.critic for result in results):
        yield _critics(results)
    for title, comparisons in _compared(evaluation):
        yield _comparisons(title, comparisons)
    if evaluation.pilot is not None:
        yield _pilot(evaluation)


def _compared(evaluation: Evaluation) -> Iterator[tuple[str, tuple[SplitComparison, ...]]]:
    if evaluation.comparisons:
        versus = " against ".join(evaluation.policies)
        yield f"{versus}, the same tasks", evaluation.comparisons
        if evaluation.recovery_comparisons:
            yield f"{versus}, after the same forced mistakes", evaluation.recovery_comparisons


def _table(title: str, *columns: str) -> Table:
    table = Table(title=escape(neutralise(title)), title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index < 2 else "right", overflow="fold")
    return table


def _row(table: Table, *cells: str) -> None:
    table.add_row(*(escape(neutralise(cell)) for cell in cells))


def _successes(results: tuple[SplitResult, ...]) -> Table:
    table = _table("Success", "split", "policy", "tasks", "success", "score", "infrastructure")
    for result in results:
        found = result.metrics
        tasks = f"{result.tasks.count}" + (f" × {result.attempts}" if result.attempts > 1 else "")
        _row(table, result.split, result.policy, tasks, _shares(result.success), _interval(found.score), _lost(found))
    return table


def _courses(results: tuple[SplitResult, ...]) -> Table:
    table = _table("Course of the episodes", "split", "policy", "turns", "tokens", "invalid", "truncated by budget")
    for result in results:
        found = result.metrics
        means = [fixed(found.turns, 1), fixed(found.tokens, 1), percent(found.invalid_share)]
        cut = ", ".join(f"{name} {n}" for name, n in found.truncations.items())
        _row(table, result.split, result.policy, *means, cut or "0")
    return table


def _passes(results: tuple[SplitResult, ...]) -> Table:
    table = _table("Several attempts", "split", "policy", "k", "pass@k", "pass^k", "tasks")
    for result in results:
        for rate in result.passes:
            _row(table, result.split, result.policy, f"{rate.k}", _shares(rate.any), _shares(rate.all), f"{rate.tasks}")
    return table


def _recoveries(results: tuple[SplitResult, ...]) -> Table:
    table = _table(
        "After a forced mistake",
        "split",
        "policy",
        "mistakes",
        "recovered",
        "turns it took",
        "at turn: share (mistakes)",
    )
    for result in results:
        found = result.recovery
        if found is not None:
            by_turn = (f"{one.turn}: {percent(one.success.value)} ({one.success.n})" for one in found.by_turn)
            _row(
                table,
                result.split,
                result.policy,
                f"{found.metrics.episodes}",
                _shares(found.metrics.success),
                fixed(found.turns_to_recover, 1),
                ", ".join(by_turn),
            )
    return table


def _forecasts(result: SplitResult, report: ForecastReport, quality: ForecastQuality) -> Table:
    failed = f"{quality.failures} of {quality.n} failed"
    title = f"Failure forecasts at the first decision: {result.split}, {result.policy}; {failed}"
    columns = ("forecaster", "AUROC", "Brier", "ECE (of 95 % calibrated ≤)", "AURC", "head's lead in AUROC")
    table = _table(title, *columns)
    _row(table, *_quality("head", quality))
    if report.scaled is not None and report.temperature is not None:
        name = f"head at T = {report.temperature.temperature:.2f}, fitted on {report.fitted_on}"
        _row(table, *_quality(name, report.scaled))
    for baseline in report.baselines:
        lead = baseline.head_lead
        led = "" if lead is None else f"{fixed(lead.difference)} [{fixed(lead.low)}, {fixed(lead.high)}]"
        _row(table, *_quality(baseline.quality.name, baseline.quality), led)
    _row(table, "base rate", "0.500", fixed(quality.brier.uncertainty))
    return table


def _quality(name: str, quality: ForecastQuality) -> list[str]:
    area = quality.doubt.risk.area.value if quality.doubt is not None else None
    brier = fixed(quality.brier.value)
    return [name, _interval(quality.auroc), brier, _error(quality.ece_width), fixed(area)]


def _error(found: CalibrationError) -> str:
    return f"{fixed(found.value)} ({fixed(found.band)})"


def _critics(results: tuple[SplitResult, ...]) -> Table:
    table = _table("Critic", "split", "policy", "critic", "scored", "mean", "of successes", "of failures", "AUROC")
    for result in results:
        found = result.critic
        if found is not None:
            scored = f"{found.scored}" + (f", {found.unscored} unscored" if found.unscored else "")
            numbers = [_interval(found.value), fixed(found.of_successes), fixed(found.of_failures)]
            _row(table, result.split, result.policy, found.name, scored, *numbers, _interval(found.auroc))
    return table


def _comparisons(title: str, comparisons: tuple[SplitComparison, ...]) -> Table:
    table = _table(
        title, "split", "gained / lost", "pairs", "points", "McNemar p", "Holm", "score", "bootstrap p", "Holm"
    )
    for found in comparisons:
        test = found.paired
        difference = found.success_over_attempts or test.success_difference
        _row(
            table,
            found.split,
            f"{test.gained} / {test.lost}",
            f"{test.tasks}",
            f"{points(difference.value)} [{fixed(100 * difference.low, 1)}, {fixed(100 * difference.high, 1)}]",
            p_value(test.mcnemar_p),
            p_value(found.mcnemar_p_holm),
            _interval(found.score_over_attempts or test.score_difference),
            p_value(found.score_p),
            p_value(found.score_p_holm),
        )
    return table


def _pilot(evaluation: Evaluation) -> Table:
    check = evaluation.pilot
    assert check is not None  # asked before
    table = _table("Does re-planning hurt?", "on", "decision", "both", "rescued", "disrupted", "neither", "lower bound")
    for name, found in {"pilot": check.pilot, **check.full}.items():
        cells = [f"{n}" for n in (found.both, found.rescued, found.disrupted, found.neither)]
        _row(table, name, "on" if found.replanning else "off", *cells, points(found.lower))
    return table


def _remarks(evaluation: Evaluation) -> Iterator[str]:
    for result in evaluation.results:
        notes = result.forecast.notes if result.forecast is not None else ()
        for note in notes:
            yield f"{result.split}, {result.policy}: {note}"
    for title, comparisons in _compared(evaluation):
        for found in comparisons:
            if found.shortfall:
                yield f"{title}, {found.split}: {found.shortfall}"
    if evaluation.pilot is not None:
        for split, agreed in evaluation.pilot.agreed.items():
            yield f"the pilot's decision {'is' if agreed else 'is not'} that of all tasks of {split}"
    skipped = sum(one.episodes for one in evaluation.damage)
    for one in evaluation.damage:
        yield str(one)
    if evaluation.damage:
        yield f"damaged lines: {len(evaluation.damage)}; episodes left out with them: {count(skipped)}"
    yield from evaluation.notes


def _shares(found: Interval | None) -> str:
    if found is None:
        return "–"
    return f"{percent(found.value)} [{fixed(100 * found.low, 1)}, {fixed(100 * found.high, 1)}]"


def _interval(found: Interval | None) -> str:
    return "–" if found is None else f"{fixed(found.value)} [{fixed(found.low)}, {fixed(found.high)}]"


def _lost(metrics: Metrics) -> str:
    if not metrics.infrastructure:
        return "0"
    low, high = metrics.success_if_infrastructure_failed, metrics.success_if_infrastructure_passed
    return f"{metrics.infrastructure} ({percent(low)} to {percent(high)})"
