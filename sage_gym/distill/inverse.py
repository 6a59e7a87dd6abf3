"""Token rows of the inverse pass: [z, y, <inverse>, x], in which nothing sees x before it is predicted.

z are the ids that the decisions of an episode sampled (never their prompts, which hold x), y its outcome as tokens,
x the instruction. The row for P(x | nothing) is [<inverse>, x]. Pure functions of ids; shapes: B rows, T tokens.
Source: SAGE-32B, arXiv 2601.04237 (inverse head); SAGE-nano, arXiv 2507.00092. The masking of copied spans is ours.
Left out: copies that a tokenizer splits differently or that are shorter than three tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sage_gym.types import Origin, Trajectory

__all__ = [
    "IGNORED",
    "InverseBatch",
    "InverseRow",
    "InverseTokens",
    "Trace",
    "collate",
    "copied_mask",
    "inverse_row",
    "is_trace_dropped",
    "trace_of",
]

IGNORED = -100
"""Label of a position without loss, as in transformers."""
MIN_COPIED_SPAN = 3


@dataclass(frozen=True, slots=True)
class InverseTokens:
    """What the inverse pass writes around a trace, in one tokenizer's ids."""

    inverse_ids: tuple[int, ...]
    """<inverse>: where the instruction begins."""
    success_ids: tuple[int, ...]
    failure_ids: tuple[int, ...]
    """y of an episode that did not succeed, truncated ones among them."""
    start_ids: tuple[int, ...] = ()
    """Before everything, for models that need a first token."""

    def __post_init__(self) -> None:
        if not self.inverse_ids:
            raise ValueError("expected at least one id for <inverse>, got none: the first token of x needs a context")
        if self.success_ids == self.failure_ids:
            raise ValueError(f"expected outcomes that differ, got {self.success_ids} for success and for failure")


@dataclass(frozen=True, slots=True)
class Trace:
    """z and y of one episode. Spans are looked for within a decision, never across two."""

    decisions: tuple[tuple[int, ...], ...]
    is_success: bool

    @property
    def ids(self) -> tuple[int, ...]:
        """z, the decisions one after the other."""
        return tuple(token for decision in self.decisions for token in decision)


@dataclass(frozen=True, slots=True)
class InverseRow:
    """One sequence, and which of its tokens are x (`start` to the end)."""

    ids: tuple[int, ...]
    start: int
    copied: tuple[bool, ...]
    """For each token of x, whether the trace copied it in a span of at least three."""
    has_trace: bool
    dropped_tokens: int = 0
    """Tokens of the trace's beginning that did not fit."""

    @property
    def copy_rate(self) -> float:
        """Share of x that the trace copied."""
        return sum(self.copied) / len(self.copied)


@dataclass(frozen=True, slots=True)
class InverseBatch:
    """Rows padded on the right, for a causal model."""

    ids_BT: Tensor
    attention_BT: Tensor
    labels_BT: Tensor
    """x's ids at x's own positions, `IGNORED` elsewhere; position t is predicted from t - 1."""

    def to(self, device: torch.device) -> InverseBatch:
        """Return the batch on another device."""
        return InverseBatch(self.ids_BT.to(device), self.attention_BT.to(device), self.labels_BT.to(device))


def trace_of(trajectory: Trajectory) -> Trace:
    """Return z and y from the ledger.

    Left out of z are turns that the policy did not write: a forced mistake, an expert's action, a turn for which no
    token was left.

    Raises:
        ValueError: a turn of the policy's own without a ledger (it does not record tokens), or no tokens at all.
    """
    decisions = []
    for index, turn in enumerate(trajectory.turns):
        decision = turn.decision
        if decision.ledger is not None and decision.origin is not Origin.INJECTED:
            decisions.append(decision.ledger.sampled_ids)
        elif decision.ledger is None and decision.origin is Origin.POLICY and decision.stop is None:
            raise ValueError(
                f"trajectory {trajectory.id}, turn {index}: expected a token ledger, got none; "
                f"the inverse pass needs a policy that records its tokens"
            )
    if not any(decisions):
        raise ValueError(f"trajectory {trajectory.id}: expected at least one sampled token, got none")
    return Trace(tuple(decisions), trajectory.success and not trajectory.stop_reason.is_truncation)


def copied_mask(
    instruction: Sequence[int],
    decisions: Sequence[Sequence[int]],
    *,
    min_span: int = MIN_COPIED_SPAN,
    fold: Mapping[int, int] | None = None,
) -> tuple[bool, ...]:
    """Return, for each token of the instruction, whether it lies in a span that some decision holds too.

    Args:
        instruction: x.
        decisions: the trace, a sequence of ids a decision.
        min_span: shortest span that counts, in tokens.
        fold: ids to take for the same (` Red`, ` red`, `red`), as id → representative; ids that are absent stand for
            themselves.
    """
    same = fold or {}
    x = [same.get(token, token) for token in instruction]
    spans = {
        tuple(same.get(token, token) for token in decision[at : at + min_span])
        for decision in decisions
        for at in range(len(decision) - min_span + 1)
    }
    mask = [False] * len(x)
    for at in range(len(x) - min_span + 1):
        if tuple(x[at : at + min_span]) in spans:
            mask[at : at + min_span] = [True] * min_span
    return tuple(mask)


def is_trace_dropped(trajectory: str, seed: int, share: float = 0.1) -> bool:
    """Whether this pass trains P(x | nothing), by a lot that depends on the trajectory's id and the seed alone."""
    digest = hashlib.sha256(f"{seed}/{trajectory}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def inverse_row(
    trace: Trace | None,
    instruction: Sequence[int],
    tokens: InverseTokens,
    *,
    max_tokens: int | None = None,
    has_outcome: bool = True,
    fold: Mapping[int, int] | None = None,
) -> InverseRow:
    """Return the row for P(x | z, y), or for P(x | nothing) where `trace` is None.

    Args:
        trace: z and y, or None.
        instruction: x's ids.
        tokens: the markers.
        max_tokens: the longest row; the trace's beginning is dropped where it does not fit.
        has_outcome: False leaves y out, for a bound on I(X; Z) alone.
        fold: see `copied_mask`.

    Raises:
        ValueError: an empty instruction, or one that alone is longer than `max_tokens`.
    """
    if not instruction:
        raise ValueError("expected an instruction of at least one token, got none")
    outcome: tuple[int, ...] = ()
    if trace is not None and has_outcome:
        outcome = tokens.success_ids if trace.is_success else tokens.failure_ids
    z = trace.ids if trace is not None else ()
    fixed = len(tokens.start_ids) + len(outcome) + len(tokens.inverse_ids) + len(instruction)
    if max_tokens is not None and fixed > max_tokens:
        raise ValueError(
            f"expected at most {max_tokens} tokens, got an instruction of {len(instruction)} ({fixed} with the markers)"
        )
    room = len(z) if max_tokens is None else max_tokens - fixed
    kept = z[max(0, len(z) - room) :]
    head = (*tokens.start_ids, *kept, *outcome, *tokens.inverse_ids)
    copied = copied_mask(instruction, trace.decisions if trace is not None else (), fold=fold)
    return InverseRow((*head, *instruction), len(head), copied, trace is not None, len(z) - len(kept))


def collate(rows: Sequence[InverseRow], pad_id: int) -> InverseBatch:
    """Pad rows on the right into one batch.

    Raises:
        ValueError: no rows.
    """
    if not rows:
        raise ValueError("expected at least one row, got none")
    shape = (len(rows), max(len(row.ids) for row in rows))
    ids_BT = torch.full(shape, pad_id, dtype=torch.long)
    attention_BT = torch.zeros(shape, dtype=torch.long)
    labels_BT = torch.full(shape, IGNORED, dtype=torch.long)
    for b, row in enumerate(rows):
        end = len(row.ids)
        ids_BT[b, :end] = torch.tensor(row.ids)
        attention_BT[b, :end] = 1
        labels_BT[b, row.start : end] = torch.tensor(row.ids[row.start :])
    return InverseBatch(ids_BT, attention_BT, labels_BT)
