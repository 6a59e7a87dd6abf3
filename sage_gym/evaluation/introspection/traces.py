"""Where a trajectory's turns lie in the sequence that the student read, and which of them can be taken away.

    task | decision 0, answer 0 | decision 1, answer 1 | … | decision K-2, answer K-2 | decision K-1

Turn t is what was sampled there and what came of it: the prompt that follows, up to where the next decision begins.
The outcome is read at the last token of the last decision. That decision always stays, and so does the turn before it,
whose answer is the state that it was made in: what is judged is the same final state, whatever is taken away. The task
stays too. So of K turns the first K - 2 can be taken away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sage_gym.distill.rows import rows_of
from sage_gym.types import Trajectory

__all__ = ["FEWEST_TURNS", "Trace", "Traced", "obstacle", "trace_all", "trace_of"]

FEWEST_TURNS = 4
"""Below, a single turn or none could be taken away, and there would be nothing to compare it with."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One trajectory as one sequence. T tokens, K decisions, N = K - 2 turns that can be taken away.

    `spans_N` are their tokens; `before_K` and `after_K` the last token before each decision and its own last one.
    """

    trajectory: Trajectory
    ids_T: NDArray[np.int64]
    before_K: NDArray[np.int64]
    after_K: NDArray[np.int64]
    spans_N: tuple[tuple[int, int], ...]

    @property
    def opening(self) -> int:
        """Count of the ids before the first decision: the task."""
        return int(self.before_K[0]) + 1

    @property
    def end(self) -> int:
        """Where the outcome is read."""
        return int(self.after_K[-1])

    @property
    def lengths_N(self) -> NDArray[np.int64]:
        """Tokens of each turn."""
        return np.array([stop - start for start, stop in self.spans_N], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Traced:
    """Trajectories that can be looked into, and how many cannot, by reason."""

    traces: tuple[Trace, ...]
    left_out: dict[str, int]


def obstacle(trajectory: Trajectory, longest: int | None = None) -> str | None:
    """Say why a trajectory cannot be looked into; None where it can."""
    if trajectory.is_infrastructure:
        return "lost to infrastructure"
    if len(trajectory.turns) < FEWEST_TURNS:
        return f"fewer than {FEWEST_TURNS} turns"
    if any(turn.decision.ledger is None for turn in trajectory.turns):
        return "a turn without token ids (a scripted or a remote policy's)"
    if trajectory.hints:
        return "the policy was shown a critique, which its forecaster must not see"
    if any(turn.decision.ledger and not turn.decision.ledger.is_continuation for turn in trajectory.turns[1:]):
        return "read in several sequences: the last one does not show what came before it"
    if longest is not None and _count(trajectory) > longest:
        return f"more than {longest} tokens"
    return None


def trace_of(trajectory: Trajectory) -> Trace:
    """Lay out a trajectory.

    Raises:
        ValueError: it cannot be looked into; says why.
    """
    reason = obstacle(trajectory)
    if reason is not None:
        raise ValueError(f"{trajectory.id}: {reason}")
    [row] = rows_of(trajectory)
    starts = (row.before_K + 1).tolist()
    return Trace(trajectory, row.ids_T, row.before_K, row.after_K, tuple(pairwise(starts[:-1])))


def trace_all(trajectories: Iterable[Trajectory], longest: int | None = None) -> Traced:
    """Lay out what can be, and count the rest by reason; `longest` bounds the tokens of a trajectory."""
    kept, left_out = [], Counter[str]()
    for trajectory in trajectories:
        reason = obstacle(trajectory, longest)
        if reason is None:
            kept.append(trace_of(trajectory))
        else:
            left_out[reason] += 1
    return Traced(tuple(kept), dict(sorted(left_out.items())))


def _count(trajectory: Trajectory) -> int:
    ledgers = [turn.decision.ledger for turn in trajectory.turns]
    return sum(len(ledger.prompt_ids) + len(ledger.sampled_ids) for ledger in ledgers if ledger is not None)
