"""Attention traced back from the outcome through the residual stream, layer by layer, in bounded memory.

*Cut*: what would become of the outcome y (log-odds of failure), to first order, if nothing that follows a turn could
attend to it. A query i at a head h gives the turn the mass a = Σ_{j in turn} A_hij. Without it the softmax hands that
mass to the rest, and the head's output o moves, exactly, by (a·o − Σ_{j in turn} A_hij v_j) / (1 − a). Times ∂y/∂o, and
with S the scores before the softmax, so that ∂y/∂S_hij = A_hij · (∂y/∂A_hij − Σ_k A_hik · ∂y/∂A_hik):

    cut    Δy = − Σ_layers Σ_h Σ_{i after turn} (Σ_{j in turn} ∂y/∂S_hij) / (1 − a)

∂y/∂o holds all that the residual stream and the layers above make of the head's output. First order is what comes after
the head; within it nothing is left out, which the plain gradient (without 1 − a) does where a turn holds most of the
attention. Attribution patching (Syed, Rager and Conmy 2023, arXiv 2310.10348; Kramár et al. 2024, arXiv 2403.00745),
of edges from a turn.

*Flow*: let r be what each position has of the outcome's relevance, above the last layer 1 at the place it is read and 0
elsewhere. A layer with attention A (heads h, queries i, keys j) hands relevance down, and the residual stream keeps it:

    weighted   r_j ← r_j + Σ_i r_i · mean_h |A_hij · ∂y/∂A_hij|       y: log-odds of failure
    positive   r_j ← r_j + Σ_i r_i · mean_h max(0, A_hij · ∂y/∂A_hij)
    plain      r_j ← (r_j + Σ_i r_i · mean_h A_hij) / 2

`plain` is attention rollout (Abnar and Zuidema 2020, arXiv 2005.00928), `positive` its form weighted by gradient
(Chefer, Gur and Wolf 2021, arXiv 2103.15679, equation 5). `weighted` takes the size of the product, since a turn that
speaks against the outcome matters as one that speaks for it; SAGE-nano (arXiv 2507.00092) gives no formula.

A backward pass meets the layers from the last to the first, which is the order that r needs. So the rows of A and of
its gradient are made again, a block of queries at a time, used, and thrown away: memory grows with T, not with T².
For causal models with plain full attention that goes through transformers' `AttentionInterface`, adapters included.
Left out: the feed-forward layers, which mix no positions, and the values' norms.

Shapes: A query heads, T tokens, D head width, H hidden, K decisions, N turns that can be taken away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from sage_gym.blockwise import check_plain, with_equal_heads
from sage_gym.distill.objective import backbone_of
from sage_gym.evaluation.introspection.traces import Trace
from sage_gym.protocols import Student

__all__ = ["Course", "Flow", "Reading", "attention_obstacle", "read_trace"]

IMPLEMENTATION = "sage_gym_flow"
BLOCK = 128
LEAST_LEFT = 1e-4
"""Attention left to the rest, below which the arithmetic's rounding would speak."""
SOFTCAPS = ("attn_logit_softcapping",)
Floats = NDArray[np.float64]


@dataclass(slots=True)
class Flow:
    """Relevance (T) of each position, handed down from the last layer to the first, and what cutting turns would do.

    `member_TN` says which positions each of N turns holds, `stops_N` where what follows it begins, `cut_N` what
    becomes of y.
    """

    weighted_T: Tensor
    positive_T: Tensor
    plain_T: Tensor
    member_TN: Tensor
    stops_N: Tensor
    cut_N: Tensor
    layer: int | None = None
    """The layer that was met last."""

    @classmethod
    def from_end(cls, end: int, length: int, device: torch.device, spans_N: Sequence[tuple[int, int]] = ()) -> Flow:
        """Start with all relevance at the position `end`."""
        start_T = torch.zeros(length, device=device)
        start_T[end] = 1.0
        member_TN = torch.zeros(length, len(spans_N), device=device)
        for turn, (start, stop) in enumerate(spans_N):
            member_TN[start:stop, turn] = 1.0
        stops_N = torch.tensor([stop for _, stop in spans_N], device=device)
        return cls(start_T, start_T.clone(), start_T.clone(), member_TN, stops_N, torch.zeros_like(member_TN[0]))

    def cut(self, p: Tensor, of_scores: Tensor, start: int) -> None:
        """Add what cutting each turn does in a block of queries from `start`, given weights and scores' gradient."""
        member_TN = self.member_TN[: p.shape[2]]
        left = 1 - p.float() @ member_TN
        queries = torch.arange(start, start + p.shape[1], device=p.device)
        is_after = queries[:, None] >= self.stops_N
        self.cut_N -= (of_scores.float() @ member_TN / left.clamp_min(LEAST_LEFT) * is_after).sum((0, 1))

    def enter(self, layer: int) -> None:
        """Take note of the next layer down.

        Raises:
            RuntimeError: the layers come in another order.
        """
        if self.layer is not None and layer != self.layer - 1:
            raise RuntimeError(f"expected layer {self.layer - 1} after {self.layer} in the backward pass, got {layer}")
        self.layer = layer


@dataclass(frozen=True, slots=True)
class Course:
    """The forecaster's log-odds of failure and its calibrated probability at the K decisions of a whole trajectory.

    `before` at the last token before a decision, `after` at its own last one.
    """

    log_odds_before_K: Floats
    log_odds_after_K: Floats
    p_fail_before_K: Floats
    p_fail_after_K: Floats


@dataclass(frozen=True, slots=True)
class Reading:
    """What one pass over a whole trajectory tells of each of its T tokens, and of its N turns.

    `flow_T` holds the three kinds of flow, `cut_N` the changes of y, to first order, were a turn cut from all attention
    that follows it; both None where attention weights are not to be had. `gradient_T` is |embedding · its gradient|.
    """

    flow_T: dict[str, Floats] | None
    cut_N: Floats | None
    gradient_T: Floats
    course: Course


def attention_obstacle(model: PreTrainedModel) -> str | None:
    """Say why a model's attention weights are not to be had; None where they are."""
    config = _config(model)
    kinds = set(getattr(config, "layer_types", None) or ("full_attention",))
    problems = [f"layers of kind {kind!r}" for kind in sorted(kinds - {"full_attention"})]
    if not getattr(config, "layer_types", None) and getattr(config, "sliding_window", None):
        problems.append("a sliding window")
    problems += [name for name in SOFTCAPS if getattr(config, name, None)]
    if not problems and not _has_interface(model):
        problems.append("attention that does not go through transformers' AttentionInterface")
    return f"{type(model).__name__} has {', '.join(problems)}" if problems else None


def read_trace(student: Student, trace: Trace) -> Reading:
    """Read a whole trajectory once, forward and backward.

    Raises:
        ValueError: the student has no meta-cognition head.
    """
    head: Any = student.head
    if head is None:
        raise ValueError("expected a student with a meta-cognition head, which forecasts the outcome; got one without")
    model = student.model
    has_flow = attention_obstacle(model) is None
    ids_1T = torch.from_numpy(trace.ids_T)[None].to(model.device)
    flow = Flow.from_end(trace.end, ids_1T.shape[1], model.device, trace.spans_N) if has_flow else None
    embeddings = model.get_input_embeddings()
    embedded_1TH = embeddings(ids_1T).detach().requires_grad_(True)
    opening_1H = head.read_openings(embeddings, [trace.ids_T[: trace.opening].tolist()])
    with _flowing(model, flow) as kwargs:
        states_TH = backbone_of(model)(inputs_embeds=embedded_1TH, use_cache=False, **kwargs).last_hidden_state[0]
        y = head.forecast(states_TH[trace.end][None].float(), opening_1H, "after")[0]
        [gradient_1TH] = torch.autograd.grad(y, embedded_1TH)
    with torch.no_grad():
        states = {"before": states_TH[trace.before_K].float(), "after": states_TH[trace.after_K].float()}
        opening_KH = opening_1H.expand(len(trace.before_K), -1)
        log_odds = {place: _array(head.forecast(h_KH, opening_KH, place)) for place, h_KH in states.items()}
        p_fail = {place: _array(head.p_fail(h_KH, opening_KH, place)) for place, h_KH in states.items()}
    return Reading(
        None if flow is None else _found(flow),
        None if flow is None else _array(flow.cut_N),
        _array((gradient_1TH * embedded_1TH)[0].sum(-1).abs()),
        Course(log_odds["before"], log_odds["after"], p_fail["before"], p_fail["after"]),
    )


def _found(flow: Flow) -> dict[str, Floats]:
    return {
        "weighted": _array(flow.weighted_T),
        "positive": _array(flow.positive_T),
        "plain": _array(flow.plain_T),
    }


def _array(values: Tensor) -> Floats:
    return values.detach().double().cpu().numpy()


def _config(model: PreTrainedModel) -> Any:
    get_base = getattr(model, "get_base_model", None)
    base: Any = get_base() if callable(get_base) else model
    return base.config


def _has_interface(model: PreTrainedModel) -> bool:
    get_base = getattr(model, "get_base_model", None)
    base: Any = get_base() if callable(get_base) else model
    return bool(getattr(base, "_supports_attention_backend", False))


@contextmanager
def _flowing(model: PreTrainedModel, flow: Flow | None) -> Iterator[dict[str, Any]]:
    """Let a model hand relevance down; give the keywords that its forward pass takes. Without a flow, leave it."""
    if flow is None:
        yield {}
        return
    config = _config(model)
    before = config._attn_implementation
    config._attn_implementation = IMPLEMENTATION
    try:
        yield {"flow": flow}
    finally:
        config._attn_implementation = before


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    flow: Flow | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of one row as transformers calls it; gives `(1, T, A, D)`."""
    check_plain(module, attention_mask, kwargs)
    if flow is None or dropout or query.shape[0] != 1:
        raise ValueError(f"expected one row, no dropout and the keyword `flow` in {type(module).__name__}")
    query, key, value = with_equal_heads(query, key, value)
    query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    output: Tensor = _FlowAttention.apply(query[0], key[0], value[0], flow, layer)  # type: ignore[no-untyped-call]
    return output.transpose(0, 1)[None], None


class _FlowAttention(torch.autograd.Function):
    """softmax(q kᵀ) v, causal, `(A, T, D)`; its backward pass hands relevance down."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, flow: Flow, layer: int) -> Tensor:
        output = torch.empty_like(query)
        for start, stop in _blocks(query.shape[1]):
            output[:, start:stop] = _weights(query, key, start, stop) @ value[:, :stop]
        ctx.save_for_backward(query, key, value)
        ctx.flow, ctx.layer = flow, layer
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        query, key, value = ctx.saved_tensors
        flow: Flow = ctx.flow
        flow.enter(ctx.layer)
        of_query, of_key, of_value = torch.empty_like(query), torch.zeros_like(key), torch.zeros_like(value)
        weighted_T, positive_T, plain_T = (torch.zeros_like(flow.plain_T) for _ in range(3))
        for start, stop in _blocks(query.shape[1]):
            p = _weights(query, key, start, stop)
            of_p = gradient[:, start:stop] @ value[:, :stop].transpose(1, 2)
            product = p.float() * of_p.float()
            weighted_T[:stop] += flow.weighted_T[start:stop] @ product.abs().mean(0)
            positive_T[:stop] += flow.positive_T[start:stop] @ product.clamp_min(0).mean(0)
            plain_T[:stop] += flow.plain_T[start:stop] @ p.float().mean(0)
            of_scores = torch._softmax_backward_data(of_p, p, -1, p.dtype)
            flow.cut(p, of_scores, start)
            of_query[:, start:stop] = of_scores @ key[:, :stop]
            of_key[:, :stop] += of_scores.transpose(1, 2) @ query[:, start:stop]
            of_value[:, :stop] += p.transpose(1, 2) @ gradient[:, start:stop]
        flow.weighted_T = flow.weighted_T + weighted_T
        flow.positive_T = flow.positive_T + positive_T
        flow.plain_T = (flow.plain_T + plain_T) / 2
        return of_query, of_key, of_value, None, None


def _blocks(length: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, BLOCK):
        yield start, min(start + BLOCK, length)


def _weights(query: Tensor, key: Tensor, start: int, stop: int) -> Tensor:
    """Return the attention weights `(A, n, m)` of a block of queries to the keys up to its end."""
    scores = query[:, start:stop] @ key[:, :stop].transpose(1, 2)
    scores[..., start:] += scores.new_full((stop - start, stop - start), float("-inf")).triu(1)
    return scores.softmax(-1)


AttentionInterface.register(IMPLEMENTATION, _attend)
