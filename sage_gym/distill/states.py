"""Baselines from the states that a task's episodes share: what the others made of the same place.

After GiGPO (arXiv 2505.10978), which groups the steps of a task's episodes by the state they start from. Here the
shared states give a baseline and not a second advantage, so that the gradient stays unbiased: b_t of an episode is a
function of the other episodes' returns and of what lay before its own decision t.

    b_0 = mean of the others' returns
    b_t = (sum over the n others that came to s_t of R + PRIOR·b_{t-1}) / (n + PRIOR)

A state that no other episode came to has its predecessor's baseline. An action that leads from a good state to a bad
one is charged with the difference, and the decisions that follow it are not. Left out: discounting, and states that
are alike without being equal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sage_gym.types import Trajectory

__all__ = ["PRIOR", "state_baselines", "states_of"]

PRIOR = 1.0
"""How many episodes the predecessor's baseline counts for."""

State = tuple[str, str, int, tuple[str, ...]]


def states_of(trajectory: Trajectory) -> Iterator[State]:
    """Yield the state that each turn of an episode starts from, as far as it can be told from what was observed.

    A state is the task, the observation, how often the episode had come to that observation before, and the distinct
    actions taken since it came to it last (an option that was chosen may not show in what is observed).
    """
    visits: dict[str, int] = {}
    present, taken = None, set[str]()
    for turn in trajectory.turns:
        if turn.observation != present:
            present, taken = turn.observation, set()
            visits[present] = visits.get(present, 0) + 1
        yield trajectory.task.key, turn.observation, visits[turn.observation], tuple(sorted(taken))
        taken.add(turn.decision.action)


def state_baselines(
    trajectories: Sequence[Trajectory], returns_B: NDArray[np.float64], first_B: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Return each turn's baseline, `first_B` being that of the first turns: the mean of the task's other episodes."""
    paths = [list(states_of(trajectory)) for trajectory in trajectories]
    total: dict[State, float] = defaultdict(float)
    count: dict[State, int] = defaultdict(int)
    for path, value in zip(paths, returns_B, strict=True):
        for state in set(path):
            total[state] += value
            count[state] += 1
    return tuple(
        np.array(list(_along(path, value, first, total, count)))
        for path, value, first in zip(paths, returns_B.tolist(), first_B.tolist(), strict=True)
    )


def _along(
    path: Sequence[State], value: float, first: float, total: dict[State, float], count: dict[State, int]
) -> Iterator[float]:
    baseline = first
    for number, state in enumerate(path):
        if number:
            baseline = (total[state] - value + PRIOR * baseline) / (count[state] - 1 + PRIOR)
        yield baseline
