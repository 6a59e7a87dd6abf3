"""The inverse pass of each training step: which traces it reads, and the markers around them in a tokenizer's ids."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from sage_gym.distill.inverse import (
    InverseBatch,
    InverseTokens,
    collate,
    inverse_row,
    is_trace_dropped,
    trace_of,
)
from sage_gym.distill.rows import Example
from sage_gym.types import Task, Trajectory

__all__ = ["InversePasses", "instruction_ids", "markers_of"]

MARKERS = {"inverse": "<inverse>", "success": "<success>", "failure": "<failure>"}
WORDS = {"inverse": "\nThe task was:", "success": "\nOutcome: success", "failure": "\nOutcome: failure"}
LONGEST = 1024


def markers_of(tokenizer: PreTrainedTokenizerBase) -> InverseTokens:
    """Return the markers: tokens of their own where the tokenizer has them, else words."""
    vocabulary = tokenizer.get_vocab()
    has_own = all(token in vocabulary for token in MARKERS.values())

    def ids(name: str) -> tuple[int, ...]:
        if has_own:
            return (int(vocabulary[MARKERS[name]]),)
        return tuple(tokenizer.encode(WORDS[name], add_special_tokens=False))

    start = () if has_own or tokenizer.bos_token_id is None else (int(tokenizer.bos_token_id),)
    return InverseTokens(ids("inverse"), ids("success"), ids("failure"), start)


def instruction_ids(tokenizer: PreTrainedTokenizerBase, task: Task) -> tuple[int, ...]:
    """Return a task's instruction in the tokenizer's ids."""
    return tuple(tokenizer.encode(task.instruction, add_special_tokens=False))


class InversePasses:
    """Makes the inverse rows that go with a step's examples.

    Args:
        tokenizer: the student's.
        trajectories: those that examples may stem from.
        empty_share: of passes whose trace is dropped, which train P(x | nothing).
        seed: of the lot.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, trajectories: Sequence[Trajectory], empty_share: float, seed: int
    ) -> None:
        self._tokenizer, self._markers = tokenizer, markers_of(tokenizer)
        self._by_id = {trajectory.id: trajectory for trajectory in trajectories}
        self._empty_share, self._seed = empty_share, seed

    def batch(self, step: Sequence[Example], epoch: int, pad: int) -> InverseBatch | None:
        """Return the rows of a step's weighted trajectories, one each; None where it has none."""
        ids = dict.fromkeys(example.row.trajectory for example in step if example.weight > 0)
        rows = []
        for identifier in ids:
            trajectory = self._by_id[identifier]
            is_dropped = is_trace_dropped(identifier, self._seed + epoch, self._empty_share)
            trace = None if is_dropped else trace_of(trajectory)
            x = instruction_ids(self._tokenizer, trajectory.task)
            rows.append(inverse_row(trace, x, self._markers, max_tokens=LONGEST))
        return collate(rows, pad) if rows else None
