"""What a training step minimises, and the loss's parts computed on a batch.

The unembedding runs at labelled positions alone (TRL scores every position where Triton is missing), and the heads
read the hidden states that are there anyway. Under `bf16` the backbone runs in bfloat16 autocast; unembedding, heads
and losses stay in the weights' own type, so that log-probabilities stay close to the ledger's. Left out: distributed
wrappers, which would need the backbone's call to go through them.
Shapes: B rows, T tokens, N labelled positions, M decisions, H hidden, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sage_gym.blockwise import blockwise_attention
from sage_gym.distill.batches import TrainingBatch
from sage_gym.distill.consistency import inverse_loss
from sage_gym.distill.inverse import InverseBatch
from sage_gym.distill.losses import (
    closed_mass,
    entropy,
    forecast_loss,
    kl_to_reference,
    token_logprobs,
    weighted_mean,
)
from sage_gym.distill.sharing import read_shared
from sage_gym.distill.surrogate import token_surrogate

__all__ = ["Losses", "Objective", "States", "StepLoss", "backbone_of", "hidden_states", "labelled_logits"]


@dataclass(frozen=True, slots=True)
class Objective:
    """What a step minimises; a weight of 0 leaves a part, and its cost, out.

    loss = cross_entropy·CE + policy_gradient·surrogate + forecast·BCE + inverse·(−log P(x | z, y))
           + kl·KL(student‖reference) + admissible·(−log P(open ids)) − entropy·H
    """

    cross_entropy: float = 0.0
    policy_gradient: float = 0.0
    forecast: float = 0.0
    inverse: float = 0.0
    kl: float = 0.0
    reference_temperature: float = 1.0
    """Of the reference in the KL to it; below 1 it is surer than it was."""
    admissible: float = 0.0
    entropy: float = 0.0
    clip_low: float = 0.2
    clip_high: float = 0.28
    restrict_cross_entropy: bool = False
    """Whether the cross-entropy, too, is under the restricted distribution; False also teaches what is admissible."""

    def total(self, losses: Losses) -> Tensor:
        """Return the weighted sum of a step's parts."""
        return sum(
            (getattr(self, name) * (-1 if name == "entropy" else 1) * part for name, part in losses.parts.items()),
            start=torch.zeros(()),
        )


@dataclass(slots=True)
class Losses:
    """The named parts of one step's loss, in nats, and what is watched beside them."""

    parts: dict[str, Tensor] = field(default_factory=dict)
    watched: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepLoss:
    """Computes the parts of the loss that an objective asks for.

    Args:
        model: the student's causal model.
        head: the meta-cognition head, or None.
        reference: the frozen student of the round's start, for the KL over the full vocabulary; without it the
            policy gradient's, KL(reference || student), is estimated at the sampled tokens (r - 1 - log r), at no cost.
        objective: see there.
        bf16: whether the backbone runs in bfloat16 autocast.

    Raises:
        ValueError: a KL without a reference and without recorded log-probabilities.
    """

    model: PreTrainedModel
    head: nn.Module | None
    reference: PreTrainedModel | None
    objective: Objective
    bf16: bool = False

    def __post_init__(self) -> None:
        if self.objective.kl and self.reference is None and not self.objective.policy_gradient:
            raise ValueError("objective.kl needs the reference model where there are no recorded log-probabilities")

    def __call__(self, batch: TrainingBatch, inverse: InverseBatch | None) -> Losses:
        """Return the parts on one batch, and on the inverse pass that goes with it."""
        objective, losses = self.objective, Losses()
        batch = batch.to(self.model.device)
        with self._autocast():
            states = hidden_states(self.model, batch)
        logits_NV = labelled_logits(self.model, states, batch)
        if objective.cross_entropy:
            allowed_NA = batch.allowed_NA if objective.restrict_cross_entropy else None
            nats_N, weights_N = -token_logprobs(logits_NV, batch.labels_N, allowed_NA), batch.weights_N
            if not objective.restrict_cross_entropy:
                nats_N, weights_N = self._with_forced(nats_N, states, batch)
            losses.parts["cross_entropy"] = weighted_mean(nats_N, weights_N)
        if objective.policy_gradient:
            self._add_policy_gradient(losses, logits_NV, batch)
            if objective.admissible:
                lost = self._with_forced(closed_mass(logits_NV, batch.allowed_NA), states, batch)
                losses.parts["admissible"] = weighted_mean(*lost)
        if objective.kl and self.reference is not None:
            losses.parts["kl"] = self._kl(self.reference, logits_NV, batch)
        if objective.forecast and self.head is not None:
            losses.parts["forecast"] = self._forecast(self.head, states, batch)
        if objective.inverse and self.head is not None and inverse is not None:
            with self._autocast():
                inverse = inverse.to(self.model.device)
                losses.parts["inverse"] = inverse_loss(self.model, cast(Any, self.head), inverse)
        return losses

    def _autocast(self) -> torch.autocast:
        """Cast here: the training loop's own autocast is around `model.forward`, which is not called."""
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.bf16)

    def _add_policy_gradient(self, losses: Losses, logits_NV: Tensor, batch: TrainingBatch) -> None:
        logprobs_N = token_logprobs(logits_NV, batch.labels_N, batch.allowed_NA, batch.temperature)
        surrogate = token_surrogate(
            logprobs_N,
            batch.logprobs_N,
            batch.advantages_N,
            batch.weights_N,
            clip_low=self.objective.clip_low,
            clip_high=self.objective.clip_high,
        )
        losses.parts["policy_gradient"] = surrogate.loss
        if self.objective.kl and self.reference is None:
            # the round's student, which is the reference, sampled these tokens: KL(reference || student) is what they
            # can tell without bias, and its gradient is bounded where an action has become unlikely
            ahead_N = logprobs_N - batch.logprobs_N
            losses.parts["kl"] = weighted_mean(ahead_N.exp() - 1 - ahead_N, batch.weights_N)
        losses.watched["clip_fraction"] = float(surrogate.clip_fraction)
        losses.watched["approximate_kl"] = float(surrogate.approximate_kl)
        if self.objective.entropy:
            entropy_N = entropy(logits_NV, batch.allowed_NA, batch.temperature)
            losses.parts["entropy"] = weighted_mean(entropy_N, batch.weights_N)

    def _with_forced(self, nats_N: Tensor, states: States, batch: TrainingBatch) -> tuple[Tensor, Tensor]:
        """Put -log p of the ids that were written without sampling behind those of the sampled, and their weights.

        Without restriction the student has to sample them, and nothing else would keep it able to.
        """
        logits_FV = logits_at(self.model, states, batch.before_forced_F)
        nats_F = -token_logprobs(logits_FV, batch.forced_F)
        return torch.cat([nats_N, nats_F]), torch.cat([batch.weights_N, batch.forced_weights_F])

    def _kl(self, reference: PreTrainedModel, logits_NV: Tensor, batch: TrainingBatch) -> Tensor:
        with torch.no_grad():
            with self._autocast():
                reference_states = hidden_states(reference, batch)
            reference_NV = labelled_logits(reference, reference_states, batch)
        temperature = self.objective.reference_temperature
        return kl_to_reference(logits_NV, reference_NV, batch.weights_N, temperature=temperature)

    def _forecast(self, head: nn.Module, states: States, batch: TrainingBatch) -> Tensor:
        opening_MH = cast(Any, head).read_openings(self.model.get_input_embeddings(), batch.openings())[batch.row_M]
        before_M = cast(Any, head).forecast(states[batch.value_M].float(), opening_MH, "before")
        after_M = cast(Any, head).forecast(states[batch.action_M].float(), opening_MH, "after")
        return forecast_loss(before_M, after_M, batch.row_M, batch.failed_B, batch.forecast_weights_B).total


def backbone_of(model: PreTrainedModel) -> nn.Module:
    """Return the part of a causal model below its unembedding, adapters included."""
    base: Any = cast(Any, model).get_base_model() if hasattr(model, "get_base_model") else model
    backbone = getattr(base, base.base_model_prefix)
    assert isinstance(backbone, nn.Module)
    return backbone


@dataclass(frozen=True, slots=True)
class States:
    """Last hidden states by flat index (B*T): `states[batch.before_N]` is (N, H)."""

    hidden_NH: Tensor
    place_BT: Tensor | None = None
    """Where a flat index lies in `hidden_NH`; None where they are the same."""

    def __getitem__(self, flat_M: Tensor) -> Tensor:
        """Return the states (M, H) at these flat indices."""
        return self.hidden_NH[flat_M if self.place_BT is None else self.place_BT[flat_M]]


def hidden_states(model: PreTrainedModel, batch: TrainingBatch) -> States:
    """Read a batch: as a tree where that can be, else its padded rows, which need no mask under causal attention."""
    backbone = backbone_of(model)
    shared_NH = read_shared(model, backbone, batch.sharing)
    if shared_NH is not None:
        return States(shared_NH, batch.sharing.place_BT)
    ids_BT = batch.ids_BT.to(model.device)
    longest, pieces = ids_BT.shape[1], []
    with blockwise_attention(model):
        for rows, length in batch.parts():
            states: Tensor = backbone(input_ids=ids_BT[rows, :length], use_cache=False).last_hidden_state
            pieces.append(nn.functional.pad(states, (0, 0, 0, longest - length)))
    return States(torch.cat(pieces).flatten(0, 1))


def logits_at(model: PreTrainedModel, states: States, flat_M: Tensor) -> Tensor:
    """Return the logits (M, V) at these flat indices, in the weights' own type."""
    unembedding: nn.Module = model.get_output_embeddings()
    logits_MV: Tensor = unembedding(states[flat_M].to(next(unembedding.parameters()).dtype))
    return logits_MV


def labelled_logits(model: PreTrainedModel, states: States, batch: TrainingBatch) -> Tensor:
    """Return the logits (N, V) of each sampled token."""
    return logits_at(model, states, batch.before_N)
