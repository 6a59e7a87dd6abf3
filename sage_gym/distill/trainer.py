"""A thin TRL `SFTTrainer`: the same loop, optimizer handling and callbacks, with our losses in `compute_loss`."""

from __future__ import annotations

import gc
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.utils.data import SequentialSampler
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.trainer_callback import PrinterCallback
from trl import SFTConfig, SFTTrainer

from sage_gym.distill.batches import TrainingBatch
from sage_gym.distill.inverse import InverseBatch
from sage_gym.distill.objective import Objective, StepLoss

__all__ = ["DistillationTrainer", "constant_rate", "plain_trainer", "train_steps", "training_arguments"]


class DistillationTrainer(SFTTrainer):  # type: ignore[misc]
    """Runs prepared batches in their order, one optimizer step each.

    Args:
        step_loss: what is minimised, of which model and head.
        batches: one a step.
        inverse: the inverse pass of each step, None where it has none; empty leaves the pass out.
        tokenizer: the student's.
        args: TRL's.
        optimizers: the optimizer and schedule to use.
    """

    def __init__(
        self,
        step_loss: StepLoss,
        batches: Sequence[TrainingBatch],
        inverse: Sequence[InverseBatch | None],
        tokenizer: PreTrainedTokenizerBase,
        args: SFTConfig,
        optimizers: tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR | None],
    ) -> None:
        self.step_loss, self.head = step_loss, step_loss.head
        self.batches, self.inverse = batches, inverse or [None] * len(batches)
        self.history: dict[str, list[float]] = defaultdict(list)
        super().__init__(
            model=step_loss.model,
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

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        """Scale the model's gradients and the head's by one factor, down to `max_grad_norm` over both together."""
        modules = [model] if self.head is None else [model, self.head]
        parameters = [parameter for module in modules for parameter in module.parameters()]
        return self.accelerator.clip_grad_norm_(parameters, self.args.max_grad_norm)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Return the objective on batch `inputs["step"]`; its parts are kept in `history`."""
        del return_outputs, num_items_in_batch
        if self.head is not None:
            self.head.zero_grad()  # the loop clears the gradients of `model` alone
        losses = self.step_loss(self.batches[inputs["step"]], self.inverse[inputs["step"]])
        for name, part in losses.parts.items():
            self.history[name].append(float(part.detach()))
        for name, value in losses.watched.items():
            self.history[name].append(value)
        return self.step_loss.objective.total(losses)


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


@contextmanager
def _few_objects() -> Iterator[None]:
    """Hide what is alive from the garbage collector, which TRL's loop runs at its start over all that is imported.

    Where somebody has hidden objects already, that is left as it is: it cannot be undone for ours alone.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


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
        step_loss = StepLoss(model, head, reference, objective, bf16=bf16)
        trainer = DistillationTrainer(step_loss, batches, inverse, tokenizer, args, optimizers)
        trainer.remove_callback(PrinterCallback)
        with _few_objects():
            trainer.train()
    model.__dict__.pop("forward", None)
    model.eval()
    return {name: sum(values) / len(values) for name, values in trainer.history.items()}
