"""Examples of a tiny student, and training it by plain descent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from policies.causal_lm import CausalLM
from sage_gym.distill.batches import TrainingBatch, collate
from sage_gym.distill.losses import token_logprobs
from sage_gym.distill.objective import Objective, hidden_states
from sage_gym.distill.returns import examples_for_distillation
from sage_gym.distill.rows import Example
from sage_gym.distill.trainer import train_steps
from tests.nano_toys import play

CROSS_ENTROPY = Objective(cross_entropy=1.0)
GRADIENT = Objective(policy_gradient=1.0, clip_low=0.9, clip_high=10.0)


def examples_of(student: CausalLM, *, seed: int = 0, weight: float = 1.0) -> list[Example]:
    found = play(student, seed=seed)
    return examples_for_distillation(found, {trajectory.id: weight for trajectory in found})


def batch_of(examples: Sequence[Example]) -> TrainingBatch:
    return collate(examples, pad=0)


def train(
    student: CausalLM,
    batches: Sequence[TrainingBatch],
    objective: Objective,
    optimizer: torch.optim.Optimizer | None = None,
    **options: Any,
) -> dict[str, float]:
    """Train in float32 without clipping unless told otherwise."""
    optimizer = optimizer or descent(student)
    options = {"bf16": False, "clip": 1e9, **options}
    return train_steps(
        student.model, student.head, options.pop("reference", None), objective, batches, student.tokenizer, optimizer,
        **options,
    )  # fmt: skip


def descent(student: CausalLM, learning_rate: float = 0.01) -> torch.optim.SGD:
    head = student.head
    assert head is not None
    return torch.optim.SGD([*student.model.parameters(), *head.parameters()], lr=learning_rate)


def weights_of(module: nn.Module | None) -> dict[str, Tensor]:
    assert module is not None
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def are_equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def logprobs_now(student: CausalLM, batch: TrainingBatch) -> Tensor:
    with torch.no_grad():
        hidden_NH = hidden_states(student.model, batch)
        logits_NV = student.model.get_output_embeddings()(hidden_NH[batch.before_N])
        return token_logprobs(logits_NV, batch.labels_N, batch.allowed_NA, batch.temperature)
