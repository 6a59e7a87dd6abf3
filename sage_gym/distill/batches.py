"""Rows to padded tensors, planned so that a run's steps are a pure function of its examples and seed.

Shapes: B rows, T padded length, N sampled tokens, A open ids at a token, F forced tokens, M decisions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from sage_gym.distill.rows import Example
from sage_gym.distill.sharing import Sharing, share

__all__ = ["TrainingBatch", "collate", "plan_steps"]

LENGTH_ROUND = 64
"""Lengths are rounded up to a multiple, because a CPU's matrix kernels are compiled anew for each shape."""
PART_ROWS = 8
"""Rows of like length that one forward pass reads: few distinct shapes, and activations that stay in cache."""
PART_ROUND = 128
TOGETHER = 4
MOST_CARRIED = 4
"""How many times its own tokens a step has at most, where most examples train the forecast alone."""


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """One optimizer step's tensors. Flat indices are into B*T."""

    ids_BT: Tensor
    lengths_B: Tensor
    before_N: Tensor
    """Flat index of the position that predicts each sampled token."""
    labels_N: Tensor
    weights_N: Tensor
    advantages_N: Tensor
    logprobs_N: Tensor
    allowed_NA: Tensor
    """Open ids, padded with -1; a row of -1 alone means every id."""
    before_forced_F: Tensor
    """Flat index of the position before each id that was written without sampling, nothing else being open."""
    forced_F: Tensor
    forced_weights_F: Tensor
    value_M: Tensor
    """Flat index of the last prompt token of each decision."""
    action_M: Tensor
    """Flat index of the last token of each decision."""
    row_M: Tensor
    failed_B: Tensor
    forecast_weights_B: Tensor
    temperature: float
    sharing: Sharing
    """The rows as a tree, which a CPU reads instead of `ids_BT`."""

    def parts(self) -> list[tuple[slice, int]]:
        """Give runs of rows and the length to pad each to: rows lie by length, so that little of a run is padding."""
        longest = self.ids_BT.shape[1]
        parts = []
        for first in range(0, len(self.lengths_B), PART_ROWS):
            rows = slice(first, first + PART_ROWS)
            length = int(self.lengths_B[rows].max())
            parts.append((rows, min(longest, -(-length // PART_ROUND) * PART_ROUND)))
        return parts

    def openings(self) -> list[list[int]]:
        """Give each row's ids before its first sampled one."""
        rows_M, places_M = self.row_M.tolist(), (self.value_M % self.ids_BT.shape[1]).tolist()
        first = dict(zip(reversed(rows_M), reversed(places_M), strict=True))
        ids_BT = self.ids_BT.cpu()
        return [ids_BT[row, : first[row] + 1].tolist() for row in range(len(self.lengths_B))]

    def to(self, device: torch.device) -> TrainingBatch:
        """Return the batch on another device; itself where it is there already."""
        if self.ids_BT.device == device:
            return self
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("temperature", "sharing")}
        return replace(self, **{name: tensor.to(device) for name, tensor in tensors.items()})

    @property
    def token_count(self) -> int:
        """Tokens that are not padding."""
        return int(self.lengths_B.sum())


def plan_steps(examples: Sequence[Example], *, step_tokens: int, seed: int) -> list[list[Example]]:
    """Cut shuffled examples into steps of about `step_tokens` tokens that move the policy.

    Up to `TOGETHER` examples of a task that are most alike stay together, since they are read cheaply so. More would
    be cheaper still, but steps made of a few tasks are noisy. Examples of weight 0, which train the forecast alone, are
    carried along: the fewer episodes have anything to teach, the fewer steps are taken, up to `MOST_CARRIED` times as
    many tokens a step.

    Raises:
        ValueError: nothing to train on.
    """
    if not examples:
        raise ValueError("expected at least one example to train on, got none; selection dropped everything")
    units = _units(examples)
    order = [units[i] for i in np.random.default_rng(seed).permutation(len(units))]
    sizes = np.array([_tokens(unit) for unit in order])
    moving = _tokens([example for example in examples if example.weight > 0])
    count = max(1, round(moving / step_tokens), math.ceil(sizes.sum() / (MOST_CARRIED * step_tokens)))
    step_of = (np.cumsum(sizes) - sizes / 2) * count // sizes.sum()
    steps: dict[int, list[Example]] = {}
    for step, unit in zip(step_of.tolist(), order, strict=True):
        steps.setdefault(step, []).extend(unit)
    return list(steps.values())


def _units(examples: Sequence[Example]) -> list[list[Example]]:
    """Cut each task's examples, in the order of their ids, into runs."""
    tasks: dict[str, list[Example]] = {}
    for example in examples:
        tasks.setdefault(example.row.task or example.row.trajectory, []).append(example)
    units = []
    for own in tasks.values():
        own.sort(key=lambda example: example.row.ids_T.tolist())
        units += [own[at : at + TOGETHER] for at in range(0, len(own), TOGETHER)]
    return units


def _tokens(examples: Sequence[Example]) -> int:
    return sum(len(example.row.ids_T) for example in examples)


def collate(examples: Sequence[Example], *, pad: int) -> TrainingBatch:
    """Pad examples to one batch, the shortest first; see `TrainingBatch`."""
    examples = sorted(examples, key=lambda example: len(example.row.ids_T))
    rows = [example.row for example in examples]
    length = -(-max(len(row.ids_T) for row in rows) // LENGTH_ROUND) * LENGTH_ROUND
    ids_BT = np.full((len(rows), length), pad, dtype=np.int64)
    for index, row in enumerate(rows):
        ids_BT[index, : len(row.ids_T)] = row.ids_T
    starts = np.arange(len(rows)) * length
    return TrainingBatch(
        ids_BT=torch.from_numpy(ids_BT),
        lengths_B=torch.tensor([len(row.ids_T) for row in rows]),
        before_N=_flat([row.sampled_N - 1 for row in rows], starts),
        labels_N=torch.from_numpy(np.concatenate([row.ids_T[row.sampled_N] for row in rows])),
        weights_N=_weights(examples, [len(row.sampled_N) for row in rows]),
        advantages_N=torch.from_numpy(np.concatenate([_advantages(example) for example in examples])),
        logprobs_N=torch.from_numpy(np.concatenate([row.logprobs_N for row in rows])),
        allowed_NA=_allowed([ids for row in rows for ids in row.allowed_N]),
        before_forced_F=_flat([row.forced_F - 1 for row in rows], starts),
        forced_F=torch.from_numpy(np.concatenate([row.ids_T[row.forced_F] for row in rows])),
        forced_weights_F=_weights(examples, [len(row.forced_F) for row in rows]),
        value_M=_flat([row.before_K for row in rows], starts),
        action_M=_flat([row.after_K for row in rows], starts),
        row_M=torch.from_numpy(np.repeat(np.arange(len(rows)), [len(row.before_K) for row in rows])),
        failed_B=torch.tensor([example.failed for example in examples]),
        forecast_weights_B=torch.tensor([example.forecast_weight for example in examples]),
        temperature=_common_temperature([row.temperature for row in rows]),
        sharing=share([row.ids_T for row in rows], length),
    )


def _flat(positions: Sequence[np.ndarray], starts: np.ndarray) -> Tensor:
    return torch.from_numpy(np.concatenate([p + start for p, start in zip(positions, starts, strict=True)]))


def _weights(examples: Sequence[Example], counts: Sequence[int]) -> Tensor:
    """Repeat each example's weight for its tokens."""
    return torch.from_numpy(np.repeat(np.array([e.weight for e in examples], dtype=np.float32), counts))


def _advantages(example: Example) -> np.ndarray:
    if example.advantage_N is None:
        return np.zeros(len(example.row.sampled_N), dtype=np.float32)
    return example.advantage_N.astype(np.float32)


def _allowed(allowed: Sequence[tuple[int, ...] | None]) -> Tensor:
    width = max((len(ids) for ids in allowed if ids), default=1)
    table = np.full((len(allowed), width), -1, dtype=np.int64)
    for index, ids in enumerate(allowed):
        if ids:
            table[index, : len(ids)] = ids
    return torch.from_numpy(table)


def _common_temperature(temperatures: Sequence[float]) -> float:
    distinct = set(temperatures)
    if len(distinct) != 1:
        raise ValueError(f"expected one sampling temperature in a batch, got {sorted(distinct)}")
    return distinct.pop()
