"""A few trajectories to be read turn by turn, cut to a length a person will read."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from sage_gym.selection.scoring import has_succeeded
from sage_gym.types import Trajectory, Turn

__all__ = ["TrajectorySample", "TurnSample", "choose_samples", "sample_trajectory"]

LONGEST = 2000
"""Characters of an observation or of a decision's text that are kept."""


class TurnSample(BaseModel):
    """One turn as shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    observation: str
    text: str
    action: str
    plan: str
    origin: str
    reward: float
    is_invalid: bool
    p_fail_before: float | None
    p_fail: float | None
    replans: int
    candidates: tuple[str, ...] = ()


class TrajectorySample(BaseModel):
    """One trajectory as shown, and why it was chosen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    id: str
    task: str
    instruction: str
    policy: str
    success: bool
    reward: float
    stop_reason: str
    turns: tuple[TurnSample, ...]
    final_observation: str


def sample_trajectory(trajectory: Trajectory, title: str) -> TrajectorySample:
    """Make a trajectory readable."""
    return TrajectorySample(
        title=title,
        id=trajectory.id,
        task=trajectory.task.key,
        instruction=_cut(trajectory.task.instruction),
        policy=trajectory.policy,
        success=has_succeeded(trajectory),
        reward=trajectory.reward,
        stop_reason=str(trajectory.stop_reason),
        turns=tuple(_sample_turn(turn) for turn in trajectory.turns),
        final_observation=_cut(trajectory.final_observation),
    )


def choose_samples(
    before: Sequence[Trajectory], after: Sequence[Trajectory], per_kind: int = 1
) -> tuple[TrajectorySample, ...]:
    """Choose what a reader wants to see: tasks gained (both students on them), lost, and failed by both.

    The first tasks of each kind in key order, so that nothing is picked for its looks.
    """
    earlier = {t.task.key: t for t in before if not t.is_infrastructure}
    later = {t.task.key: t for t in after if not t.is_infrastructure}
    both = [(earlier[key], later[key]) for key in sorted(earlier.keys() & later.keys())]
    gained = [(a, b) for a, b in both if has_succeeded(b) and not has_succeeded(a)]
    lost = [(a, b) for a, b in both if has_succeeded(a) and not has_succeeded(b)]
    neither = [(a, b) for a, b in both if not has_succeeded(a) and not has_succeeded(b)]
    found = []
    for a, b in gained[:per_kind]:
        found += [sample_trajectory(b, "Gained: the last student"), sample_trajectory(a, "Gained: round 0, same task")]
    for a, b in lost[:per_kind]:
        found += [sample_trajectory(b, "Lost: the last student"), sample_trajectory(a, "Lost: round 0, same task")]
    found += [sample_trajectory(b, "Still failed: the last student") for _, b in neither[:per_kind]]
    return tuple(found)


def _sample_turn(turn: Turn) -> TurnSample:
    decision = turn.decision
    return TurnSample(
        observation=_cut(turn.observation),
        text=_cut(decision.text),
        action=_cut(decision.action),
        plan=_cut(decision.plan),
        origin=str(decision.origin),
        reward=turn.reward,
        is_invalid=turn.is_invalid,
        p_fail_before=decision.p_fail_before,
        p_fail=decision.p_fail,
        replans=decision.replans,
        candidates=tuple(_cut(candidate.action) for candidate in decision.candidates),
    )


def _cut(text: str) -> str:
    # a lone surrogate cannot be written as UTF-8
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text) - LONGEST} more characters)"
