"""The forecast head alone, on a frozen backbone: how a head begins, before rounds train it with everything else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sage_gym.distill.batches import collate, plan_steps
from sage_gym.distill.losses import decision_weights
from sage_gym.distill.objective import hidden_states
from sage_gym.distill.returns import examples_for_distillation
from sage_gym.protocols import Student
from sage_gym.types import Trajectory

__all__ = ["fit_forecasts"]


def fit_forecasts(
    student: Student, trajectories: Sequence[Trajectory], *, penalty: float = 1e-3, step_tokens: int = 16_384
) -> dict[str, float]:
    """Fit both places' logistic regressions on the hidden states of finished episodes, to the optimum (L-BFGS).

    Decisions are weighed as in `decision_weights`. `penalty` is the weight of the squared norm.

    Returns:
        `forecast/nll_<place>`: mean negative log-likelihood in nats, on what was fitted.

    Raises:
        ValueError: the student has no head, or no episode is finished.
    """
    head: Any = student.head
    if head is None:
        raise ValueError("expected a student with a meta-cognition head, got one without")
    finished = [t for t in trajectories if not t.is_infrastructure]
    examples = examples_for_distillation(finished, {})
    hidden: dict[str, list[Tensor]] = {"before": [], "after": []}
    labels, weights = [], []
    for step in plan_steps(examples, step_tokens=step_tokens, seed=0):
        batch = collate(step, pad=student.tokenizer.pad_token_id or 0)
        with torch.inference_mode():
            states = hidden_states(student.model, batch)
        hidden["before"].append(states[batch.value_M].float().cpu())
        hidden["after"].append(states[batch.action_M].float().cpu())
        labels.append(batch.failed_B[batch.row_M])
        weights.append(decision_weights(batch.row_M, batch.forecast_weights_B))
    return {
        f"forecast/nll_{place}": _fit(
            head.forecasts[place], torch.cat(hidden[place]).clone(), torch.cat(labels), torch.cat(weights), penalty
        )
        for place in ("before", "after")
    }


def _fit(linear: torch.nn.Linear, hidden_MH: Tensor, failed_M: Tensor, weights_M: Tensor, penalty: float) -> float:
    mean_H, scale = hidden_MH.mean(0), hidden_MH.std()
    inputs_MH = (hidden_MH - mean_H) / scale
    weight_H = torch.zeros(hidden_MH.shape[1], requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight_H, bias], max_iter=200, line_search_fn="strong_wolfe")
    total = weights_M.sum()

    def closure() -> Tensor:
        optimizer.zero_grad()
        terms_M = functional.binary_cross_entropy_with_logits(inputs_MH @ weight_H + bias, failed_M, reduction="none")
        loss: Tensor = (terms_M * weights_M).sum() / total + penalty * weight_H.square().sum()
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    with torch.no_grad():
        linear.weight.copy_((weight_H / scale).unsqueeze(0))
        linear.bias.copy_(bias - (weight_H / scale) @ mean_H)
    return float(loss)
