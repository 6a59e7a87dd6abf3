"""What may tell which turns mattered: one weight a turn by each signal, the larger the more.

`attention` is the size of what cutting the turn as a whole would do. Flows and gradient are means over a turn's tokens:
a sum would name the longest turn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sage_gym.evaluation.introspection.attention import Reading
from sage_gym.evaluation.introspection.naming import Signal
from sage_gym.evaluation.introspection.traces import Trace

__all__ = ["signals_of"]

Floats = NDArray[np.float64]


def signals_of(trace: Trace, reading: Reading) -> dict[Signal, Floats]:
    """Return the weights (N) that one pass over a trajectory gives.

    Left out are those that are not to be had (no attention weights, no entropy on record), and those that need more
    than this pass: `unusual`, `leave_one_out`, and the baselines.
    """
    found: dict[Signal, Floats] = {}
    if reading.cut_N is not None:
        found["attention"] = np.abs(reading.cut_N)
    if reading.flow_T is not None:
        found["flow"] = _mean(trace, reading.flow_T["weighted"])
        found["positive"] = _mean(trace, reading.flow_T["positive"])
        found["rollout"] = _mean(trace, reading.flow_T["plain"])
    found["gradient"] = _mean(trace, reading.gradient_T)
    entropies = [turn.decision.entropy for turn in trace.trajectory.turns[: len(trace.spans_N)]]
    if all(entropy is not None for entropy in entropies):
        found["entropy"] = np.array(entropies, dtype=float)
    # from the state before the decision to the state that it led to
    found["jump"] = np.abs(np.diff(reading.course.log_odds_before_K))[: len(trace.spans_N)]
    return found


def _mean(trace: Trace, values_T: Floats) -> Floats:
    return np.array([values_T[start:stop].mean() for start, stop in trace.spans_N])
