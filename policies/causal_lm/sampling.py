"""Draw one token for each of many rows, under each row's own restriction and generator.

A row's token is found by inverting the cumulative distribution of softmax(logits / temperature) over the ids left
open, at a uniform number of the row's own stream: which other rows share the batch plays no part.

Shapes: R rows, H hidden, V vocabulary, U ids that any row leaves open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

__all__ = ["Draw", "Sampler", "uniforms"]


@dataclass(frozen=True, slots=True)
class Draw:
    """A drawn token: its log-probability and the entropy of the distribution it was drawn from, in nats.

    `top` are the likeliest ids with log-probabilities, best first; empty where they were not asked for.
    """

    token: int
    logprob: float
    entropy: float
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Sampler:
    """Draws from an unembedding.

    Args:
        unembedding: maps hidden states to logits.
        temperature: 0 takes the likeliest id; log-probability and entropy are then those under temperature 1.
        top_count: how many alternatives are listed where asked for.
    """

    unembedding: torch.nn.Module
    temperature: float = 1.0
    top_count: int = 5

    def draw(
        self,
        hidden_RH: torch.Tensor,
        allowed: Sequence[tuple[int, ...] | None],
        uniform_R: np.ndarray,
        *,
        has_top: bool,
    ) -> list[Draw]:
        """Draw one id a row; `allowed[r]` is sorted, None leaves every id open."""
        draws: list[Draw | None] = [None] * len(allowed)
        restricted = [index for index, ids in enumerate(allowed) if ids is not None]
        free = [index for index, ids in enumerate(allowed) if ids is None]
        if free:
            logits_RV = self.unembedding(hidden_RH[free]).float()
            self._draw_into(draws, free, logits_RV, None, uniform_R, has_top)
        if restricted:
            rows = [ids for ids in allowed if ids is not None]
            union, open_RU = _open_ids(rows)
            logits_RU = self._logits(hidden_RH[restricted], union)
            logits_RU.masked_fill_(~torch.from_numpy(open_RU).to(logits_RU.device), float("-inf"))
            self._draw_into(draws, restricted, logits_RU, union, uniform_R, has_top)
        return [draw for draw in draws if draw is not None]

    def _draw_into(
        self,
        draws: list[Draw | None],
        rows: list[int],
        logits_RU: torch.Tensor,
        union: np.ndarray | None,
        uniform_R: np.ndarray,
        has_top: bool,
    ) -> None:
        logprobs_RU = torch.log_softmax(logits_RU / (self.temperature or 1.0), dim=-1)
        probabilities_RU = logprobs_RU.exp()
        entropies = torch.special.entr(probabilities_RU).sum(-1).tolist()
        if self.temperature == 0:
            chosen_R = logprobs_RU.argmax(-1)
        else:
            cumulative_RU = probabilities_RU.double().cumsum(-1)
            uniform = torch.from_numpy(uniform_R[rows]).to(cumulative_RU.device)[:, None] * cumulative_RU[:, -1:]
            chosen_R = torch.searchsorted(cumulative_RU, uniform, right=True)[:, 0].clamp_(max=logits_RU.shape[-1] - 1)
        picked = logprobs_RU.gather(-1, chosen_R[:, None])[:, 0].tolist()
        chosen = chosen_R.cpu().numpy()
        tokens = (chosen if union is None else union[chosen]).tolist()
        tops = self._tops(logprobs_RU, union) if has_top else [()] * len(rows)
        for row, token, logprob, entropy, top in zip(rows, tokens, picked, entropies, tops, strict=True):
            draws[row] = Draw(token, logprob, entropy, top)

    def _tops(self, logprobs_RU: torch.Tensor, union: np.ndarray | None) -> list[tuple[tuple[int, float], ...]]:
        best = logprobs_RU.topk(min(self.top_count, logprobs_RU.shape[-1]), dim=-1)
        indices = best.indices.cpu().numpy()
        ids = (indices if union is None else union[indices]).tolist()
        pairs = (zip(i, v, strict=True) for i, v in zip(ids, best.values.tolist(), strict=True))
        return [tuple((token, value) for token, value in row if value > float("-inf")) for row in pairs]

    def _logits(self, hidden_RH: torch.Tensor, ids: np.ndarray) -> torch.Tensor:
        module = self.unembedding
        index = torch.from_numpy(ids).to(hidden_RH.device)
        if type(module) is torch.nn.Linear and module.bias is None and 4 * len(ids) < module.weight.shape[0]:
            return torch.nn.functional.linear(hidden_RH, module.weight.index_select(0, index)).float()
        logits: torch.Tensor = module(hidden_RH)
        return logits.index_select(-1, index).float()


def uniforms(seed: int, count: int) -> np.ndarray:
    """Return the numbers in [0, 1) that the positions of a decision with this seed are drawn with."""
    return np.random.Generator(np.random.Philox(key=seed % 2**128)).random(count)


def _open_ids(rows: Sequence[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids that any row leaves open, `(U,)`, and which of them each row does, `(R, U)`."""
    distinct = dict.fromkeys(rows)
    union = np.unique(np.concatenate([np.array(ids, dtype=np.int64) for ids in distinct]))
    masks = {}
    for ids in distinct:
        mask = np.zeros(len(union), dtype=bool)
        mask[np.searchsorted(union, np.array(ids))] = True
        masks[ids] = mask
    return union, np.stack([masks[ids] for ids in rows])
