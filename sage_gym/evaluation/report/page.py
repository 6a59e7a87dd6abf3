"""What the report says, before it is said in HTML."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sage_gym.evaluation.forecasts import ForecastReport
from sage_gym.evaluation.manifest import FinalManifest, RoundManifest, TestResult, pairs_between
from sage_gym.evaluation.metrics import Metrics
from sage_gym.evaluation.promotion import Rival
from sage_gym.evaluation.report.charts import (
    Point,
    Series,
    Whisker,
    coverage_chart,
    forest_chart,
    line_chart,
    reliability_chart,
)
from sage_gym.evaluation.report.introspection import IntrospectionPart
from sage_gym.evaluation.report.wording import compact, fixed, percent
from sage_gym.evaluation.significance import PairedTest, compare, holm

__all__ = ["Curve", "Page", "RoundRow", "Versus", "build_page"]


@dataclass(frozen=True, slots=True)
class Curve:
    """A chart over rounds with its heading."""

    heading: str
    svg: Markup
    caption: str = ""


@dataclass(frozen=True, slots=True)
class RoundRow:
    """A line of the rounds' table."""

    manifest: RoundManifest
    incumbent: Rival | None
    best: Rival | None
    p_holm: float | None
    """Of the test against the incumbent, adjusted over the run's rounds."""


@dataclass(frozen=True, slots=True)
class Versus:
    """The run's last student against the yardstick's, on the same test tasks."""

    split: str
    decoding: str
    ours: Metrics
    theirs: Metrics
    paired: PairedTest
    tokens: tuple[int, int]

    @property
    def is_equally_trained(self) -> bool:
        """Whether the trained tokens differ by at most one in twenty."""
        return abs(self.tokens[0] - self.tokens[1]) <= 0.05 * max(self.tokens)


@dataclass(frozen=True, slots=True)
class Page:
    """Everything on the page."""

    rounds: tuple[RoundManifest, ...]
    rows: tuple[RoundRow, ...]
    curves: tuple[Curve, ...]
    final: FinalManifest | None
    headline: str
    test_chart: Markup
    versus: tuple[Versus, ...]
    forecast: ForecastReport | None
    forecast_round: int | None
    """None where the forecasts are the final manifest's, on the test split."""
    reliability: Markup
    coverage: Markup
    has_yardstick: bool
    introspection: IntrospectionPart | None = None

    @property
    def tokens_trained(self) -> int:
        """Over all rounds."""
        return sum(manifest.tokens_trained for manifest in self.rounds)

    @property
    def elapsed_s(self) -> float:
        """Over all rounds."""
        return self.final.elapsed_s if self.final else sum(manifest.elapsed_s for manifest in self.rounds)


def build_page(
    rounds: Sequence[RoundManifest],
    final: FinalManifest | None,
    yardstick_rounds: Sequence[RoundManifest] = (),
    yardstick_final: FinalManifest | None = None,
    introspection: IntrospectionPart | None = None,
) -> Page:
    """Compute what the page shows from the manifests of a run and, where given, of its yardstick."""
    versus = _versus(final, yardstick_final, rounds, yardstick_rounds)
    forecast, number = _latest_forecast(rounds, final)
    decision = forecast.decision if forecast else None
    return Page(
        rounds=tuple(rounds),
        rows=_rows(rounds),
        curves=_curves(rounds, yardstick_rounds),
        final=final,
        headline=_headline(rounds, final),
        test_chart=_test_chart(final.tests[0], versus) if final else Markup(""),
        versus=versus,
        forecast=forecast,
        forecast_round=number,
        reliability=reliability_chart(decision.reliability, decision.failures / decision.n, "reliability diagram")
        if decision
        else Markup(""),
        coverage=coverage_chart(decision.doubt.risk, "risk over coverage")
        if decision and decision.doubt
        else Markup(""),
        has_yardstick=bool(yardstick_rounds),
        introspection=introspection,
    )


def _rows(rounds: Sequence[RoundManifest]) -> tuple[RoundRow, ...]:
    rivals = {m.round: {r.role: r for r in m.promotion.rivals} if m.promotion else {} for m in rounds}
    adjusted = holm({str(n): by["incumbent"].test.mcnemar_p for n, by in rivals.items() if "incumbent" in by})
    return tuple(
        RoundRow(m, rivals[m.round].get("incumbent"), rivals[m.round].get("best"), adjusted.get(str(m.round)))
        for m in rounds
    )


def _curves(rounds: Sequence[RoundManifest], yardstick: Sequence[RoundManifest]) -> tuple[Curve, ...]:
    success = _series(rounds, yardstick, lambda m: _bounded(m, "success"))
    score = _series(rounds, yardstick, lambda m: _bounded(m, "score"))
    tokens = _series(_cumulative(rounds), _cumulative(yardstick), lambda m: (m.tokens_trained, None, None))
    note = "Filled: promoted. Band: 95 % interval."
    curves = [
        Curve("Success on the select split", line_chart(success, lambda v: f"{100 * v:.0f} %", "success"), note),
        Curve("Score on the select split", line_chart(score, lambda v: fixed(v, 2), "score"), note),
    ]
    for name in dict.fromkeys(key for m in rounds for key in m.metrics if key.endswith("loss")):
        series = _series(rounds, yardstick, lambda m, name=name: _metric(m, name))  # type: ignore[misc]
        curves.append(Curve(name, line_chart(series, lambda v: f"{v:.3g}", name)))
    curves.append(Curve("Tokens trained so far", line_chart(tokens, compact, "tokens trained")))
    return tuple(curve for curve in curves if curve.svg)


Reading = tuple[float, float | None, float | None] | None


def _series(
    rounds: Sequence[RoundManifest], yardstick: Sequence[RoundManifest], read: Callable[[RoundManifest], Reading]
) -> list[Series]:
    def points(manifests: Sequence[RoundManifest]) -> tuple[Point, ...]:
        found = ((m, read(m)) for m in manifests)
        return tuple(Point(m.round, *value, is_hollow=not m.promoted) for m, value in found if value is not None)

    lines = [Series("this run", points(rounds)), Series("yardstick", points(yardstick), "rival")]
    return [line for line in lines if line.points]


def _bounded(manifest: RoundManifest, name: str) -> Reading:
    found = getattr(manifest.select, name) if manifest.select is not None else None
    return None if found is None else (found.value, found.low, found.high)


def _metric(manifest: RoundManifest, name: str) -> Reading:
    value = manifest.metrics.get(name)
    return None if value is None else (value, None, None)


def _cumulative(rounds: Sequence[RoundManifest]) -> list[RoundManifest]:
    total, found = 0, []
    for manifest in rounds:
        total += manifest.tokens_trained
        found.append(manifest.model_copy(update={"tokens_trained": total}))
    return found


def _latest_forecast(
    rounds: Sequence[RoundManifest], final: FinalManifest | None
) -> tuple[ForecastReport | None, int | None]:
    if final is not None and final.forecast is not None:
        return final.forecast, None
    for manifest in reversed(rounds):
        if manifest.forecast is not None:
            return manifest.forecast, manifest.round
    return None, None


def _versus(
    final: FinalManifest | None,
    yardstick: FinalManifest | None,
    rounds: Sequence[RoundManifest],
    yardstick_rounds: Sequence[RoundManifest],
) -> tuple[Versus, ...]:
    if final is None or yardstick is None:
        return ()
    theirs = {(result.split, result.decoding): result for result in yardstick.tests}
    tokens = (sum(m.tokens_trained for m in rounds), sum(m.tokens_trained for m in yardstick_rounds))
    return tuple(
        Versus(
            split=ours.split,
            decoding=ours.decoding,
            ours=ours.after,
            theirs=rival.after,
            paired=compare("yardstick", "this run", pairs_between(rival, ours)),
            tokens=tokens,
        )
        for ours in final.tests
        if (rival := theirs.get((ours.split, ours.decoding))) is not None
    )


def _test_chart(result: TestResult, versus: Sequence[Versus]) -> Markup:
    rows = [("Round 0", result.before, "muted"), (f"Last promoted ({result.paired.b})", result.after, "main")]
    if versus:
        rows.append(("Yardstick", versus[0].theirs, "rival"))
    whiskers = [
        Whisker(name, m.success.value, m.success.low, m.success.high, style) for name, m, style in rows if m.success
    ]
    if not whiskers:
        return Markup("")
    return forest_chart(whiskers, percent, lambda v: f"{100 * v:.0f} %", "success on the test split")


def _headline(rounds: Sequence[RoundManifest], final: FinalManifest | None) -> str:
    if final is None:
        last = next((m for m in reversed(rounds) if m.promoted), rounds[0])
        success = last.select.success if last.select else None
        state = f"{percent(success.value)} on the select split" if success else "not evaluated"
        return f"Unfinished, {len(rounds) - 1} trained rounds so far: the last promoted is round {last.round}, {state}."
    if final.last_promoted == 0:
        return "No round was promoted: the student is still that of round 0."
    test = final.tests[0].paired
    difference = test.success_difference
    if test.mcnemar_p >= 0.05:
        verdict = "cannot be told apart from"
    else:
        verdict = "succeeds more often than" if difference.value > 0 else "succeeds less often than"
    return f"On {test.tasks} test tasks the student of round {final.last_promoted} {verdict} round 0."
