"""The forecast head alone, fitted to the optimum on a frozen backbone: a round's own steps are few and noisy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sage_gym.distill.batches import collate
from sage_gym.distill.losses import decision_weights
from sage_gym.distill.objective import hidden_states
from sage_gym.distill.returns import examples_for_distillation
from sage_gym.distill.rows import Example
from sage_gym.protocols import Student
from sage_gym.types import Trajectory

__all__ = ["fit_forecasts"]


def fit_forecasts(
    student: Student,
    trajectories: Sequence[Trajectory],
    *,
    earlier: Sequence[Trajectory] = (),
    share: float = 1.0,
    seed: int = 0,
    penalty: float = 1e-2,
    step_tokens: int = 16_384,
) -> dict[str, float]:
    """Fit both places' logistic regressions on what the head reads of finished episodes, to the optimum (L-BFGS).

    Decisions are weighed as in `decision_weights`. `penalty` is the weight of the squared norm. What is fitted are
    Platt's targets (1999, "Probabilistic outputs for support vector machines"): (n1 + 1) / (n1 + 2) for n1 failures
    and 1 / (n0 + 2) for n0 successes, so that episodes which all failed leave a finite bias.

    Args:
        student: with a meta-cognition head, which is fitted in place.
        trajectories: the episodes to learn from.
        earlier: episodes of which the first decision alone is read, which costs little.
        share: of `trajectories`, by lot, the part of which every decision is read; of the others, the first.
        seed: of that lot.
        penalty: see above; inputs are standardised.
        step_tokens: of one forward pass.

    Returns:
        `forecast/nll_<place>`: mean negative log-likelihood in nats, on what was fitted.

    Raises:
        ValueError: the student has no head, or no episode is finished.
    """
    head: Any = student.head
    if head is None:
        raise ValueError("expected a student with a meta-cognition head, got one without")
    whole_T = np.random.default_rng([seed, 11]).random(len(trajectories)) < share
    cut = [replace(t, turns=t.turns[:1]) for t in earlier if t.turns]
    read = [t if whole else replace(t, turns=t.turns[:1]) for t, whole in zip(trajectories, whole_T, strict=True)]
    finished = [t for t in (*read, *cut) if not t.is_infrastructure]
    examples = examples_for_distillation(finished, {})
    if not examples:
        raise ValueError("expected at least one finished episode to fit forecasts on, got none")
    hidden: dict[str, list[Tensor]] = {"before": [], "after": []}
    openings: list[Tensor] = []
    labels, weights = [], []
    for step in _alike(examples, step_tokens):
        batch = collate(step, pad=student.tokenizer.pad_token_id or 0)
        with torch.inference_mode():
            states = hidden_states(student.model, batch)
        hidden["before"].append(states[batch.value_M].float().cpu())
        hidden["after"].append(states[batch.action_M].float().cpu())
        opening_BH = head.read_openings(student.model.get_input_embeddings(), batch.openings())
        openings.append(opening_BH[batch.row_M].cpu())
        labels.append(batch.failed_B[batch.row_M])
        weights.append(decision_weights(batch.row_M, batch.forecast_weights_B))
    return {
        f"forecast/nll_{place}": _fit(
            (head.forecasts[place], head.openings[place]), (torch.cat(hidden[place]), torch.cat(openings)),
            torch.cat(labels), torch.cat(weights), penalty,
        )
        for place in ("before", "after")
    }  # fmt: skip


def _alike(examples: Sequence[Example], step_tokens: int) -> Iterator[list[Example]]:
    """Cut the examples into passes, in the order of their ids, so that what they have in common is read once."""
    step: list[Example] = []
    for example in sorted(examples, key=lambda example: example.row.ids_T.tolist()):
        step.append(example)
        if sum(len(other.row.ids_T) for other in step) >= step_tokens:
            yield step
            step = []
    if step:
        yield step


def _fit(
    linears: tuple[torch.nn.Linear, torch.nn.Linear],
    inputs: tuple[Tensor, Tensor],
    failed_M: Tensor,
    weights_M: Tensor,
    penalty: float,
) -> float:
    """Fit the weights of both inputs (M, H) and the first one's bias; `penalty` is on what is standardised."""
    means, scales = [x_MH.mean(0) for x_MH in inputs], [x_MH.std().clamp_min(1e-6) for x_MH in inputs]
    inputs_MI = torch.cat([(x - mean) / scale for x, mean, scale in zip(inputs, means, scales, strict=True)], dim=1)
    weight_I = torch.zeros(inputs_MI.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight_I, bias], max_iter=200, line_search_fn="strong_wolfe")
    total = weights_M.sum()
    failures = (weights_M * failed_M).sum()
    targets_M = torch.where(failed_M > 0, (failures + 1) / (failures + 2), 1 / (total - failures + 2))

    def nll(labels_M: Tensor) -> Tensor:
        terms_M = functional.binary_cross_entropy_with_logits(inputs_MI @ weight_I + bias, labels_M, reduction="none")
        return (terms_M * weights_M).sum() / total

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nll(targets_M) + penalty * weight_I.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        linears[0].bias.copy_(bias)
        parts = weight_I.split([x_MH.shape[1] for x_MH in inputs])
        for linear, part_H, mean_H, scale in zip(linears, parts, means, scales, strict=True):
            linear.weight.copy_((part_H / scale).unsqueeze(0))
            linears[0].bias.sub_((part_H / scale) @ mean_H)
        return float(nll(failed_M))
