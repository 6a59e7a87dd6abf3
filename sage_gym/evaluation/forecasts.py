"""The forecast head judged on episodes: first decision, one a task; every turn beside it; cheap baselines below.

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
from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import Decision, Trajectory

__all__ = ["Baseline", "ForecastReport", "first_decisions", "judge_head"]


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
    def families(self) -> list[str]:
        return [family_of(t) for t in self.trajectories]


def first_decisions(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """Return one episode a task whose first decision can be judged: not infrastructure, not intervened upon.

    Of several attempts the first such one is taken; those without a turn are left out.
    """
    found: dict[str, Trajectory] = {}
    for trajectory in sorted(trajectories, key=lambda t: t.attempt):
        if trajectory.turns and not trajectory.is_infrastructure and not trajectory.is_intervened:
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
    at_decision = _with(test, lambda d: d.p_fail)
    decision = _judge("decision", at_decision, [t.turns[0].decision.p_fail for t in at_decision.trajectories], seed)
    at_state = _with(test, lambda d: d.p_fail_before)
    state = _judge("state", at_state, [t.turns[0].decision.p_fail_before for t in at_state.trajectories], seed)
    baselines, notes = _baselines(at_decision, first_decisions(fit), seed) if decision else ((), ())
    return ForecastReport(
        split=split,
        fitted_on=fitted_on,
        decision=decision,
        state=state,
        every_turn=_every_turn(test, seed),
        baselines=baselines,
        notes=notes if decision else ("no first decision has a forecast: the policy has no head",),
    )


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
        if not t.is_infrastructure and not t.is_intervened
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
