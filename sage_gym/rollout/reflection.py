"""After a failed episode: a critique in words, and a second attempt that is shown it.

The critique is made of what the attempt itself showed (its actions, its end, the environment's account of its reward),
never of the task's hidden goal. It is shown to the policy through `Context.hints` and left out of training.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

from sage_gym.rollout.requests import Request
from sage_gym.rollout.seeds import derive_seed
from sage_gym.types import Origin, StopReason, Trajectory

__all__ = ["FactualCritique", "Reflect", "second_attempts"]

Reflect = Callable[[Trajectory], str]
"""A critique in words of a failed attempt; empty where there is nothing to say, and then there is no second attempt."""

ENDS: Mapping[StopReason, str] = {
    StopReason.MAX_TURNS: "It ran out of turns before it was finished.",
    StopReason.TURN_TOKENS: "A decision was too long to be finished.",
    StopReason.EPISODE_TOKENS: "It used up its words before it was finished.",
    StopReason.WALL_CLOCK: "It ran out of time before it was finished.",
}


@dataclass(frozen=True, slots=True)
class FactualCritique:
    """Says what fell short, from facts alone; the same for the same trajectory.

    Args:
        meanings: what it means that a component of the reward is below 1, by the component's name. Others are not
            mentioned, nor is a component `r_<x>` whose weight `w_<x>` is 0.
        components_key: where in `Trajectory.info` the components stand.
        actions: how many of the last actions are told.
    """

    meanings: Mapping[str, str] = field(default_factory=dict)
    components_key: str = "reward_components"
    actions: int = 6

    @classmethod
    def of(cls, environment: Any) -> FactualCritique:
        """Take the meanings that an environment states in `shortfalls`; none where it states none."""
        return cls(meanings=dict(getattr(environment.unwrapped, "shortfalls", {})))

    def __call__(self, trajectory: Trajectory) -> str:
        """Return the critique; empty for a success and for what was infrastructure."""
        if trajectory.success or trajectory.is_infrastructure:
            return ""
        end = ENDS.get(trajectory.stop_reason, f"It was finished with a score of {trajectory.reward:.2f} of 1.")
        parts = [end, *self._shortfalls(trajectory), *_missteps(trajectory), *self._actions(trajectory)]
        return " ".join(parts)

    def _shortfalls(self, trajectory: Trajectory) -> list[str]:
        stated = trajectory.info.get(self.components_key)
        found = stated if isinstance(stated, Mapping) else {}
        return [
            f"{meaning[:1].upper()}{meaning[1:]}."
            for name, meaning in self.meanings.items()
            if isinstance(value := found.get(name), Real) and value < 1 and found.get(f"w_{name[2:]}", 1) != 0
        ]

    def _actions(self, trajectory: Trajectory) -> list[str]:
        taken = [turn.decision.action for turn in trajectory.turns][-self.actions :] if self.actions else []
        return [f"It ended with: {', '.join(taken)}."] if taken else []


def _missteps(trajectory: Trajectory) -> list[str]:
    """Tell actions that were not possible where they were tried, and the one most often repeated in place."""
    invalid = [turn.decision.action for turn in trajectory.turns if turn.is_invalid]
    told = [f"{len(invalid)} of its actions were not possible, such as {invalid[-1]}."] if invalid else []
    in_place = Counter((turn.observation, turn.decision.action) for turn in trajectory.turns)
    [((_, action), times)] = in_place.most_common(1) or [(("", ""), 0)]
    return [*told, f"It did {action} {times} times in the same place."] if times > 1 else told


def second_attempts(trajectories: Sequence[Trajectory], reflect: Reflect) -> list[Request]:
    """Ask for another attempt, critique in hand, at each that failed by the policy's own doing.

    Its seed is another, derived from the first's; earlier hints are kept, so that an attempt may be reflected on
    again. Episodes with an injected mistake are left out.
    """
    requests = []
    for trajectory in trajectories:
        if trajectory.success or trajectory.is_infrastructure or _has_injection(trajectory):
            continue
        critique = reflect(trajectory)
        if critique:
            hints = (*trajectory.hints, critique)
            seed = derive_seed("reflection", trajectory.seed)
            request = Request(trajectory.task, trajectory.attempt, seed, hints=hints)
            requests.append(replace(request, label=f"reflection-{len(hints)}"))
    return requests


def _has_injection(trajectory: Trajectory) -> bool:
    return any(turn.decision.origin is Origin.INJECTED for turn in trajectory.turns)
