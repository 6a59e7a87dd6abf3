"""Attention beyond what a turn's place usually gets.

Where a turn stands decides most of the attention that it receives, in every episode alike: the latest page, the first
choice on it. That says nothing of this episode. So a turn's flow w is held against those of other tasks' turns at the
same place, on the scale of logarithms: z = (log w − mean) / standard deviation. The place is exact (as many turns from
the first, of as many); with fewer than `FEWEST` others there it is the count from the first alone, then any.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sage_gym.evaluation.introspection.traces import Trace

__all__ = ["FEWEST", "PlacedFlows", "beyond_place"]

Floats = NDArray[np.float64]
FEWEST = 8
"""Turns of a place, below which there is no telling what is usual."""
LEAST_FLOW, LEAST_SPREAD = 1e-30, 1e-9
"""What a flow of nothing is taken for, which has no logarithm; and the spread that rounding alone gives equal ones."""


@dataclass(frozen=True, slots=True)
class PlacedFlows:
    """One episode's task and the flow to each of its N turns."""

    task: str
    flow_N: Floats

    @classmethod
    def of(cls, trace: Trace, flow_N: Floats) -> PlacedFlows:
        """Take an episode's flow with its task."""
        return cls(trace.trajectory.task.key, flow_N)


def beyond_place(episodes: Sequence[PlacedFlows], others: Iterable[PlacedFlows] = ()) -> list[Floats]:
    """Return z (N) of each episode's turns, against those of all these episodes but its own task's."""
    usual = _Usual()
    for episode in (*episodes, *others):
        usual.add(episode)
    return [usual.standardise(episode) for episode in episodes]


class _Usual:
    """Logarithms of flows with their tasks, by place, from the exact one to any."""

    def __init__(self) -> None:
        self._found: dict[tuple[int | None, ...], list[tuple[str, float]]] = defaultdict(list)

    def add(self, episode: PlacedFlows) -> None:
        """Note an episode's flows."""
        for turn, flow in enumerate(episode.flow_N.tolist()):
            for place in _places(turn, len(episode.flow_N)):
                self._found[place].append((episode.task, _log(flow)))

    def standardise(self, episode: PlacedFlows) -> Floats:
        """Return z of an episode's turns; 0 where nothing is usual."""
        count = len(episode.flow_N)
        return np.array([self._z(episode, turn, count) for turn in range(count)])

    def _z(self, episode: PlacedFlows, turn: int, count: int) -> float:
        for place in _places(turn, count):
            values = np.array([value for task, value in self._found[place] if task != episode.task])
            if len(values) >= FEWEST and (spread := float(values.std(ddof=1))) > LEAST_SPREAD:
                return (_log(episode.flow_N[turn]) - float(values.mean())) / spread
        return 0.0


def _log(flow: float) -> float:
    return math.log(max(float(flow), LEAST_FLOW))


def _places(turn: int, count: int) -> tuple[tuple[int | None, ...], ...]:
    return ((turn, count), (turn, None), (None, None))
