"""The weights that decoding uses: a policy's own, or a copy in another type that follows them.

A cache of keys and values belongs to the weights that made it, so a change has to be noticed even where nobody says
so. Version counters tell of most in-place changes; fused optimizers do not count theirs, hence a few values of each
trainable parameter are looked at as well.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from transformers import PreTrainedModel

__all__ = ["DecodingWeights", "unwrap"]

SAMPLE = 256
Stamp = tuple[tuple[int, ...], tuple[float, ...]]


def unwrap(model: torch.nn.Module) -> PreTrainedModel:
    """Return the transformers model inside a PEFT one, adapters in place; others as they are."""
    inner = getattr(model, "get_base_model", None)
    return cast(PreTrainedModel, inner() if callable(inner) else model)


class DecodingWeights:
    """Gives the model to decode with.

    Args:
        model: the policy's; PEFT-wrapped or not.
        dtype: of the decoding copy; None, or the model's own, decodes with the model itself.
    """

    def __init__(self, model: torch.nn.Module, dtype: torch.dtype | None) -> None:
        self.source = unwrap(model)
        self.dtype = dtype or self.source.dtype
        self.model = self.source if self.dtype == self.source.dtype else _copy(self.source, self.dtype)
        self._stamp = self._read_stamp()

    def refresh(self) -> bool:
        """Bring the copy up to date; return whether the weights have changed since the last call."""
        stamp = self._read_stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        if self.model is not self.source:
            self.model.load_state_dict(self.source.state_dict())
        return True

    @torch.no_grad()
    def _read_stamp(self) -> Stamp:
        parameters = list(self.source.parameters())
        trainable = [p for p in parameters if p.requires_grad and p.numel()]
        samples = [p.reshape(-1)[-SAMPLE:].float().sum() for p in trainable]
        values = torch.stack(samples).tolist() if samples else []
        marks = tuple(number for p in parameters for number in (p.data_ptr(), p._version))
        return marks, tuple(values)


def _copy(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    converted: torch.nn.Module = copy.deepcopy(model)
    return cast(PreTrainedModel, converted.to(dtype=dtype))
