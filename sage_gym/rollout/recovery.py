"""Recovery traces: an episode that went well is played again with a wrong action forced at one turn.

The injected action carries no ledger and so no loss; what the policy does to mend it does. Forced mistakes are also an
evaluation of their own (`sage_gym.evaluation.recovery`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from sage_gym.rollout.requests import Injection, Request
from sage_gym.rollout.seeds import derive_seed
from sage_gym.types import Origin, Trajectory

__all__ = [
    "Alternatives",
    "BorrowedActions",
    "ReplayedChoices",
    "forced_mistakes",
    "recorded_candidates",
    "recovery_requests",
]

Alternatives = Callable[[Trajectory, int], Sequence[str]]
"""Gives the actions that were open at a turn of a trajectory."""


def recorded_candidates(trajectory: Trajectory, turn: int) -> list[str]:
    """Give what the policy weighed there."""
    return [candidate.action for candidate in trajectory.turns[turn].decision.candidates]


class ReplayedChoices:
    """Gives every choice of the environment's view there, by taking the trajectory's actions again.

    Args:
        environment: one with a `view`, used by nobody else meanwhile; its owner closes it.
    """

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        self._last = ""
        self._open: list[tuple[str, ...]] = []

    def __call__(self, trajectory: Trajectory, turn: int) -> tuple[str, ...]:
        """Give the actions; a trajectory is replayed once for all of its turns."""
        if self._last != trajectory.id:
            self._open = self._replay(trajectory)
            self._last = trajectory.id
        return self._open[turn]

    def _replay(self, trajectory: Trajectory) -> list[tuple[str, ...]]:
        environment = self._environment
        environment.reset(seed=trajectory.seed, options={"task": trajectory.task.key})
        found = []
        for turn in trajectory.turns:
            found.append(tuple(choice.action for choice in environment.unwrapped.view().choices))
            environment.step(turn.decision.action)
        return found


class BorrowedActions:
    """Gives what was done at the same turn on other tasks: for environments whose actions cannot be listed.

    Such an action is well formed, and was right for another task. Last actions are left out: they end an episode.

    Args:
        trajectories: to borrow from.
    """

    def __init__(self, trajectories: Sequence[Trajectory]) -> None:
        self._taken: dict[int, dict[str, str]] = defaultdict(dict)
        for trajectory in trajectories:
            for index, turn in enumerate(trajectory.turns[:-1]):
                if not turn.is_invalid:
                    self._taken[index].setdefault(turn.decision.action, trajectory.task.key)

    def __call__(self, trajectory: Trajectory, turn: int) -> list[str]:
        """Give the actions, in the order in which they were first taken."""
        return [action for action, key in self._taken[turn].items() if key != trajectory.task.key]


def recovery_requests(
    trajectories: Sequence[Trajectory],
    *,
    seed: int,
    alternatives: Alternatives = recorded_candidates,
    recovers: Origin = Origin.POLICY,
) -> list[Request]:
    """Ask for each success again, with one mistake forced at a turn drawn by `seed`.

    The episode's own seed is kept: played by the policy that made it (same weights, same decoding, same wrappers),
    everything before the mistake is as it was, and is trained on again. Episodes that were hinted or injected, and
    those in which no other action was open, are left out.

    Args:
        trajectories: infrastructure failures and failures are left out.
        seed: of the draw.
        alternatives: what could have been done instead.
        recovers: `POLICY`, or `EXPERT` for the environment's expert to take over (its turns carry no ledger).

    Raises:
        ValueError: another origin.
    """
    if recovers not in (Origin.POLICY, Origin.EXPERT):
        raise ValueError(f"expected the policy or the expert to recover, got {recovers.value!r}")
    requests = []
    for trajectory in trajectories:
        mistake = _find_mistake(trajectory, seed, alternatives)
        if mistake is not None:
            requests.append(
                Request(
                    trajectory.task,
                    trajectory.attempt,
                    trajectory.seed,
                    prefix=(mistake,),
                    expert_from=mistake.turn + 1 if recovers is Origin.EXPERT else None,
                    label="recovery",
                )
            )
    return requests


def forced_mistakes(
    trajectories: Sequence[Trajectory],
    *,
    seed: int,
    alternatives: Alternatives = recorded_candidates,
    turn: int | None = None,
) -> list[Request]:
    """Ask for one success of each task again with everything forced up to and including a mistake.

    Whatever policy plays these is put in the same state, so that students can be compared on them.

    Args:
        trajectories: the first success of a task counts; infrastructure failures and failures are left out.
        seed: of the draw.
        alternatives: what could have been done instead.
        turn: of the mistake, counted from 0; None draws it. Successes that are shorter are left out.
    """
    requests: dict[str, Request] = {}
    for trajectory in trajectories:
        if trajectory.task.key in requests:
            continue
        mistake = _find_mistake(trajectory, seed, alternatives, turn)
        if mistake is not None:
            before = [Injection(i, t.decision.action) for i, t in enumerate(trajectory.turns[: mistake.turn])]
            prefix = (*before, mistake)
            requests[trajectory.task.key] = Request(
                trajectory.task, trajectory.attempt, trajectory.seed, prefix=prefix, label="mistake"
            )
    return list(requests.values())


def _find_mistake(
    trajectory: Trajectory, seed: int, alternatives: Alternatives, at: int | None = None
) -> Injection | None:
    """Draw a turn, or take the one asked for, and an action that was open there and that the trajectory takes nowhere.

    What the trajectory takes at another turn may be right, and its last action ends the episode: neither is a mistake
    to recover from. Free text that is still to be filled in (`search[]`) is no action.
    """
    is_own = all(turn.decision.origin is Origin.POLICY for turn in trajectory.turns)
    if not trajectory.success or trajectory.hints or not is_own:
        return None
    random = Random(derive_seed("mistake", seed, trajectory.id))
    taken = {turn.decision.action for turn in trajectory.turns}
    length = len(trajectory.turns)
    places = random.sample(range(length), length) if at is None else [at] * (at < length)
    for turn in places:
        wrong = [a for a in dict.fromkeys(alternatives(trajectory, turn)) if _is_action(a) and a not in taken]
        if wrong:
            return Injection(turn, random.choice(wrong))
    return None


def _is_action(text: str) -> bool:
    return bool(text) and not text.endswith("[]")
