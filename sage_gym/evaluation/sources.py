"""Where trained tokens came from, and what of the training text others hold too: one record a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from sage_gym.selection import Contamination
from sage_gym.selection.settings import Decontamination
from sage_gym.selection.verdicts import Overlap
from sage_gym.types import Origin, Trajectory

__all__ = ["Attempt", "Composition", "SourceCount", "attempt_of", "compose", "count_sources"]

Attempt = str
"""How an episode came about: `first`, `second` (after a critique), `recovery` (with a forced mistake), `amplified`."""


class SourceCount(BaseModel):
    """Tokens that were trained on, all of one origin."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    """`distil` or `reinforce`."""
    environment: str
    split: str
    policy: str
    """Who played the episode."""
    round: int
    """When it was played."""
    attempt: Attempt
    author: str
    """Who wrote the tokens: `policy`, `teacher` or `expert`. What was injected is never trained on."""
    episodes: int
    tokens: int
    """Sampled tokens with a weight in the loss, once for each epoch."""


class Composition(BaseModel):
    """What a round's training text is made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    episodes: int
    """Finished ones that were compared with held-out text."""
    tasks: int
    decontamination: str
    """`dropped` where overlap with benchmarks and other environments is left out of training, else `reported`."""
    dropped: int = 0
    """Episodes that were left out of every stage."""
    sources: tuple[SourceCount, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    parts: tuple[str, ...] = ()
    """What of an episode decided."""


@dataclass(slots=True)
class _Tally:
    episodes: set[str]
    tokens: int = 0


def attempt_of(trajectory: Trajectory) -> Attempt:
    """Say how an episode came about."""
    if trajectory.hints:
        return "second"
    if any(turn.decision.origin in (Origin.INJECTED, Origin.EXPERT) for turn in trajectory.turns):
        return "recovery"
    return "amplified" if trajectory.is_intervened else "first"


def count_sources(
    stage: str, trajectories: Mapping[str, Trajectory], tokens: Sequence[tuple[str, Mapping[int, int]]]
) -> tuple[SourceCount, ...]:
    """Count trained tokens by origin.

    Args:
        stage: which trains on them.
        trajectories: by id.
        tokens: pairs of a trajectory's id and how many of its tokens are trained, by turn.
    """
    tallies: dict[tuple[str, str, str, int, str, str], _Tally] = {}
    for identifier, by_turn in tokens:
        trajectory = trajectories[identifier]
        task, attempt = trajectory.task, attempt_of(trajectory)
        for turn, count in by_turn.items():
            author = trajectory.turns[turn].decision.origin.value
            key = (task.environment, task.split, trajectory.policy, trajectory.round, attempt, author)
            tally = tallies.setdefault(key, _Tally(set()))
            tally.episodes.add(identifier)
            tally.tokens += count
    return tuple(_source(stage, key, len(t.episodes), t.tokens) for key, t in sorted(tallies.items()))


def compose(
    trajectories: Sequence[Trajectory],
    found: Contamination,
    rule: Decontamination,
    *,
    is_dropping: bool,
    sources: Sequence[SourceCount] = (),
) -> Composition:
    """Describe a round's training text.

    Args:
        trajectories: of the round, infrastructure failures apart.
        found: what of them overlaps held-out text.
        rule: by which that was found.
        is_dropping: whether what overlaps a benchmark or another environment is left out.
        sources: of the tokens that were trained on.
    """
    return Composition(
        episodes=len(trajectories),
        tasks=len({t.task.key for t in trajectories}),
        decontamination="dropped" if is_dropping else "reported",
        dropped=len(found.dropped) if is_dropping else 0,
        sources=tuple(sources),
        overlaps=found.overlaps,
        parts=rule.parts,
    )


def _source(stage: str, key: tuple[str, str, str, int, str, str], episodes: int, tokens: int) -> SourceCount:
    environment, split, policy, number, attempt, author = key
    return SourceCount(
        stage=stage,
        environment=environment,
        split=split,
        policy=policy,
        round=number,
        attempt=attempt,
        author=author,
        episodes=episodes,
        tokens=tokens,
    )
