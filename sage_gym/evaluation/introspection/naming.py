"""What decision points can be named by, in words, and how many are named. Imports no model library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sage_gym.config.introspection import NamingSignal

__all__ = ["BASELINES", "SIGNALS", "Signal", "decision_points"]

Signal = Literal[NamingSignal, "last", "random"]
SIGNALS: Mapping[Signal, str] = {
    "attention": "attention traced back from the outcome",
    "flow": "attention flow, weighted by gradient",
    "unusual": "attention flow beyond what is usual at its place",
    "positive": "attention flow, weighted by gradient, only what speaks for failure",
    "rollout": "attention rollout, without gradient",
    "gradient": "input times gradient",
    "entropy": "the policy's entropy at the decision",
    "jump": "jump of the forecast over the turn",
    "leave_one_out": "leave one turn out",
    "last": "rule: the last turns matter",
    "random": "by lot",
}
"""Every signal in words. The last two are what any other has to beat."""
BASELINES: tuple[Signal, ...] = ("last", "random")
assert tuple(SIGNALS) == get_args(Signal)


def decision_points(weights_N: NDArray[np.float64]) -> list[int]:
    """Name the turns of the largest weights, the largest first: one in three, rounded, at least one."""
    count = max(1, round(len(weights_N) / 3))
    return [int(turn) for turn in np.argsort(-weights_N, kind="stable")[:count]]
