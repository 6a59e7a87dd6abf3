"""Rows that begin alike are read once: a batch as a tree of its prefixes, packed into one sequence.

The episodes of a group have the task, often the first search and its results in common, and some are the same
throughout. Each distinct prefix is one node of the tree; a node's hidden state is that of every row that goes through
it, so that losses and gradients are those of the rows read one by one. Packing also does without padding.

The tree is cut into segments, runs of nodes without a branching, of at most `SEGMENT` nodes each. A segment's queries
meet the keys of the segments above it, and its own causally. For causal models with plain full attention, on a CPU:
elsewhere launching so many small kernels costs more than it saves.
Shapes: N nodes (packed), B rows, T tokens of the longest row, A query heads, D head width, H hidden.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from sage_gym.blockwise import check_plain, replaced_attention, with_equal_heads

__all__ = ["Sharing", "read_shared", "share"]

IMPLEMENTATION = "sage_gym_shared"
SEGMENT = 128
ROUND = 256
"""Packed lengths are rounded up to a multiple, because a CPU's matrix kernels are compiled anew for each shape."""
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Segment:
    """Nodes `start` to `end`, and the spans of nodes above them, from the root."""

    start: int
    end: int
    above: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Sharing:
    """The tree of a batch's rows. `place_BT` is flat: the node of each token of each row (0 at padding)."""

    ids_N: Tensor
    position_N: Tensor
    place_BT: Tensor
    segments: tuple[Segment, ...]

    @property
    def node_count(self) -> int:
        """Distinct prefixes, padding left out."""
        return sum(segment.end - segment.start for segment in self.segments)


def share(rows: Sequence[NDArray[np.int64]], length: int) -> Sharing:
    """Build the tree of these rows, whose flat indices are into `len(rows) * length`."""
    order = sorted(range(len(rows)), key=lambda index: rows[index].tolist())
    tree = _Tree([rows[index] for index in order], np.zeros((len(rows), length), dtype=np.int64))
    tree.grow(0, len(rows), 0, ())
    place_BT = np.empty_like(tree.place_BT)
    place_BT[order] = tree.place_BT
    padding = -tree.size % ROUND
    return Sharing(
        torch.from_numpy(np.concatenate([*tree.ids, np.zeros(padding, dtype=np.int64)])),
        torch.from_numpy(np.concatenate([*tree.positions, np.zeros(padding, dtype=np.int64)])),
        torch.from_numpy(place_BT.reshape(-1)),
        tuple(tree.segments),
    )


@dataclass(slots=True)
class _Tree:
    """Grows the tree of sorted rows depth first, so that a node's first child lies behind it."""

    rows: Sequence[NDArray[np.int64]]
    place_BT: NDArray[np.int64]
    size: int = 0
    ids: list[NDArray[np.int64]] = field(default_factory=list)
    positions: list[NDArray[np.int64]] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)

    def grow(self, low: int, high: int, depth: int, above: tuple[Span, ...]) -> None:
        """Add what rows `low` to `high` hold behind their common first `depth` tokens."""
        end = _common_length(self.rows[low], self.rows[high - 1], depth)
        for start in range(depth, end, SEGMENT):
            above = self._add(low, high, (start, min(end, start + SEGMENT)), above)
        for first, last in self._branches(low, high, end):
            self.grow(first, last, end, above)

    def _add(self, low: int, high: int, span: Span, above: tuple[Span, ...]) -> tuple[Span, ...]:
        """Add one segment; return the spans above what follows it, neighbours joined."""
        start, self.size = self.size, self.size + span[1] - span[0]
        self.ids.append(self.rows[low][span[0] : span[1]])
        self.positions.append(np.arange(*span))
        self.place_BT[low:high, span[0] : span[1]] = np.arange(start, self.size)
        self.segments.append(Segment(start, self.size, above))
        if above and above[-1][1] == start:
            return (*above[:-1], (above[-1][0], self.size))
        return (*above, (start, self.size))

    def _branches(self, low: int, high: int, depth: int) -> Iterator[tuple[int, int]]:
        """Yield the runs of rows that go on with the same token; rows that end here come first and are left out."""
        while low < high and len(self.rows[low]) == depth:
            low += 1
        for at in range(low + 1, high + 1):
            if at == high or self.rows[at][depth] != self.rows[low][depth]:
                yield low, at
                low = at


def _common_length(first: NDArray[np.int64], last: NDArray[np.int64], known: int) -> int:
    """Return the length of the common prefix; of sorted rows it is that of all between them too."""
    length = min(len(first), len(last))
    differs = np.flatnonzero(first[known:length] != last[known:length])
    return known + int(differs[0]) if differs.size else length


def read_shared(model: PreTrainedModel, backbone: torch.nn.Module, sharing: Sharing) -> Tensor | None:
    """Return the last hidden state of every node (N, H); None where the model cannot be read so."""
    with replaced_attention(model, IMPLEMENTATION) as is_replaced:
        if not is_replaced:
            return None
        found: Any = backbone(
            input_ids=sharing.ids_N[None], position_ids=sharing.position_N[None], use_cache=False, sharing=sharing
        )
    hidden: Tensor = found.last_hidden_state[0]
    return hidden


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sharing: Sharing | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of packed nodes `(1, A, N, D)` to what lies above them; gives `(1, N, A, D)`."""
    check_plain(module, attention_mask, kwargs)
    if sharing is None or dropout:
        raise ValueError(f"expected the keyword `sharing` and no dropout in {type(module).__name__}, got {dropout=}")
    query, key, value = with_equal_heads(query, key, value)
    query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    output: Tensor = _TreeAttention.apply(query[0], key[0], value[0], sharing)  # type: ignore[no-untyped-call]
    return output.transpose(0, 1)[None], None


class _TreeAttention(torch.autograd.Function):
    """softmax(q kᵀ) v along the tree, `(A, N, D)`.

    With a backward pass of its own, because that of a slice is a whole tensor of zeros: of thousands of slices, these
    took most of a step's time. The gradients of keys and values are summed in float32. Attention weights are computed
    again instead of kept, which takes less memory and no more time.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, sharing: Sharing) -> Tensor:
        output = torch.empty_like(query)
        ahead = query.new_full((SEGMENT, SEGMENT), float("-inf")).triu(1)
        for segment in sharing.segments:
            spans, own = _spans(segment), slice(segment.start, segment.end)
            output[:, own] = _weights(query[:, own], _gather(key, spans), ahead) @ _gather(value, spans)
        output[:, sharing.node_count :] = value[:, sharing.node_count :]  # padding, which nothing looks at
        ctx.save_for_backward(query, key, value)
        ctx.sharing = sharing
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value = ctx.saved_tensors
        ahead = query.new_full((SEGMENT, SEGMENT), float("-inf")).triu(1)
        of_query = torch.zeros_like(query)
        of_key, of_value = (torch.zeros_like(states, dtype=torch.float32) for states in (key, value))
        for segment in ctx.sharing.segments:
            spans, own = _spans(segment), slice(segment.start, segment.end)
            keys = _gather(key, spans)
            p = _weights(query[:, own], keys, ahead)
            of_p = gradient[:, own] @ _gather(value, spans).transpose(1, 2)
            of_scores = torch._softmax_backward_data(of_p, p, -1, p.dtype)
            of_query[:, own] = of_scores @ keys
            _add(of_key, spans, of_scores.transpose(1, 2) @ query[:, own])
            _add(of_value, spans, p.transpose(1, 2) @ gradient[:, own])
        return of_query, of_key.to(key.dtype), of_value.to(value.dtype), None


def _weights(query: Tensor, keys: Tensor, ahead: Tensor) -> Tensor:
    """Return a segment's attention weights `(A, n, m)`; its own keys are the last n, of which it sees those before."""
    count = query.shape[1]
    scores = query @ keys.transpose(1, 2)
    scores[..., -count:] += ahead[:count, :count]
    return scores.softmax(-1)


def _add(total: Tensor, spans: Sequence[Span], states: Tensor) -> None:
    done = 0
    for first, last in spans:
        total[:, first:last] += states[:, done : done + last - first]
        done += last - first


def _spans(segment: Segment) -> tuple[Span, ...]:
    if segment.above and segment.above[-1][1] == segment.start:
        return (*segment.above[:-1], (segment.above[-1][0], segment.end))
    return (*segment.above, (segment.start, segment.end))


def _gather(states: Tensor, spans: Sequence[Span]) -> Tensor:
    parts = [states[:, first:last] for first, last in spans]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


AttentionInterface.register(IMPLEMENTATION, _attend)
