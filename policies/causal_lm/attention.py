"""Attention of packed rows to their slots, and the switch that makes a transformers model use it.

Works with any model whose attention goes through `AttentionInterface` and attends to the whole context (Llama, Qwen2,
Qwen3, Mistral without a window, ...): `check_supported` says so.
Left out: sliding windows, attention sinks, soft caps, linear attention.

Shapes: T packed tokens, R rows, K key-value heads, G query heads that share one, A = K·G heads, D head width,
W longest row, S slots, C capacity.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

from policies.causal_lm.slots import Packing

__all__ = ["check_supported", "slot_attention"]

IMPLEMENTATION = "sage_gym_slots"
PARALLEL_WORK = 2**20
"""Multiplications of a row's attention scores from which on several threads share it."""
UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    packing: Packing | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of packed queries `(1, A, T, D)`, row by row, to their slots; gives `(1, T, A, D)`."""
    if packing is None:
        raise ValueError(f"expected the keyword `packing` to reach {type(module).__name__}; this model drops it")
    wrong = [name for name in UNSUPPORTED if kwargs.get(name) is not None]
    if wrong:
        raise ValueError(f"expected plain full attention, got {', '.join(wrong)} from {type(module).__name__}")
    keys, values = packing.cache.layer(int(module.layer_idx))  # type: ignore[arg-type]
    query = query.to(keys.dtype)
    if packing.mask_R11W is not None:
        return _attend_together(query, keys, values, packing, scaling).to(value.dtype), None
    with _threads_for(query, packing):
        return _attend_rows(query, keys, values, packing, scaling).to(value.dtype), None


@contextmanager
def _threads_for(query: torch.Tensor, packing: Packing) -> Iterator[None]:
    """Give small rows a single thread: waiting for the others costs more than they help, most of all on busy cores."""
    spans = zip(packing.past, packing.count, strict=True)
    work = query.shape[1] * query.shape[3] * max((past + count) * count for past, count in spans)
    before = torch.get_num_threads()
    if query.device.type != "cpu" or before == 1 or work > PARALLEL_WORK:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _attend_rows(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, packing: Packing, scaling: float | None
) -> torch.Tensor:
    heads, groups, width = query.shape[1], keys.shape[1], query.shape[3]
    outputs = []
    spans = zip(packing.slots, packing.past, packing.count, packing.start, packing.masks, strict=True)
    for slot, past, count, start, mask in spans:
        key, value = keys[slot : slot + 1, :, : past + count], values[slot : slot + 1, :, : past + count]
        row = query[:, :, start : start + count]
        is_causal = mask is not None and past == 0 and heads == groups
        if heads != groups:  # fold the heads that share a key into its queries, rather than repeat the keys
            row = row.reshape(1, groups, -1, width)
            mask = None if mask is None else mask.repeat(heads // groups, 1)
        output = scaled_dot_product_attention(
            row, key, value, attn_mask=None if is_causal else mask, is_causal=is_causal, scale=scaling
        )
        outputs.append(output.reshape(1, heads, count, width))
    return torch.cat(outputs, dim=2).transpose(1, 2)


def _attend_together(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, packing: Packing, scaling: float | None
) -> torch.Tensor:
    longest = max(packing.past) + 1
    keys_RKWD = keys[:, :, :longest].index_select(0, packing.slot_T)
    values_RKWD = values[:, :, :longest].index_select(0, packing.slot_T)
    rows, heads, width = query.shape[2], query.shape[1], query.shape[3]
    query_RKGD = query[0].transpose(0, 1).reshape(rows, keys.shape[1], -1, width)
    output = scaled_dot_product_attention(
        query_RKGD, keys_RKWD, values_RKWD, attn_mask=packing.mask_R11W, scale=scaling
    )
    return output.reshape(1, rows, heads, width)


AttentionInterface.register(IMPLEMENTATION, _attend)


@contextmanager
def slot_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let `model` attend through slots, in evaluation mode, and put both back as they were."""
    config, was_training = model.config, model.training
    before = config._attn_implementation
    config._attn_implementation = IMPLEMENTATION
    model.train(False)
    try:
        yield
    finally:
        config._attn_implementation = before
        model.train(was_training)


def check_supported(model: PreTrainedModel) -> None:
    """Refuse models whose attention or logits the packed forward pass would get wrong.

    Raises:
        ValueError: naming what is not supported.
    """
    config = model.config
    kinds = set(getattr(config, "layer_types", None) or ("full_attention",))
    problems = [f"layers of kind {kind!r}" for kind in sorted(kinds - {"full_attention"})]
    if not getattr(config, "layer_types", None) and getattr(config, "sliding_window", None):
        problems.append("a sliding window")
    names = ("final_logit_softcapping", "attn_logit_softcapping", "logit_scale", "logits_scaling")
    problems += [name for name in names if getattr(config, name, None) not in (None, 1, 1.0)]
    if problems:
        raise ValueError(
            f"expected a causal model with full attention and plain logits, got {type(model).__name__} with "
            f"{', '.join(problems)}; use a Llama, Qwen2 or Qwen3 style model"
        )
