"""One policy's episodes on one split, measured: the same whether they were just played or lay on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sage_gym.evaluation.critiques import summarise
from sage_gym.evaluation.forecasts import ForecastReport, judge_head, scale
from sage_gym.evaluation.manifest import list_tasks
from sage_gym.evaluation.metrics import measure
from sage_gym.evaluation.outcomes import list_outcomes
from sage_gym.evaluation.passes import pass_rates
from sage_gym.evaluation.records import SplitResult
from sage_gym.evaluation.recovery import measure_recovery
from sage_gym.types import Score, Trajectory

__all__ = ["has_forecasts", "measure_split"]


def measure_split(
    trajectories: Sequence[Trajectory],
    *,
    split: str,
    policy: str,
    decoding: str,
    fit: Sequence[Trajectory] = (),
    fit_split: str = "",
    recovery: Sequence[Trajectory] | None = None,
    critic: tuple[str, Mapping[str, Score]] | None = None,
    seed: int = 0,
) -> SplitResult:
    """Measure everything that an evaluation says of a policy on a split.

    Args:
        trajectories: infrastructure failures included.
        split: its name.
        policy: its name in this evaluation.
        decoding: in words.
        fit: episodes of another split, for the temperature and the cheap baselines.
        fit_split: its name.
        recovery: episodes with a forced mistake; None where none were asked for.
        critic: its name, and its scores by trajectory id.
        seed: of the bootstraps.

    Raises:
        ValueError: `fit` shares a task with `trajectories`.
    """
    attempts = max((t.attempt for t in trajectories), default=-1) + 1
    rates = pass_rates(trajectories, seed=seed) if attempts > 1 else ()
    return SplitResult(
        split=split,
        policy=policy,
        decoding=decoding,
        tasks=list_tasks(list({t.task.key: t.task for t in trajectories}.values())),
        attempts=attempts,
        metrics=measure(trajectories, seed=seed),
        passes=rates,
        recovery=None if recovery is None else measure_recovery(recovery, seed=seed),
        forecast=_judge_forecasts(trajectories, fit, split, fit_split, seed),
        critic=None if critic is None else summarise(critic[0], trajectories, critic[1], seed=seed),
        outcomes=list_outcomes(trajectories),
    )


def has_forecasts(trajectories: Sequence[Trajectory]) -> bool:
    """Whether the policy forecast anything at a first decision."""
    return any(t.turns and t.turns[0].decision.p_fail is not None for t in trajectories)


def _judge_forecasts(
    test: Sequence[Trajectory], fit: Sequence[Trajectory], split: str, fit_split: str, seed: int
) -> ForecastReport | None:
    if not has_forecasts(test):
        return None
    report = judge_head(test, fit, split=split, fitted_on=fit_split, seed=seed)
    return scale(report, test, fit, seed=seed) if fit else report
