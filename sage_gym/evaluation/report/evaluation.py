"""`report.html` of an evaluation: one self-contained page made from `evaluation.json` alone. No script, no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from sage_gym.evaluation.calibration import ForecastQuality
from sage_gym.evaluation.comparison import SplitComparison
from sage_gym.evaluation.records import Evaluation, SplitResult
from sage_gym.evaluation.report.charts import Whisker, coverage_chart, forest_chart, reliability_chart
from sage_gym.evaluation.report.wording import neutralise, percent
from sage_gym.evaluation.report.writing import render, write_whole

__all__ = ["render_page", "write_page"]


@dataclass(frozen=True, slots=True)
class ForecastView:
    """The forecasts of one policy on one split, with their pictures."""

    result: SplitResult
    reliability: Markup
    scaled: Markup
    """The reliability diagram at the fitted temperature; empty where none was fitted."""
    coverage: Markup


@dataclass(frozen=True, slots=True)
class EvaluationPage:
    """Everything on the page."""

    evaluation: Evaluation
    headline: str
    successes: Markup
    differences: Markup
    forecasts: tuple[ForecastView, ...]

    @property
    def skipped(self) -> int:
        """Episodes left out for damaged lines."""
        return sum(one.episodes for one in self.evaluation.damage)


def write_page(folder: Path, evaluation: Evaluation) -> Path:
    """Write `report.html` into an evaluation's folder, all or nothing, and return its path."""
    return write_whole(folder / "report.html", render_page(evaluation))


def render_page(evaluation: Evaluation) -> str:
    """Return the page as HTML; every text from outside is escaped."""
    page = EvaluationPage(
        evaluation=evaluation,
        headline=_headline(evaluation),
        successes=_successes(evaluation),
        differences=_differences(evaluation.comparisons),
        forecasts=tuple(_view(result) for result in evaluation.results if result.forecast is not None),
    )
    return render("evaluation.html.j2", page)


def _view(result: SplitResult) -> ForecastView:
    forecast = result.forecast
    quality, scaled = (forecast.decision, forecast.scaled) if forecast is not None else (None, None)
    curve = quality.doubt.risk if quality is not None and quality.doubt is not None else None
    return ForecastView(
        result=result,
        reliability=_reliability(quality),
        scaled=_reliability(scaled),
        coverage=Markup("") if curve is None else coverage_chart(curve, "risk over coverage"),
    )


def _reliability(quality: ForecastQuality | None) -> Markup:
    if quality is None:
        return Markup("")
    return reliability_chart(quality.reliability, quality.failures / quality.n, "reliability diagram")


def _successes(evaluation: Evaluation) -> Markup:
    rows = []
    for result in evaluation.results:
        found = result.success
        if found is not None:
            is_first = result.policy == evaluation.policies[0] or len(evaluation.policies) > 2
            label = neutralise(f"{result.split}, {result.policy}")
            rows.append(Whisker(label, found.value, found.low, found.high, "main" if is_first else "muted"))
    if not rows:
        return Markup("")
    return forest_chart(rows, percent, lambda v: f"{100 * v:.0f} %", "success by split and policy")


def _differences(comparisons: Sequence[SplitComparison]) -> Markup:
    found = [(one.split, one.success_over_attempts or one.paired.success_difference) for one in comparisons]
    rows = [Whisker(neutralise(split), 100 * d.value, 100 * d.low, 100 * d.high) for split, d in found]
    if not rows:
        return Markup("")
    return forest_chart(rows, lambda v: f"{v:+.1f}", lambda v: f"{v:+.0f}", "difference in success, points")


def _headline(evaluation: Evaluation) -> str:
    if not evaluation.comparisons:
        first = next((result for result in evaluation.results if result.success is not None), None)
        if first is None or first.success is None:
            return "No episode could be scored."
        share = percent(first.success.value)
        return f"{first.policy} succeeds in {share} of {first.tasks.count} tasks of {first.split}."
    test = evaluation.comparisons[0]
    ours, theirs = evaluation.policies[:2]
    if test.mcnemar_p_holm >= 0.05:
        verdict = "cannot be told apart from"
    else:
        verdict = "succeeds more often than" if test.paired.gained > test.paired.lost else "succeeds less often than"
    return f"On {test.paired.tasks} tasks of {test.split}, {ours} {verdict} {theirs}."
