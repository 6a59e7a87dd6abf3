"""The forecast head judged on episodes: first decision, one a task; turn by turn beside it; cheap baselines below.

The baselines cost nothing: mean token log-probability, entropy, and a logistic regression on what is known
when the first decision has been made (after arXiv 2601.15778, which reads whole finished trajectories:
a forecast cannot). All are fitted on one split and judged on another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sage_gym.evaluation.auroc import AurocDifference, auroc_difference, weighted_auroc
from sage_gym.evaluation.calibration import ForecastQuality, judge_forecasts
from sage_gym.evaluation.intervals import Floats, Interval, cluster_bootstrap
from sage_gym.evaluation.metrics import family_of
from sage_gym.evaluation.temperature import TemperatureFit, at_temperature, fit_temperature
from sage_gym.evaluation.turnwise import TurnQuality, is_untouched, judge_turns
from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import Decision, Trajectory

__all__ = ["Baseline", "ForecastReport", "first_decisions", "judge_head", "scale"]


class Baseline(BaseModel):
    """A cheap forecaster on the same tasks, and the head's lead over it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    quality: ForecastQuality
    head_lead: AurocDifference | None
    """The head's AUROC minus this one's."""


class ForecastReport(BaseModel):
    """Everything that is said about the forecast head on one split."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str
    fitted_on: str
    """Which split the baselines (and the head's temperature) saw."""
    decision: ForecastQuality | None
    """Primary: at the last token of the first decision, before it is executed."""
    state: ForecastQuality | None
    """At the last token of the first prompt."""
    every_turn: Interval | None
    """AUROC over all decisions, bootstrapped by task: secondary."""
    turns: tuple[TurnQuality, ...] = ()
    """Turn by turn, one episode a task: secondary."""
    temperature: TemperatureFit | None = None
    """Fitted on `fitted_on`, to the forecasts as recorded there; None where none was fitted."""
    scaled: ForecastQuality | None = None
    """`decision` at that temperature."""
    baselines: tuple[Baseline, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sample:
    trajectories: tuple[Trajectory, ...]
    left_out: int

    @property
    def failed(self) -> list[bool]:
        return [not has_succeeded(t) for t in self.trajectories]

    @property
    def forecasts(self) -> list[float]:
        """Those at the first decision."""
        return [p for t in self.trajectories if (p := t.turns[0].decision.p_fail) is not None]

    @property
    def families(self) -> list[str]:
        return [family_of(t) for t in self.trajectories]


def first_decisions(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """Return one episode a task whose first decision can be judged: one that is untouched.

    Of several attempts the first such one is taken; those without a turn are left out.
    """
    found: dict[str, Trajectory] = {}
    for trajectory in sorted(trajectories, key=lambda t: t.attempt):
        if trajectory.turns and is_untouched(trajectory):
            found.setdefault(trajectory.task.key, trajectory)
    return [found[key] for key in sorted(found)]


def judge_head(
    test: Sequence[Trajectory],
    fit: Sequence[Trajectory],
    *,
    split: str = "test",
    fitted_on: str = "select",
    seed: int = 0,
) -> ForecastReport:
    """Judge the head's forecasts on `test`, with baselines fitted on `fit`.

    Args:
        test: episodes to be judged on.
        fit: episodes of another split; without any there are no baselines.
        split: name of the first.
        fitted_on: name of the second.
        seed: of bootstrap and simulation.

    Raises:
        ValueError: the two share a task.
    """
    shared = {t.task.key for t in test} & {t.task.key for t in fit}
    if shared:
        raise ValueError(f"expected disjoint splits, got {len(shared)} tasks in both (first: {min(shared)!r})")
    at_decision, at_state = _with(test, lambda d: d.p_fail), _with(test, lambda d: d.p_fail_before)
    reason = _reason_against(at_decision)
    if reason:
        return ForecastReport(
            split=split, fitted_on=fitted_on, decision=None, state=None, every_turn=None, notes=(reason,)
        )
    state = [t.turns[0].decision.p_fail_before for t in at_state.trajectories]
    baselines, notes = _baselines(at_decision, first_decisions(fit), seed)
    return ForecastReport(
        split=split,
        fitted_on=fitted_on,
        decision=_judge("decision", at_decision, at_decision.forecasts, seed),
        state=None if _reason_against(at_state) else _judge("state", at_state, state, seed),
        every_turn=_every_turn(test, seed),
        turns=judge_turns(first_decisions(test), seed=seed),
        baselines=baselines,
        notes=(*notes, *_remarks(at_decision)),
    )


def scale(
    report: ForecastReport, test: Sequence[Trajectory], fit: Sequence[Trajectory], *, seed: int = 0
) -> ForecastReport:
    """Return the report with the decision's forecasts judged at a temperature that another split was fitted with.

    Args:
        report: of `judge_head` on the same episodes.
        test: episodes to be judged on.
        fit: episodes of another split, their forecasts recorded as those of `test` were.
        seed: of bootstrap and simulation.
    """
    sample, known = _with(test, lambda d: d.p_fail), _with(fit, lambda d: d.p_fail)
    if report.decision is None:
        return report
    found = fit_temperature(known.failed, known.forecasts)
    if found.reason:
        note = f"no temperature: {found.reason}"
        return report.model_copy(update={"temperature": found, "notes": (*report.notes, note)})
    scaled = _judge("decision", sample, at_temperature(sample.forecasts, found.temperature), seed)
    return report.model_copy(update={"temperature": found, "scaled": scaled})


def _reason_against(sample: _Sample) -> str:
    """Say why nothing can be said of these forecasts; empty where something can."""
    n, failures = len(sample.trajectories), sum(sample.failed)
    if n == 0:
        return "no first decision can be judged: the policy has no head, or no episode was left alone"
    if failures in (0, n):
        what = "none failed" if failures == 0 else "all failed"
        return (
            f"calibration cannot be computed: of the {n} tasks {what}, and with one class there is nothing to rank, "
            f"and no share of failures that a forecast could be held against"
        )
    return ""


def _remarks(sample: _Sample) -> tuple[str, ...]:
    if len(set(sample.forecasts)) > 1:
        return ()
    return (f"every forecast is {sample.forecasts[0]:.3f}: the head has not been trained",)


def _with(trajectories: Sequence[Trajectory], read: Callable[[Decision], float | None]) -> _Sample:
    kept = [t for t in first_decisions(trajectories) if read(t.turns[0].decision) is not None]
    return _Sample(tuple(kept), len({t.task.key for t in trajectories}) - len(kept))


def _judge(name: str, sample: _Sample, forecasts: Sequence[float | None], seed: int) -> ForecastQuality | None:
    known = [p for p in forecasts if p is not None]
    return judge_forecasts(name, sample.failed, known, sample.families, left_out=sample.left_out, seed=seed)


def _every_turn(trajectories: Sequence[Trajectory], seed: int) -> Interval | None:
    rows = [
        (not has_succeeded(t), turn.decision.p_fail, t.task.key)
        for t in trajectories
        if is_untouched(t)
        for turn in t.turns
        if turn.decision.p_fail is not None
    ]
    labels = np.array([float(failed) for failed, _, _ in rows])
    forecasts = np.array([p for _, p, _ in rows], dtype=float)
    clusters = [key for _, _, key in rows]
    if not rows:
        return None
    return cluster_bootstrap(lambda weights: weighted_auroc(labels, forecasts, weights), clusters, seed=seed)


FEATURES: dict[str, Callable[[Trajectory], float]] = {
    "mean log-probability": lambda t: _mean_logprob(t.turns[0].decision),
    "lowest log-probability": lambda t: min(_logprobs(t.turns[0].decision), default=0.0),
    "entropy": lambda t: t.turns[0].decision.entropy or 0.0,
    "tokens sampled": lambda t: float(len(_logprobs(t.turns[0].decision))),
    "prompt tokens": lambda t: float(len(ledger.prompt_ids) if (ledger := t.turns[0].decision.ledger) else 0),
    "instruction words": lambda t: float(len(t.task.instruction.split())),
    "action words": lambda t: float(len(t.turns[0].decision.action.split())),
}
"""What is known when the first decision has been made and before it is executed."""
BASELINES = {
    "mean log-probability": ("mean log-probability",),
    "entropy": ("entropy",),
    "logistic regression": tuple(FEATURES),
}


def _baselines(sample: _Sample, fit: Sequence[Trajectory], seed: int) -> tuple[tuple[Baseline, ...], tuple[str, ...]]:
    labels = [not has_succeeded(t) for t in fit]
    if not labels:
        return (), ()
    if len(set(labels)) < 2:
        return (), (f"no baseline: the {len(fit)} episodes to fit on all ended the same way",)
    head = [t.turns[0].decision.p_fail or 0.0 for t in sample.trajectories]
    found = []
    for name, features in BASELINES.items():
        model = make_pipeline(StandardScaler(), LogisticRegression())
        model.fit(_matrix(fit, features), labels)
        forecasts = model.predict_proba(_matrix(sample.trajectories, features))[:, 1].tolist()
        quality = judge_forecasts(name, sample.failed, forecasts, sample.families, left_out=sample.left_out, seed=seed)
        assert quality is not None  # the head was judged on the same sample
        found.append(Baseline(quality=quality, head_lead=auroc_difference(sample.failed, head, forecasts)))
    return tuple(found), ()


def _matrix(trajectories: Sequence[Trajectory], features: Sequence[str]) -> Floats:
    return np.array([[FEATURES[name](t) for name in features] for t in trajectories], dtype=float)


def _logprobs(decision: Decision) -> list[float]:
    """Return the log-probabilities of what was sampled; forced tokens say nothing."""
    ledger = decision.ledger
    if ledger is None:
        return []
    return [lp for lp, is_sampled in zip(ledger.logprobs, ledger.mask, strict=True) if is_sampled]


def _mean_logprob(decision: Decision) -> float:
    values = _logprobs(decision)
    return float(np.mean(values)) if values else 0.0
