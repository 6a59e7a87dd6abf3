"""The forecast head alone, fitted to the optimum on a frozen backbone: a round's own steps are few and noisy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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


FADING = 0.5
"""What an earlier round's decisions weigh, over those of the round after it."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What the head sees of M decisions, what became of them, and what they weigh; `round_M` counts back from 0."""

    hidden: dict[str, Tensor]
    opening_MH: Tensor
    failed_M: Tensor
    weights_M: Tensor
    round_M: Tensor


def fit_forecasts(
    student: Student,
    trajectories: Sequence[Trajectory],
    *,
    earlier: Sequence[Sequence[Trajectory]] = (),
    share: float = 1.0,
    seed: int = 0,
    penalty: float = 3e-3,
    step_tokens: int = 16_384,
) -> dict[str, float]:
    """Fit both places' logistic regressions on what the head reads of finished episodes, to the optimum (L-BFGS).

    Decisions are weighed as in `decision_weights`, those of a round by `FADING` of the round after it, since it was
    another student that failed then; each earlier round has a base rate of its own, which is not kept. What is fitted
    are Platt's targets (1999, "Probabilistic outputs for support vector machines"): (n1 + 1) / (n1 + 2) for n1
    failures and 1 / (n0 + 2) for n0 successes, so that episodes which all failed leave a finite bias.

    Args:
        student: with a meta-cognition head, which is fitted in place.
        trajectories: the episodes to learn from.
        earlier: episodes of the rounds before, the latest first, of which the first decision alone is read.
        share: of `trajectories`, by lot, the part of which every decision is read; of the others, the first.
        seed: of that lot.
        penalty: weight of the squared norm; inputs are standardised.
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
    now = [t if whole else _first(t) for t, whole in zip(trajectories, whole_T, strict=True)]
    rounds = [now, *([_first(t) for t in round] for round in earlier)]
    parts = [part for back, round in enumerate(rounds) for part in _read(student, head, round, back, step_tokens)]
    if not parts:
        raise ValueError("expected at least one finished episode to fit forecasts on, got none")
    return {
        f"forecast/nll_{place}": _fit((head.forecasts[place], head.openings[place]), parts, place, penalty)
        for place in ("before", "after")
    }


def _first(trajectory: Trajectory) -> Trajectory:
    return replace(trajectory, turns=trajectory.turns[:1])


def _read(student: Student, head: Any, round: Sequence[Trajectory], back: int, step_tokens: int) -> Iterator[_Read]:
    """Read the finished episodes of a round, `back` rounds ago."""
    examples = examples_for_distillation([t for t in round if t.turns and not t.is_infrastructure], {})
    for step in _alike(examples, step_tokens):
        batch = collate(step, pad=student.tokenizer.pad_token_id or 0)
        with torch.inference_mode():
            states = hidden_states(student.model, batch)
        opening_BH = head.read_openings(student.model.get_input_embeddings(), batch.openings())
        yield _Read(
            {"before": states[batch.value_M].float().cpu(), "after": states[batch.action_M].float().cpu()},
            opening_BH[batch.row_M].cpu(),
            batch.failed_B[batch.row_M].cpu(),
            FADING**back * decision_weights(batch.row_M, batch.forecast_weights_B).cpu(),
            torch.full_like(batch.row_M, back).cpu(),
        )


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


def _fit(linears: tuple[torch.nn.Linear, torch.nn.Linear], parts: Sequence[_Read], place: str, penalty: float) -> float:
    """Fit the weights of hidden states and openings, and the bias of round 0; return the mean loss."""
    inputs = torch.cat([part.hidden[place] for part in parts]), torch.cat([part.opening_MH for part in parts])
    failed_M, weights_M = torch.cat([part.failed_M for part in parts]), torch.cat([part.weights_M for part in parts])
    round_M = torch.cat([part.round_M for part in parts])
    means, scales = [x_MH.mean(0) for x_MH in inputs], [x_MH.std().clamp_min(1e-6) for x_MH in inputs]
    inputs_MI = torch.cat([(x - mean) / scale for x, mean, scale in zip(inputs, means, scales, strict=True)], dim=1)
    weight_I = torch.zeros(inputs_MI.shape[1], requires_grad=True)
    biases_R = torch.zeros(int(round_M.max()) + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight_I, biases_R], max_iter=200, line_search_fn="strong_wolfe")
    total, failures = weights_M.sum(), (weights_M * failed_M).sum()
    targets_M = torch.where(failed_M > 0, (failures + 1) / (failures + 2), 1 / (total - failures + 2))

    def nll(labels_M: Tensor) -> Tensor:
        logits_M = inputs_MI @ weight_I + biases_R[round_M]
        terms_M = functional.binary_cross_entropy_with_logits(logits_M, labels_M, reduction="none")
        return (terms_M * weights_M).sum() / total

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nll(targets_M) + penalty * weight_I.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        linears[0].bias.copy_(biases_R[round_M.min()])
        parts_I = weight_I.split([x_MH.shape[1] for x_MH in inputs])
        for linear, part_H, mean_H, scale in zip(linears, parts_I, means, scales, strict=True):
            linear.weight.copy_((part_H / scale).unsqueeze(0))
            linears[0].bias.sub_((part_H / scale) @ mean_H)
        return float(nll(failed_M))
