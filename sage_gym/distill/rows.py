"""From trajectories to token rows: what was fed and sampled, as it was, with what the losses need at each position.

A ledger's decisions that continue one another become one row; a decision that starts anew starts a row. Nothing is
re-tokenised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sage_gym.distill.hints import without_hints
from sage_gym.types import Origin, Trajectory, Turn

__all__ = ["Example", "Row", "rows_of"]


@dataclass(frozen=True, slots=True)
class Row:
    """One append-only token sequence of a trajectory.

    T tokens, N of them sampled by the policy, K decisions. `sampled_N` holds positions in `ids_T` (never 0: the
    token at position t is predicted from t - 1). `turn_N` and `turn_K` index the trajectory's turns.
    `before_K` is the last prompt token of a decision, `after_K` its last one. `forced_F` holds the positions of ids
    that the policy wrote without sampling, because its restriction left no other open.
    """

    trajectory: str
    ids_T: NDArray[np.int64]
    sampled_N: NDArray[np.int64]
    logprobs_N: NDArray[np.float32]
    turn_N: NDArray[np.int64]
    allowed_N: tuple[tuple[int, ...] | None, ...]
    before_K: NDArray[np.int64]
    after_K: NDArray[np.int64]
    turn_K: NDArray[np.int64]
    forced_F: NDArray[np.int64]
    temperature: float = 1.0
    task: str = ""
    """Key of the task, whose rows are likely to begin alike."""


@dataclass(frozen=True, slots=True)
class Example:
    """A row with what training makes of it.

    Args:
        row: see there.
        weight: of each sampled token in the cross-entropy; 0 trains the forecast alone.
        advantage_N: of each sampled token in the policy gradient, None in the distillation stage.
        failed: 1.0 when the finished episode did not succeed.
        forecast_weight: of the episode in the forecast's loss (inverse probability, when oversampled).
    """

    row: Row
    weight: float = 1.0
    advantage_N: NDArray[np.float32] | None = None
    failed: float = 0.0
    forecast_weight: float = 1.0


@dataclass(slots=True)
class _Builder:
    """Grows one row, decision by decision."""

    trajectory: str
    temperature: float
    task: str
    ids: list[int] = field(default_factory=list)
    sampled: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    turns_sampled: list[int] = field(default_factory=list)
    allowed: list[tuple[int, ...] | None] = field(default_factory=list)
    before: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    forced: list[int] = field(default_factory=list)

    def append(self, index: int, turn: Turn) -> None:
        ledger = turn.decision.ledger
        assert ledger is not None
        self.ids += ledger.prompt_ids
        self.before.append(len(self.ids) - 1)
        is_own = turn.decision.origin is not Origin.INJECTED
        for position, is_sampled in enumerate(ledger.mask if is_own else ()):
            allowed = ledger.allowed[position] if ledger.allowed else None
            if is_sampled:
                self.sampled.append(len(self.ids) + position)
                self.logprobs.append(ledger.logprobs[position])
                self.turns_sampled.append(index)
                self.allowed.append(allowed)
            elif allowed is not None:
                self.forced.append(len(self.ids) + position)
        self.ids += ledger.sampled_ids
        self.after.append(len(self.ids) - 1)
        self.turns.append(index)

    def build(self) -> Row:
        return Row(
            self.trajectory,
            np.asarray(self.ids, dtype=np.int64),
            np.asarray(self.sampled, dtype=np.int64),
            np.asarray(self.logprobs, dtype=np.float32),
            np.asarray(self.turns_sampled, dtype=np.int64),
            tuple(self.allowed),
            np.asarray(self.before, dtype=np.int64),
            np.asarray(self.after, dtype=np.int64),
            np.asarray(self.turns, dtype=np.int64),
            np.asarray(self.forced, dtype=np.int64),
            self.temperature,
            self.task,
        )


def rows_of(trajectory: Trajectory) -> Iterator[Row]:
    """Yield a trajectory's rows in order; turns without a ledger (scripted policies) are left out, and so are hints.

    Raises:
        ValueError: a decision claims to continue a sequence that is not there, or hints that cannot be left out.
    """
    trajectory = without_hints(trajectory)
    builder: _Builder | None = None
    for index, turn in enumerate(trajectory.turns):
        ledger = turn.decision.ledger
        if ledger is None:
            if builder is not None:
                yield builder.build()
            builder = None
            continue
        if not ledger.is_continuation:
            if builder is not None:
                yield builder.build()
            builder = _Builder(trajectory.id, ledger.temperature, trajectory.task.key)
        if builder is None:
            raise ValueError(f"turn {index} of {trajectory.id} continues a sequence, but none was started before it")
        builder.append(index, turn)
    if builder is not None:
        yield builder.build()
