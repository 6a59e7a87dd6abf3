"""The Inverse Consistency Score, its contrastive form, and the inverse loss, of a model and its inverse head.

ICS(x; z, y) = (log P(x | z, y) - log P(x | nothing)) / |x|, nats a token: how much the trace tells about the task that
it answers. Tokens of x that the trace copied count 0 in the numerator and 1 in |x|, so that copying earns nothing;
without that, copying x's uninformative half would raise the mean over the other half.
Shapes: B rows, T tokens, N labelled positions, H hidden, V vocabulary, K candidates.
Source: SAGE-32B, arXiv 2601.04237; InfoNCE, arXiv 1807.03748, section 2.3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from sage_gym.distill.inverse import (
    IGNORED,
    InverseBatch,
    InverseRow,
    InverseTokens,
    Trace,
    collate,
    inverse_row,
    trace_of,
)
from sage_gym.distill.losses import token_logprobs, weighted_mean
from sage_gym.types import Task, Trajectory

__all__ = [
    "Consistency",
    "ConsistencyScorer",
    "Contrast",
    "InverseHead",
    "contrast",
    "inverse_logprobs",
    "inverse_loss",
]

Ids = tuple[int, ...]


class InverseHead(Protocol):
    """What the meta-cognition head offers here."""

    def inverse_logits(self, hidden_NH: Tensor, unembedding: Callable[[Tensor], Tensor]) -> Tensor:
        """Return logits (N, V) of the instruction's next token."""
        ...


@dataclass(frozen=True, slots=True)
class Consistency:
    """What one trace tells about its task. The two log-probabilities are of the whole of x, copies included."""

    ics: float
    """Nats a token of x."""
    log_p_given_trace: float
    """log P(x | z, y) in nats: the lemma's R."""
    log_p_alone: float
    """log P(x | nothing) in nats."""
    copy_rate: float
    token_count: int
    dropped_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Contrast:
    """The true instruction's place among K, for each trajectory."""

    ranks: tuple[int, ...]
    """1 is best; ties count against it."""
    terms: tuple[float, ...]
    """log K + log softmax at the true one, nats: their mean is the bound, and they can be bootstrapped."""

    @property
    def top1(self) -> float:
        """Share ranked first."""
        return sum(rank == 1 for rank in self.ranks) / len(self.ranks)

    @property
    def mean_reciprocal_rank(self) -> float:
        """Mean of 1 / rank."""
        return sum(1 / rank for rank in self.ranks) / len(self.ranks)

    @property
    def info_nce(self) -> float:
        """Lower bound, at most log K, on I(X; Z, Y) in nats; on I(X; Z) where the rows left y out."""
        return sum(self.terms) / len(self.terms)


def contrast(scores_BK: Tensor, true_B: Tensor) -> Contrast:
    """Rank the true candidates and form the InfoNCE bound.

    Any score gives a valid bound; log P(x | z, y) - log P(x) gives the tightest. Candidates may be distinct tasks: with
    S the set that was drawn, the bound is on I(X; Z | S) = I(X; Z) - I(S; Z), which is no more than I(X; Z).
    """
    true_B1 = true_B.unsqueeze(1)
    at_true_B1 = scores_BK.gather(1, true_B1)
    terms_B = torch.log_softmax(scores_BK.double(), dim=1).gather(1, true_B1).squeeze(1) + log(scores_BK.shape[1])
    ranks_B = (scores_BK >= at_true_B1).sum(dim=1)
    return Contrast(tuple(int(rank) for rank in ranks_B), tuple(float(term) for term in terms_B))


def inverse_logprobs(model: nn.Module, head: InverseHead, batch: InverseBatch) -> Tensor:
    """Return log-probabilities (B, T) of x's tokens at their own positions, 0.0 elsewhere; with gradient.

    The unembedding runs at those positions alone.

    Args:
        model: a transformers causal model, PEFT's wrapping included.
        head: whose inverse adapter is used.
        batch: on the model's device.
    """
    causal = cast(Any, model.get_base_model() if hasattr(model, "get_base_model") else model)  # type: ignore[operator]
    output = causal.base_model(input_ids=batch.ids_BT, attention_mask=batch.attention_BT, use_cache=False)
    is_x_BT = batch.labels_BT[:, 1:] != IGNORED
    logits_NV = head.inverse_logits(output.last_hidden_state[:, :-1][is_x_BT], causal.get_output_embeddings())
    logprobs_N = token_logprobs(logits_NV, batch.labels_BT[:, 1:][is_x_BT])
    logprobs_BT = logprobs_N.new_zeros(batch.labels_BT.shape)
    return logprobs_BT.index_put((batch.labels_BT != IGNORED,), logprobs_N)


def inverse_loss(
    model: nn.Module,
    head: InverseHead,
    batch: InverseBatch,
    weights_B: Tensor | None = None,
    normalizer: Tensor | float | None = None,
) -> Tensor:
    """Return the weighted mean of -log P(x_k | z, y, x_<k), nats a token of x, copied spans included.

    Copies stay in the loss, since leaving them out would make P(x | z, y) wrong; only the score leaves them out.
    """
    is_x_BT = batch.labels_BT != IGNORED
    terms_N = -inverse_logprobs(model, head, batch)[is_x_BT]
    weights_N = None if weights_B is None else weights_B.unsqueeze(1).expand(is_x_BT.shape)[is_x_BT]
    return weighted_mean(terms_N, weights_N, normalizer)


@dataclass(frozen=True, slots=True)
class _Scored:
    """One row's log-probabilities at x's tokens (nats)."""

    row: InverseRow
    logprobs: tuple[float, ...]


class ConsistencyScorer:
    """Scores trajectories with the model as it stands; nothing is trained and no gradient is kept.

    Args:
        model: a transformers causal model: the round's reference, whose scores must not move while it is used.
        head: its meta-cognition head.
        tokens: the markers, in its tokenizer's ids.
        instruction_ids: gives x in the tokenizer's ids.
        max_tokens: the longest row.
        batch_size: rows a forward pass.
        has_outcome: False leaves y out.
        fold: see `copied_mask`.
    """

    def __init__(
        self,
        model: nn.Module,
        head: InverseHead,
        tokens: InverseTokens,
        instruction_ids: Callable[[Task], Sequence[int]],
        *,
        max_tokens: int = 1024,
        batch_size: int = 32,
        has_outcome: bool = True,
        fold: Mapping[int, int] | None = None,
    ) -> None:
        self.model, self.head, self.tokens, self.instruction_ids = model, head, tokens, instruction_ids
        self.max_tokens, self.batch_size, self.has_outcome, self.fold = max_tokens, batch_size, has_outcome, fold

    def __call__(self, trajectories: Sequence[Trajectory]) -> list[Consistency]:
        """Return the ICS of each trajectory, in order.

        Raises:
            ValueError: a trajectory without ledgers, or an instruction that does not fit.
        """
        pairs = [(trace_of(t), self._instruction(t.task)) for t in trajectories]
        given = self._score([self._row(trace, x) for trace, x in pairs])
        alone = self._score_alone({x for _, x in pairs})
        return [_consistency(scored, alone[x]) for scored, (_, x) in zip(given, pairs, strict=True)]

    def contrast(self, trajectories: Sequence[Trajectory], negatives: int = 7, seed: int = 0) -> Contrast:
        """Rank each true instruction against others of the batch, drawn by `seed` without repetition.

        Raises:
            ValueError: fewer than `negatives` other instructions, or what `__call__` raises.
        """
        traces, own = [trace_of(t) for t in trajectories], [self._instruction(t.task) for t in trajectories]
        pool = sorted(set(own))
        if not 0 < negatives < len(pool):
            raise ValueError(
                f"expected between 1 and {len(pool) - 1} negatives for {len(pool)} different instructions, "
                f"got {negatives}; pass trajectories of more tasks or ask for fewer"
            )
        rng = np.random.default_rng(seed)
        drawn = [[x, *_draw([other for other in pool if other != x], negatives, rng)] for x in own]
        rows = [self._row(trace, x) for trace, xs in zip(traces, drawn, strict=True) for x in xs]
        alone = self._score_alone(set(pool))
        gains = [_gain(scored, alone[x]) for scored, x in zip(self._score(rows), _flat(drawn), strict=True)]
        scores_BK = torch.tensor(gains, dtype=torch.float64).view(len(own), negatives + 1)
        return contrast(scores_BK, torch.zeros(len(own), dtype=torch.long))

    def _instruction(self, task: Task) -> Ids:
        return tuple(self.instruction_ids(task))

    def _row(self, trace: Trace | None, x: Ids) -> InverseRow:
        return inverse_row(
            trace, x, self.tokens, max_tokens=self.max_tokens, has_outcome=self.has_outcome, fold=self.fold
        )

    def _score_alone(self, instructions: set[Ids]) -> dict[Ids, tuple[float, ...]]:
        distinct = sorted(instructions)
        scored = self._score([self._row(None, x) for x in distinct])
        return {x: one.logprobs for x, one in zip(distinct, scored, strict=True)}

    def _score(self, rows: Sequence[InverseRow]) -> list[_Scored]:
        """Score rows in order of length, so that little is padding, and give them back in the order they came."""
        order = sorted(range(len(rows)), key=lambda index: len(rows[index].ids))
        found: dict[int, _Scored] = {}
        was_training = self.model.training
        self.model.eval()
        try:
            for at in range(0, len(order), self.batch_size):
                chosen = order[at : at + self.batch_size]
                for index, logprobs in zip(chosen, self._forward([rows[i] for i in chosen]), strict=True):
                    found[index] = _Scored(rows[index], logprobs)
        finally:
            self.model.train(was_training)
        return [found[index] for index in range(len(rows))]

    @torch.no_grad()
    def _forward(self, rows: Sequence[InverseRow]) -> list[tuple[float, ...]]:
        batch = collate(rows, pad_id=self.tokens.inverse_ids[0]).to(next(self.model.parameters()).device)
        logprobs_BT = inverse_logprobs(self.model, self.head, batch).double().cpu()
        return [tuple(logprobs_BT[b, row.start : len(row.ids)].tolist()) for b, row in enumerate(rows)]


def _gain(scored: _Scored, alone: Sequence[float]) -> float:
    """Sum, over the tokens that were not copied, of what the trace adds (nats)."""
    triples = zip(scored.logprobs, alone, scored.row.copied, strict=True)
    return sum(given - without for given, without, is_copied in triples if not is_copied)


def _consistency(scored: _Scored, alone: Sequence[float]) -> Consistency:
    return Consistency(
        ics=_gain(scored, alone) / len(alone),
        log_p_given_trace=sum(scored.logprobs),
        log_p_alone=sum(alone),
        copy_rate=scored.row.copy_rate,
        token_count=len(alone),
        dropped_tokens=scored.row.dropped_tokens,
    )


def _draw(pool: Sequence[Ids], count: int, rng: np.random.Generator) -> list[Ids]:
    return [pool[index] for index in rng.choice(len(pool), size=count, replace=False)]


def _flat(rows: Sequence[Sequence[Ids]]) -> list[Ids]:
    return [x for row in rows for x in row]
