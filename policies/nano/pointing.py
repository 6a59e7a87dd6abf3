"""Showing an attention head where to look: a decision that quotes a word is to attend to that word's mark.

Pointing needs a head that finds the word and one that copies its mark. Cross-entropy alone says nothing about the one
before the other is there: after 300 steps of imitation the marks were still guessed evenly. Told where to look, as
alignments have been taught in translation (Liu et al., "Neural Machine Translation with Supervised Attention", COLING
2016), it is minutes. Nothing of it is left in the trained model but its weights.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch.nn import functional
from transformers import Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

__all__ = ["LAYER", "Pointing"]

LAYER = -2
"""Of the blocks: the last but one, so that there are some before it to read and one to use what was found."""


class Pointing:
    """Reads queries and keys of a layer's first two heads while it runs; a context manager.

    Args:
        model: whose layer is read.
        layer: which.
    """

    def __init__(self, model: Qwen2ForCausalLM, layer: int = LAYER) -> None:
        self._model = model
        self._attention: Any = model.model.layers[layer].self_attn
        self._held: dict[str, torch.Tensor] = {}
        self._hooks: list[Any] = []

    def __enter__(self) -> Pointing:
        """Begin to read."""
        for name in ("q_proj", "k_proj"):

            def keep(module: torch.nn.Module, given: Any, output: torch.Tensor, name: str = name) -> None:
                self._held[name] = output

            self._hooks.append(getattr(self._attention, name).register_forward_hook(keep))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End reading."""
        while self._hooks:
            self._hooks.pop().remove()

    def loss(self, pointers_P4: torch.Tensor) -> torch.Tensor:
        """Return the mean cost of the right places, in nats, for the forward pass that was read last.

        Args:
            pointers_P4: row, place of the decision's token before the mark, place of the mark, and head (0 or 1).
        """
        row_P, from_P, to_P, head_P = pointers_P4.unbind(1)
        query_BTND, key_BTND = (self._split(name) for name in ("q_proj", "k_proj"))
        positions_1T = torch.arange(query_BTND.shape[1])[None]
        cos, sin = self._model.model.rotary_emb(query_BTND, positions_1T)
        query_BNTD, key_BNTD = apply_rotary_pos_emb(query_BTND.transpose(1, 2), key_BTND.transpose(1, 2), cos, sin)
        query_PD = query_BNTD[row_P, head_P, from_P]
        key_PTD = key_BNTD[row_P, head_P]
        scores_PT = torch.einsum("pd,ptd->pt", query_PD, key_PTD) * query_PD.shape[-1] ** -0.5
        is_later_PT = positions_1T > from_P[:, None]
        return functional.cross_entropy(scores_PT.masked_fill(is_later_PT, float("-inf")), to_P)

    def _split(self, name: str) -> torch.Tensor:
        """Return a projection by heads, `(B, T, N, D)`, of the first two alone."""
        heads: torch.Tensor = self._held[name].float().unflatten(-1, (-1, self._attention.head_dim))
        return heads[:, :, :2]
