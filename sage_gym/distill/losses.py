"""Losses of a round, as pure functions of tensors at the labelled positions.

Shapes: N labelled positions (flattened over the batch), V vocabulary, A open ids at a position (padded with -1),
M decisions, E episodes, S sequences. Arithmetic is float32 or better, whatever the logits' type.
Every weighted mean is sum(w * term) / normalizer, the normalizer being sum(w) unless given: with gradient
accumulation pass the whole step's sum, so that the split into micro-batches does not change the update.
Left out: gathering hidden states and the trainer, which live beside this file.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "ForecastLoss",
    "closed_mass",
    "decision_weights",
    "entropy",
    "forecast_loss",
    "kl_to_reference",
    "log_distribution",
    "token_logprobs",
    "weighted_cross_entropy",
    "weighted_mean",
]


@dataclass(frozen=True, slots=True)
class ForecastLoss:
    """Binary cross-entropy, in nats a forecast, at the two places of a turn (both with gradient)."""

    before: Tensor
    after: Tensor

    @property
    def total(self) -> Tensor:
        """Mean of the two places."""
        return (self.before + self.after) / 2


def weighted_mean(terms_N: Tensor, weights_N: Tensor | None = None, normalizer: Tensor | float | None = None) -> Tensor:
    """Return sum(w * term) / normalizer; 0 with a (zero) gradient where nothing has weight.

    Positions of weight 0 are left out before multiplying, so that an infinity there does no harm.

    Raises:
        ValueError: a negative or non-finite weight, or shapes that differ.
    """
    weights_N = torch.ones_like(terms_N) if weights_N is None else weights_N.to(terms_N)
    if weights_N.shape != terms_N.shape:
        raise ValueError(f"expected a weight for each term, got {tuple(weights_N.shape)} for {tuple(terms_N.shape)}")
    if not bool(torch.all(torch.isfinite(weights_N) & (weights_N >= 0))):
        raise ValueError("expected finite weights of at least 0, got others; for negatives use the policy surrogate")
    kept_N = weights_N > 0
    weighted = torch.where(kept_N, terms_N, torch.zeros_like(terms_N)) * weights_N
    total = weights_N.sum() if normalizer is None else torch.as_tensor(normalizer).to(terms_N)
    return weighted.sum() / torch.where(total > 0, total, torch.ones_like(total))


def _full_precision(logits_NV: Tensor) -> Tensor:
    return logits_NV if logits_NV.dtype == torch.float64 else logits_NV.float()


def _open_mask(logits_NV: Tensor, allowed_NA: Tensor) -> Tensor:
    """Return which ids are open; a row of padding alone leaves every id open."""
    is_id_NA = allowed_NA >= 0
    spread_NV = torch.zeros(logits_NV.shape, dtype=torch.long, device=logits_NV.device)
    spread_NV.scatter_add_(1, allowed_NA.clamp(min=0), is_id_NA.long())
    return (spread_NV > 0) | ~is_id_NA.any(dim=1, keepdim=True)


def log_distribution(logits_NV: Tensor, allowed_NA: Tensor | None = None, temperature: Tensor | float = 1.0) -> Tensor:
    """Return log-probabilities over the vocabulary, -inf where restricted decoding left an id closed.

    Args:
        logits_NV: at each labelled position, for the token that comes there.
        allowed_NA: the ids left open, padded with -1; a row of padding alone means all. None means all, everywhere.
        temperature: what sampling divided the logits by, one number or one a position (N).
    """
    scaled_NV = _full_precision(logits_NV)
    if isinstance(temperature, Tensor) and temperature.ndim:
        temperature = temperature.to(scaled_NV).unsqueeze(-1)
    scaled_NV = scaled_NV / temperature
    if allowed_NA is not None:
        scaled_NV = scaled_NV.masked_fill(~_open_mask(logits_NV, allowed_NA), float("-inf"))
    return torch.log_softmax(scaled_NV, dim=-1)


def token_logprobs(
    logits_NV: Tensor, labels_N: Tensor, allowed_NA: Tensor | None = None, temperature: Tensor | float = 1.0
) -> Tensor:
    """Return log-probabilities (nats) of the labels, under the distribution that was sampled from.

    Cheaper than `log_distribution` where the restriction is narrow: the log-sum runs over the open ids alone.

    Raises:
        ValueError: a label that its own restriction closes, which no policy can have sampled.
    """
    scaled_NV = _full_precision(logits_NV)
    if isinstance(temperature, Tensor) and temperature.ndim:
        temperature = temperature.to(scaled_NV).unsqueeze(-1)
    scaled_NV = scaled_NV / temperature
    chosen_N = scaled_NV.gather(1, labels_N.unsqueeze(1)).squeeze(1)
    if allowed_NA is None:
        return chosen_N - torch.logsumexp(scaled_NV, dim=1)
    is_free_N = (allowed_NA < 0).all(dim=1)
    closed_N = ~is_free_N & ~(allowed_NA == labels_N.unsqueeze(1)).any(dim=1)
    if bool(closed_N.any()):
        first = int(closed_N.nonzero()[0, 0])
        raise ValueError(
            f"position {first}: expected the label among its open ids, got {int(labels_N[first])}; "
            f"the ledger's `allowed` and `sampled_ids` do not belong together"
        )
    logsum_N = scaled_NV.new_zeros(len(labels_N))
    logsum_N = logsum_N.index_put((is_free_N,), torch.logsumexp(scaled_NV[is_free_N], dim=1))
    open_NA = scaled_NV.gather(1, allowed_NA.clamp(min=0)).masked_fill(allowed_NA < 0, float("-inf"))
    logsum_N = logsum_N.index_put((~is_free_N,), torch.logsumexp(open_NA[~is_free_N], dim=1))
    return chosen_N - logsum_N


def closed_mass(logits_NV: Tensor, allowed_NA: Tensor) -> Tensor:
    """Return -log of the probability (N) that falls on the open ids; 0 where every id is open.

    Restricted decoding never samples the others, so that nothing else keeps probability off them: a policy trained
    under restriction alone can unlearn what is admissible.
    """
    logits_NV = _full_precision(logits_NV)
    is_free_N = (allowed_NA < 0).all(dim=1, keepdim=True)
    open_NA = logits_NV.gather(1, allowed_NA.clamp(min=0)).masked_fill((allowed_NA < 0) & ~is_free_N, float("-inf"))
    lost_N = torch.logsumexp(logits_NV, dim=1) - torch.logsumexp(open_NA, dim=1)
    return torch.where(is_free_N.squeeze(1), torch.zeros_like(lost_N), lost_N)


def weighted_cross_entropy(
    logits_NV: Tensor,
    labels_N: Tensor,
    weights_N: Tensor | None = None,
    allowed_NA: Tensor | None = None,
    normalizer: Tensor | float | None = None,
) -> Tensor:
    """Return the weighted mean of -log p(label), in nats a token.

    With `allowed_NA` the probability is that of restricted decoding, so that nothing is spent on ids that cannot
    be sampled; a forced token then costs 0.
    """
    return weighted_mean(-token_logprobs(logits_NV, labels_N, allowed_NA), weights_N, normalizer)


def decision_weights(episode_M: Tensor, weights_E: Tensor) -> Tensor:
    """Spread each episode's weight over its decisions (M), half of it on the first and the rest evenly.

    An episode counts once however long it is, since the long ones are the failed ones and would otherwise raise the
    base rate. The first decision is where forecasts choose tasks and plans, and where the least is known: with an even
    share it would have a tenth of the weight. The decisions of an episode must lie together, in their order.
    """
    counts_E = torch.bincount(episode_M, minlength=len(weights_E)).clamp(min=1)
    is_first_M = torch.ones_like(episode_M, dtype=torch.bool)
    is_first_M[1:] = episode_M[1:] != episode_M[:-1]
    counts_M = counts_E[episode_M]
    share_M = torch.where(is_first_M, 0.5, 0.5 / (counts_M - 1).clamp(min=1))
    return weights_E.float()[episode_M] * torch.where(counts_M == 1, 1.0, share_M)


def forecast_loss(
    before_M: Tensor,
    after_M: Tensor,
    episode_M: Tensor,
    failed_E: Tensor,
    weights_E: Tensor | None = None,
    normalizer: Tensor | float | None = None,
) -> ForecastLoss:
    """Return the forecast heads' binary cross-entropy against each episode's end, weighed by `decision_weights`.

    Args:
        before_M: logits of p_fail at the last prompt token (V = 1 - p).
        after_M: logits of p_fail at the last token of the decision (Q = 1 - p).
        episode_M: which episode each decision belongs to.
        failed_E: 1 - success, truncation counting as failure.
        weights_E: inverse of the probability that the episode was sampled for this loss (Horvitz-Thompson; with the
            default normalizer, self-normalised). Every finished on-policy episode belongs here, whatever its weight
            in the language-model loss.
        normalizer: see the module.
    """
    each_E = torch.ones_like(failed_E, dtype=torch.float32) if weights_E is None else weights_E
    weights_M = decision_weights(episode_M, each_E)
    labels_M = failed_E[episode_M]

    def at(logits_M: Tensor) -> Tensor:
        logits_M = _full_precision(logits_M)
        terms_M = functional.binary_cross_entropy_with_logits(logits_M, labels_M.to(logits_M), reduction="none")
        return weighted_mean(terms_M, weights_M, normalizer)

    return ForecastLoss(before=at(before_M), after=at(after_M))


def kl_to_reference(
    student_NV: Tensor,
    reference_NV: Tensor,
    weights_N: Tensor | None = None,
    normalizer: Tensor | float | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """Return KL(student || reference) in nats a position, exact over the full vocabulary.

    KL = sum_v p(v) (log p(v) - log q(v)); the gradient reaches the student alone. q is the reference's distribution at
    `temperature`; p is not tempered.
    """
    student_NV = torch.log_softmax(_full_precision(student_NV), dim=-1)
    reference_NV = torch.log_softmax(_full_precision(reference_NV.detach()) / temperature, dim=-1)
    return weighted_mean((student_NV.exp() * (student_NV - reference_NV)).sum(dim=-1), weights_N, normalizer)


def entropy(logits_NV: Tensor, allowed_NA: Tensor | None = None, temperature: Tensor | float = 1.0) -> Tensor:
    """Return each position's entropy (N) in nats, of the restricted, tempered distribution; 0 where forced."""
    log_NV = log_distribution(logits_NV, allowed_NA, temperature)
    finite_NV = log_NV.masked_fill(torch.isneginf(log_NV), 0.0)
    return -(log_NV.exp() * finite_NV).sum(dim=-1)
