"""Causal attention in blocks of queries, for training on a CPU in bfloat16.

A block of queries meets only the keys up to its end, so that most of the masked half is never computed, and the two
products run as plain batched matrix multiplications, which a CPU has fast bfloat16 kernels for. At 18 rows of 640
tokens, 6 heads of 32, it takes half the time of `scaled_dot_product_attention`, forward and backward. Scores are
rounded to bfloat16, as in transformers' `eager` attention. For causal models on right-padded rows: transformers makes
no mask for attention that is not its own, so that one that is passed in would be ignored.

Shapes: B rows, A query heads, K key-value heads, T tokens, D head width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, PreTrainedModel

__all__ = ["blockwise_attention", "causal_blocks", "check_plain", "replaced_attention", "with_equal_heads"]

IMPLEMENTATION = "sage_gym_blockwise"
BLOCK = 128
UNSUPPORTED = ("sliding_window", "softcap", "s_aux", "position_bias")


def causal_blocks(query_BATD: Tensor, key_BATD: Tensor, value_BATD: Tensor, scaling: float) -> Tensor:
    """Return softmax(q kᵀ · scaling, causal) v, `(B, A, T, D)`."""
    length = query_BATD.shape[2]
    query_BATD = query_BATD * scaling
    ahead = query_BATD.new_full((BLOCK, BLOCK), float("-inf")).triu(1)
    blocks = []
    for start in range(0, length, BLOCK):
        end = min(start + BLOCK, length)
        scores = query_BATD[:, :, start:end] @ key_BATD[:, :, :end].transpose(-1, -2)
        scores[..., start:] += ahead[: end - start, : end - start]
        blocks.append(scores.softmax(-1) @ value_BATD[:, :, :end])
    return torch.cat(blocks, dim=2)


def check_plain(module: torch.nn.Module, attention_mask: Tensor | None, kwargs: dict[str, Any]) -> None:
    """Refuse what attention of our own leaves out.

    Raises:
        ValueError: a mask, a sliding window and the like.
    """
    wrong = [name for name in UNSUPPORTED if kwargs.get(name) is not None]
    if wrong or attention_mask is not None:
        raise ValueError(
            f"expected plain causal attention, got {', '.join(wrong) or 'a mask'} in {type(module).__name__}"
        )


def with_equal_heads(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the three with one key and value a query head, in the values' type: rotary embedding leaves float32."""
    query, key = query.to(value.dtype), key.to(value.dtype)
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    return query, key, value


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention as transformers calls it; gives `(B, T, A, D)`."""
    check_plain(module, attention_mask, kwargs)
    query, key, value = with_equal_heads(query, key, value)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    if query.dtype == torch.bfloat16 and not dropout:
        output = causal_blocks(query, key, value, scaling)
    else:
        output = scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True, scale=scaling)
    return output.transpose(1, 2), None


AttentionInterface.register(IMPLEMENTATION, _attend)


@contextmanager
def blockwise_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let a model on a CPU attend in blocks; a model elsewhere, or with attention of another kind, is left as it is."""
    with replaced_attention(model, IMPLEMENTATION):
        yield


@contextmanager
def replaced_attention(model: PreTrainedModel, implementation: str) -> Iterator[bool]:
    """Let a model on a CPU whose attention is plain and full attend by a registered implementation; tell whether."""
    get_base = getattr(model, "get_base_model", None)
    base: Any = get_base() if callable(get_base) else model
    config: Any = base.config
    before = config._attn_implementation
    kinds = set(getattr(config, "layer_types", None) or ("full_attention",))
    if model.device.type != "cpu" or before != "sdpa" or kinds != {"full_attention"}:
        yield False
        return
    config._attn_implementation = implementation
    try:
        yield True
    finally:
        config._attn_implementation = before
