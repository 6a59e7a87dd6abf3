"""Turns that were named, each with one that was not: of another task's episode, the same place, and like length.

The place is exact: as many turns from the first, in an episode of as many turns. Lengths differ by a quarter at most.
No turn stands in two pairs. Within a place the pairing is the one that has the most pairs, and of those the one whose
lengths are closest (an assignment problem).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

__all__ = ["CALIPER", "Pair", "Placed", "match"]

CALIPER = 1.25
"""The longer turn has at most so many times the tokens of the shorter."""
FORBIDDEN = 1e6


@dataclass(frozen=True, slots=True)
class Placed:
    """A turn of an episode, as far as pairing looks at it."""

    episode: int
    turn: int
    task: str
    place: tuple[int, int]
    length: int
    is_named: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """A named turn and the one that it is held against."""

    named: Placed
    other: Placed


def match(turns: Sequence[Placed]) -> list[Pair]:
    """Pair as many named turns as can be."""
    places: dict[tuple[int, int], list[Placed]] = defaultdict(list)
    for turn in turns:
        places[turn.place].append(turn)
    return [pair for place in sorted(places) for pair in _match_place(places[place])]


def _match_place(turns: Sequence[Placed]) -> list[Pair]:
    named, others = [t for t in turns if t.is_named], [t for t in turns if not t.is_named]
    if not named or not others:
        return []
    costs = _costs(named, others)
    rows, columns = linear_sum_assignment(costs)
    chosen = zip(rows.tolist(), columns.tolist(), strict=True)
    return [Pair(named[row], others[column]) for row, column in chosen if costs[row, column] < FORBIDDEN]


def _costs(named: Sequence[Placed], others: Sequence[Placed]) -> NDArray[np.float64]:
    lengths = [np.log([max(1, turn.length) for turn in side]) for side in (named, others)]
    costs: NDArray[np.float64] = np.abs(lengths[0][:, None] - lengths[1][None])
    is_same_task = np.array([turn.task for turn in named])[:, None] == np.array([turn.task for turn in others])[None]
    costs[is_same_task | (costs > math.log(CALIPER) + 1e-9)] = FORBIDDEN
    return costs
