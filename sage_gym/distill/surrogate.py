"""Clipped policy-gradient surrogates: a ratio a token (PPO, GRPO), or one a sequence (GSPO).

Shapes: N sampled tokens (flattened over the batch), S sequences. Sources: PPO, arXiv 1707.06347, equation 7;
GRPO, arXiv 2402.03300; separate lower and upper clips, DAPO, arXiv 2503.14476; GSPO, arXiv 2507.18071.
Left out: the KL term (`losses.kl_to_reference`), added by the trainer under its own weight.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sage_gym.distill.losses import weighted_mean

__all__ = ["Surrogate", "sequence_surrogate", "token_surrogate"]


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A loss to minimise, and what to watch. Only `loss` carries gradient."""

    loss: Tensor
    clip_fraction: Tensor
    """Share of ratios whose gradient the clip stopped."""
    ratio_mean: Tensor
    approximate_kl: Tensor
    """KL(old || new), estimated by the mean of r - 1 - log r; nats a token where the ratio is a token's."""


def token_surrogate(
    logprobs_N: Tensor,
    old_logprobs_N: Tensor,
    advantages_N: Tensor,
    weights_N: Tensor | None = None,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    normalizer: Tensor | float | None = None,
) -> Surrogate:
    """Return -mean min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) with one ratio r a token.

    Args:
        logprobs_N: the student's, under the distribution sampled from (restriction and temperature included).
        old_logprobs_N: the ledger's.
        advantages_N: the sequence's advantage, repeated for its tokens, or a turn's own.
        weights_N: 1 for a mean over tokens; 1/length of the sequence for a mean over sequences.
        clip_low: how far a ratio may fall below 1.
        clip_high: how far a ratio may rise above 1; larger than `clip_low` lets rare tokens grow.
        normalizer: see `losses`.
    """
    log_ratio_N = logprobs_N - old_logprobs_N.detach()
    return _clipped(log_ratio_N, advantages_N, weights_N, (clip_low, clip_high), normalizer)


def sequence_surrogate(
    logprobs_N: Tensor,
    old_logprobs_N: Tensor,
    sequence_N: Tensor,
    advantages_S: Tensor,
    weights_S: Tensor | None = None,
    *,
    clip_low: float = 3e-4,
    clip_high: float = 4e-4,
    normalizer: Tensor | float | None = None,
) -> Surrogate:
    """Return the surrogate with one ratio a sequence: the geometric mean of its tokens' ratios.

    s = exp(mean_t (log p_t - log p_old_t)). Being a mean it moves far less than a token's ratio, hence the narrow
    default clips. A sequence without tokens is left out.

    Args:
        logprobs_N: as for `token_surrogate`.
        old_logprobs_N: the ledger's.
        sequence_N: which sequence each token belongs to.
        advantages_S: one a sequence.
        weights_S: one a sequence.
        clip_low: how far a ratio may fall below 1.
        clip_high: how far a ratio may rise above 1.
        normalizer: see `losses`.
    """
    difference_N = logprobs_N - old_logprobs_N.detach()
    lengths_S = torch.bincount(sequence_N, minlength=len(advantages_S)).to(difference_N)
    sums_S = torch.zeros_like(lengths_S).index_add(0, sequence_N, difference_N)
    log_ratio_S = sums_S / lengths_S.clamp(min=1)
    has_tokens_S = (lengths_S > 0).to(difference_N)
    weights_S = has_tokens_S if weights_S is None else weights_S.to(difference_N) * has_tokens_S
    return _clipped(log_ratio_S, advantages_S, weights_S, (clip_low, clip_high), normalizer)


def _clipped(
    log_ratio: Tensor,
    advantages: Tensor,
    weights: Tensor | None,
    clip: tuple[float, float],
    normalizer: Tensor | float | None,
) -> Surrogate:
    advantages = advantages.detach().to(log_ratio)
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip[0], 1 + clip[1])
    terms = torch.minimum(ratio * advantages, clipped * advantages)
    with torch.no_grad():
        is_stopped = ((ratio > 1 + clip[1]) & (advantages > 0)) | ((ratio < 1 - clip[0]) & (advantages < 0))
        clip_fraction = weighted_mean(is_stopped.to(ratio), weights)
        ratio_mean = weighted_mean(ratio, weights)
        approximate_kl = weighted_mean(ratio - 1 - log_ratio, weights)
    return Surrogate(weighted_mean(-terms, weights, normalizer), clip_fraction, ratio_mean, approximate_kl)
