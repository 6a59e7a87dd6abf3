"""A trajectory without some of its turns, as ids and positions.

Three ways, of which the first is the one that is judged by, the others are shown beside it:

- *knocked out*: the turns' tokens are gone for everything behind them, and nothing else changes. Every other token
  keeps its position, hence its distance to all others. The same as masking the tokens from all attention (attention
  knock-out; Geva et al. 2023, arXiv 2304.14767).
- *closed up*: the tokens are cut out and what follows moves up, so that no gap is left that the model has never seen.
  But every distance across the cut changes, which moves the forecast by itself.
- *replaced*: another episode's turn of the same place stands there instead, the closest in length; what follows moves.

And a control: *shifted*, where nothing is taken away and what follows moves back by the turn's length. It tells how
much of what closing up does is the change of distances alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sage_gym.evaluation.introspection.traces import Trace

__all__ = ["Variant", "closed_up", "donors_of", "knocked_out", "place_of", "replaced", "shifted", "whole"]


@dataclass(frozen=True, slots=True)
class Variant:
    """A sequence to be judged at its last token: ids and positions (T), and how many ids the task takes."""

    ids_T: NDArray[np.int64]
    positions_T: NDArray[np.int64]
    opening: int


def whole(trace: Trace) -> Variant:
    """Return a trajectory as it is."""
    return knocked_out(trace, ())


def knocked_out(trace: Trace, turns: Collection[int]) -> Variant:
    """Return a trajectory without these turns, everything else where it was."""
    kept_T = _kept(trace, turns)
    return Variant(trace.ids_T[kept_T], kept_T, trace.opening)


def closed_up(trace: Trace, turns: Collection[int]) -> Variant:
    """Return a trajectory without these turns, what follows moved up."""
    kept_T = _kept(trace, turns)
    return Variant(trace.ids_T[kept_T], np.arange(len(kept_T)), trace.opening)


def replaced(trace: Trace, turn: int, donor: Trace) -> Variant:
    """Return a trajectory with the donor's turn in the place of its own."""
    start, stop = trace.spans_N[turn]
    first, last = donor.spans_N[turn]
    parts = (trace.ids_T[:start], donor.ids_T[first:last], trace.ids_T[stop : trace.end + 1])
    ids_T = np.concatenate(parts)
    return Variant(ids_T, np.arange(len(ids_T)), trace.opening)


def shifted(trace: Trace, turn: int) -> Variant:
    """Return a whole trajectory in which what follows a turn has moved back by its length."""
    start, stop = trace.spans_N[turn]
    places_T = np.arange(trace.end + 1)
    return Variant(trace.ids_T[: trace.end + 1], places_T + (stop - start) * (places_T >= stop), trace.opening)


def place_of(trace: Trace, turn: int) -> tuple[int, int]:
    """Return where a turn stands: counted from the first, and how many turns there are."""
    return turn, len(trace.spans_N)


def donors_of(traces: Sequence[Trace], seed: int) -> list[tuple[Trace | None, ...]]:
    """Return for each turn of each trajectory the episode that lends one: of another task, closest in length.

    None where no other task's episode has a turn of that place with another content. Ties are broken by lot.
    """
    lot = np.random.default_rng([seed, 17]).permutation(len(traces))
    places: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index in lot.tolist():
        for turn in range(len(traces[index].spans_N)):
            places[place_of(traces[index], turn)].append(index)
    return [
        tuple(_donor(trace, turn, [traces[i] for i in places[place_of(trace, turn)]]) for turn in _turns(trace))
        for trace in traces
    ]


def _donor(trace: Trace, turn: int, others: Sequence[Trace]) -> Trace | None:
    key, length, own = trace.trajectory.task.key, int(trace.lengths_N[turn]), _ids(trace, turn)
    other_tasks = [other for other in others if other.trajectory.task.key != key]
    able = [other for other in other_tasks if not np.array_equal(_ids(other, turn), own)]
    return min(able, key=lambda other: abs(int(other.lengths_N[turn]) - length), default=None)


def _ids(trace: Trace, turn: int) -> NDArray[np.int64]:
    start, stop = trace.spans_N[turn]
    return trace.ids_T[start:stop]


def _turns(trace: Trace) -> range:
    return range(len(trace.spans_N))


def _kept(trace: Trace, turns: Collection[int]) -> NDArray[np.int64]:
    """Return the places up to the end that are in none of these turns."""
    is_kept_T = np.ones(trace.end + 1, dtype=bool)
    for turn in turns:
        start, stop = trace.spans_N[turn]
        is_kept_T[start:stop] = False
    return np.flatnonzero(is_kept_T)
