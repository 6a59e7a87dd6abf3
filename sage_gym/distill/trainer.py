"""A thin TRL `SFTTrainer`: the same loop, optimizer handling and callbacks, with our losses in `compute_loss`.

The unembedding runs at labelled positions alone (TRL scores every position where Triton is missing), and the heads
read the hidden states that are there anyway. Under `bf16` the backbone runs in bfloat16 autocast; unembedding, heads
and losses stay in the weights' own type, so that log-probabilities stay close to the ledger's. Left out: distributed
wrappers, which would need the backbone's call to go through them.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.utils.data import SequentialSampler
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from sage_gym.distill.batches import TrainingBatch
from sage_gym.distill.consistency import inverse_loss
from sage_gym.distill.inverse import InverseBatch
from sage_gym.distill.losses import entropy, forecast_loss, kl_to_reference, token_logprobs, weighted_mean
from sage_gym.distill.surrogate import token_surrogate

__all__ = [
    "DistillationTrainer",
    "Objective",
    "backbone_of",
    "constant_rate",
    "hidden_states",
    "plain_trainer",
    "train_steps",
    "training_arguments",
]


@dataclass(frozen=True, slots=True)
class Objective:
    """What a step minimises; a weight of 0 leaves a part, and its cost, out.

    loss = cross_entropy·CE + policy_gradient·surrogate + forecast·BCE + inverse·(−log P(x | z, y))
           + kl·KL(student‖reference) − entropy·H
    """

    cross_entropy: float = 0.0
    policy_gradient: float = 0.0
    forecast: float = 0.0
    inverse: float = 0.0
    kl: float = 0.0
    entropy: float = 0.0
    clip_low: float = 0.2
    clip_high: float = 0.28
    restrict_cross_entropy: bool = False
    """Whether the cross-entropy, too, is under the restricted distribution; False also teaches what is admissible."""


def backbone_of(model: PreTrainedModel) -> nn.Module:
    """Return the part of a causal model below its unembedding, adapters included."""
    base: Any = cast(Any, model).get_base_model() if hasattr(model, "get_base_model") else model
    backbone = getattr(base, base.base_model_prefix)
    assert isinstance(backbone, nn.Module)
    return backbone


@dataclass(slots=True)
class Losses:
    """The named parts of one step's loss, in nats."""

    parts: dict[str, Tensor] = field(default_factory=dict)
    watched: dict[str, float] = field(default_factory=dict)


class DistillationTrainer(SFTTrainer):  # type: ignore[misc]
    """Runs prepared batches in their order, one optimizer step each.

    Args:
        model: the student's causal model.
        head: the meta-cognition head, or None.
        reference: the frozen student of the round's start, for the KL over the full vocabulary; without it the
            policy gradient's KL is estimated at the sampled tokens (r - 1 - log r), at no cost.
        objective: see there.
        batches: one a step.
        inverse: the inverse pass of each step, None where it has none; empty leaves the pass out.
        tokenizer: the student's.
        args: TRL's.
        optimizers: the optimizer and schedule to use.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        head: nn.Module | None,
        reference: PreTrainedModel | None,
        objective: Objective,
        batches: Sequence[TrainingBatch],
        inverse: Sequence[InverseBatch | None],
        tokenizer: PreTrainedTokenizerBase,
        args: SFTConfig,
        optimizers: tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR | None],
    ) -> None:
        if objective.kl and reference is None and not objective.policy_gradient:
            raise ValueError("objective.kl needs the reference model where there are no recorded log-probabilities")
        self.head, self.reference, self.objective = head, reference, objective
        self.batches, self.inverse = batches, inverse or [None] * len(batches)
        self.history: dict[str, list[float]] = defaultdict(list)
        super().__init__(
            model=model,
            args=args,
            processing_class=tokenizer,
            train_dataset=_numbered(len(batches)),
            data_collator=lambda items: {"step": int(items[0]["input_ids"][0])},
            optimizers=optimizers,
        )

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> tuple[list[Any], None]:
        """Count nothing: each batch carries its own normalisers."""
        return [next(epoch_iterator) for _ in range(num_batches)], None

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Return the objective on batch `inputs["step"]`; its parts are kept in `history`."""
        del return_outputs, num_items_in_batch
        if self.head is not None:
            self.head.zero_grad()  # the loop clears the gradients of `model` alone
        losses = self._losses(self.batches[inputs["step"]], self.inverse[inputs["step"]])
        weights = self.objective
        total = sum(
            (getattr(weights, name) * (-1 if name == "entropy" else 1) * part for name, part in losses.parts.items()),
            start=torch.zeros(()),
        )
        for name, part in losses.parts.items():
            self.history[name].append(float(part.detach()))
        for name, value in losses.watched.items():
            self.history[name].append(value)
        return total

    def _losses(self, batch: TrainingBatch, inverse: InverseBatch | None) -> Losses:
        objective, losses = self.objective, Losses()
        batch = batch.to(self.model.device)
        with self._autocast():
            hidden_NH = hidden_states(self.model, batch)
        logits_NV = _logits(self.model, hidden_NH[batch.before_N])
        if objective.cross_entropy:
            allowed_NA = batch.allowed_NA if objective.restrict_cross_entropy else None
            logprobs_N = token_logprobs(logits_NV, batch.labels_N, allowed_NA)
            losses.parts["cross_entropy"] = weighted_mean(-logprobs_N, batch.weights_N)
        if objective.policy_gradient:
            self._add_policy_gradient(losses, logits_NV, batch)
        if objective.kl and self.reference is not None:
            with torch.no_grad():
                with self._autocast():
                    reference_NH = hidden_states(self.reference, batch)
                reference_NV = _logits(self.reference, reference_NH[batch.before_N])
            losses.parts["kl"] = kl_to_reference(logits_NV, reference_NV, batch.weights_N)
        if objective.forecast and self.head is not None:
            self._add_forecast(losses, hidden_NH, batch)
        if objective.inverse and self.head is not None and inverse is not None:
            with self._autocast():
                inverse = inverse.to(self.model.device)
                losses.parts["inverse"] = inverse_loss(self.model, cast(Any, self.head), inverse)
        return losses

    def _autocast(self) -> torch.autocast:
        """Cast here: the loop's own autocast is around `model.forward`, which is not called."""
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=bool(self.args.bf16))

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
            # the round's student sampled these tokens, so the ledger holds the reference's log-probabilities already
            behind_N = batch.logprobs_N - logprobs_N
            losses.parts["kl"] = weighted_mean(behind_N.exp() - 1 - behind_N, batch.weights_N)
        losses.watched["clip_fraction"] = float(surrogate.clip_fraction)
        losses.watched["approximate_kl"] = float(surrogate.approximate_kl)
        if self.objective.entropy:
            entropy_N = entropy(logits_NV, batch.allowed_NA, batch.temperature)
            losses.parts["entropy"] = weighted_mean(entropy_N, batch.weights_N)

    def _add_forecast(self, losses: Losses, hidden_NH: Tensor, batch: TrainingBatch) -> None:
        assert self.head is not None
        before_M = cast(Any, self.head).forecast(hidden_NH[batch.value_M].float(), "before")
        after_M = cast(Any, self.head).forecast(hidden_NH[batch.action_M].float(), "after")
        loss = forecast_loss(before_M, after_M, batch.row_M, batch.failed_B, batch.forecast_weights_B)
        losses.parts["forecast"] = loss.total


def hidden_states(model: PreTrainedModel, batch: TrainingBatch) -> Tensor:
    """Return the last hidden state, flat (B*T, H). Right padding needs no mask under causal attention."""
    output = backbone_of(model)(input_ids=batch.ids_BT.to(model.device), use_cache=False)
    hidden: Tensor = output.last_hidden_state.flatten(0, 1)
    return hidden


def _logits(model: PreTrainedModel, hidden_NH: Tensor) -> Tensor:
    """Run the unembedding in its own type."""
    unembedding: nn.Module = model.get_output_embeddings()
    logits: Tensor = unembedding(hidden_NH.to(next(unembedding.parameters()).dtype))
    return logits


def _numbered(count: int) -> Dataset:
    """Return a dataset of numbers, which the collator turns into what is prepared."""
    return Dataset.from_dict({"input_ids": [[index] for index in range(count)]})


def plain_trainer(
    model: PreTrainedModel,
    inputs: Sequence[Mapping[str, Tensor]],
    tokenizer: PreTrainedTokenizerBase,
    args: SFTConfig,
    optimizers: tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR | None],
) -> SFTTrainer:
    """Return TRL's own trainer, its loss included, on prepared inputs, one a step: what ours is held against."""
    return SFTTrainer(
        model=model,
        args=args,
        processing_class=tokenizer,
        train_dataset=_numbered(len(inputs)),
        data_collator=lambda items: dict(inputs[int(items[0]["input_ids"][0])]),
        optimizers=optimizers,
    )


def training_arguments(
    model: PreTrainedModel, folder: Path, *, clip: float = 1.0, bf16: bool = True, seed: int = 0
) -> SFTConfig:
    """Return TRL's arguments for one pass over prepared batches, a batch a row, with nothing saved or logged."""
    return SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=1,
        num_train_epochs=1,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
        gradient_checkpointing=False,
        bf16=bf16,
        max_grad_norm=clip,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        seed=seed,
        use_cpu=model.device.type == "cpu",
        dataloader_pin_memory=False,
    )


def constant_rate(optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LambdaLR:
    """Return a schedule that leaves the optimizer its learning rates of the moment."""
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]  # an earlier schedule has left its own here, which would win
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)


def train_steps(
    model: PreTrainedModel,
    head: nn.Module | None,
    reference: PreTrainedModel | None,
    objective: Objective,
    batches: Sequence[TrainingBatch],
    tokenizer: PreTrainedTokenizerBase,
    optimizer: torch.optim.Optimizer,
    *,
    inverse: Sequence[InverseBatch | None] = (),
    clip: float = 1.0,
    bf16: bool = True,
    seed: int = 0,
) -> dict[str, float]:
    """Run one optimizer step a batch and return the mean of each part of the loss.

    The optimizer's own learning rate and state are used as they are, so that a run of many short rounds does not
    restart its moments. Leaves the model in evaluation mode with its own `forward`.
    """
    if not batches:
        return {}
    with tempfile.TemporaryDirectory(prefix="sage_gym_trainer_") as folder:
        args = training_arguments(model, Path(folder), clip=clip, bf16=bf16, seed=seed)
        optimizers = (optimizer, constant_rate(optimizer))
        trainer = DistillationTrainer(model, head, reference, objective, batches, inverse, tokenizer, args, optimizers)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    model.__dict__.pop("forward", None)
    model.eval()
    return {name: sum(values) / len(values) for name, values in trainer.history.items()}
