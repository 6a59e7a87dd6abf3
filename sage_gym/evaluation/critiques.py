"""What a critic or reward says of an evaluation's episodes, and whether it tells successes from failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from pydantic import BaseModel, ConfigDict

from sage_gym.evaluation.auroc import auroc
from sage_gym.evaluation.intervals import Interval, cluster_mean
from sage_gym.evaluation.metrics import family_of
from sage_gym.protocols import Reward
from sage_gym.selection.scoring import apply_critics, has_succeeded
from sage_gym.types import Group, Score, Trajectory

__all__ = ["CriticSummary", "score_episodes", "summarise"]

MOST_REASONS = 5


class CriticSummary(BaseModel):
    """One critic's scores. Unscored episodes are in no mean: a critic that fails never scores zero."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    scored: int
    unscored: int
    """Of those that infrastructure did not take."""
    reasons: dict[str, int] = {}
    """Why there is no score, the most frequent first; further ones are left out."""
    value: Interval | None
    """Mean, bootstrapped by family."""
    of_successes: float | None
    """Mean over episodes that succeeded."""
    of_failures: float | None
    """Mean over episodes that did not."""
    auroc: Interval | None
    """How well the score ranks successes above failures; None with one class only."""
    components: dict[str, float] = {}
    """Means of the components over the scored episodes that have them."""


def score_episodes(critic: Reward, trajectories: Sequence[Trajectory]) -> Mapping[str, Score]:
    """Return one score an episode, by its id; infrastructure failures are left out."""
    groups = [Group(trajectory.task, (trajectory,)) for trajectory in trajectories]
    return apply_critics(groups, [critic])[critic.name]


def summarise(
    name: str, trajectories: Sequence[Trajectory], scores: Mapping[str, Score], *, seed: int = 0
) -> CriticSummary:
    """Summarise a critic's scores.

    Args:
        name: of the critic.
        trajectories: that were scored.
        scores: by trajectory id.
        seed: of the bootstrap.
    """
    asked = [(t, scores[t.id]) for t in trajectories if t.id in scores]
    known = [(t, score, score.value) for t, score in asked if score.value is not None]
    values = [value for _, _, value in known]
    succeeded = [has_succeeded(t) for t, _, _ in known]
    reasons = Counter(score.reason for _, score in asked if score.value is None)
    return CriticSummary(
        name=name,
        scored=len(known),
        unscored=len(asked) - len(known),
        reasons=dict(reasons.most_common(MOST_REASONS)),
        value=cluster_mean(values, [family_of(t) for t, _, _ in known], seed=seed),
        of_successes=_mean([v for v, success in zip(values, succeeded, strict=True) if success]),
        of_failures=_mean([v for v, success in zip(values, succeeded, strict=True) if not success]),
        auroc=auroc(succeeded, values),
        components=_component_means([score for _, score, _ in known]),
    )


def _component_means(scores: Sequence[Score]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for score in scores:
        for name, value in score.components.items():
            found.setdefault(name, []).append(float(value))
    return {name: fmean(values) for name, values in sorted(found.items())}


def _mean(values: Sequence[float]) -> float | None:
    return fmean(values) if values else None
