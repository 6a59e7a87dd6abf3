"""Whether the forecast baseline is used in a round: by what it did to the gradient's variance in the rounds before.

The gate is a function of the earlier rounds' manifests, so that a run that was killed decides as one that was not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sage_gym.distill.batches import collate
from sage_gym.distill.estimators import BaselineGate, VarianceReport
from sage_gym.distill.losses import token_logprobs
from sage_gym.distill.objective import hidden_states, labelled_logits
from sage_gym.distill.returns import Returns
from sage_gym.distill.rows import Example, rows_of
from sage_gym.protocols import Student
from sage_gym.types import Trajectory

__all__ = ["gate_after", "gate_metrics", "measure_baseline"]

SECOND_MOMENT, CHANGE = "reinforce/baseline_second_moment", "reinforce/baseline_change"


def gate_after(rounds: Iterable[Mapping[str, float]]) -> BaselineGate:
    """Return the gate for the round after these, from their metrics; rounds that measured nothing leave it as it is."""
    gate = BaselineGate()
    for metrics in rounds:
        if SECOND_MOMENT in metrics and CHANGE in metrics:
            gate = gate.updated(VarianceReport(0.0, 0.0, metrics[SECOND_MOMENT], metrics[CHANGE]))
    return gate


def gate_metrics(gate: BaselineGate, report: VarianceReport) -> dict[str, float]:
    """Tell whether the forecasts were used (1) or the group in their place (0), and what this round measured."""
    return {
        "reinforce/baseline_gate": float(gate.is_open),
        SECOND_MOMENT: report.second_moment,
        CHANGE: report.change,
    }


def measure_baseline(
    student: Student, trajectories: Sequence[Trajectory], returns: Returns, *, episodes: int, seed: int
) -> VarianceReport:
    """Measure, on episodes drawn by lot, what the baselines change in the gradient estimate's second moment.

    An episode's estimate is sum_t (R - b_t) grad log p(z_t), with b_t the baseline of the turn that token t is of; for
    one b over all turns this is `estimators.variance_report`. One backward pass an episode, two where b moves.

    Args:
        student: whose weights sampled the episodes.
        trajectories: finished episodes of its own.
        returns: of these, with the baselines in question.
        episodes: how many to measure at most.
        seed: of the lot.
    """
    chosen = np.random.default_rng([seed, 11]).permutation(len(trajectories))[:episodes].tolist()
    found = [_measure(student, trajectories[i], float(returns.returns_B[i]), returns.baselines_BK[i]) for i in chosen]
    norms_B, returns_B, with_B = (torch.tensor(column, dtype=torch.float64) for column in zip(*found, strict=True))
    weighted, without = float((norms_B * returns_B).mean()), float((norms_B * returns_B.square()).mean())
    score_norm = float(norms_B.mean())
    return VarianceReport(
        score_norm=score_norm,
        weighted_return=weighted / score_norm if score_norm > 0 else 0.0,
        second_moment=without,
        change=float(with_B.mean()) - without,
    )


def _measure(
    student: Student, trajectory: Trajectory, value: float, base_K: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return ||grad log p(z)||^2, R, and ||sum_t (R - b_t) grad log p(z_t)||^2 of one episode."""
    examples = [
        Example(row, advantage_N=(value - base_K[row.turn_N]).astype(np.float32))
        for row in rows_of(trajectory)
        if len(row.sampled_N)
    ]
    if not examples:
        return 0.0, value, 0.0
    batch = collate(examples, pad=student.tokenizer.pad_token_id or 0).to(student.model.device)
    with torch.autocast(student.model.device.type, torch.bfloat16):
        states = hidden_states(student.model, batch)
    logits_NV = labelled_logits(student.model, states, batch)
    logprobs_N = token_logprobs(logits_NV, batch.labels_N, batch.allowed_NA, batch.temperature)
    parameters = [parameter for parameter in student.model.parameters() if parameter.requires_grad]
    norm = _squared_norm(logprobs_N.sum(), parameters)
    advantages = batch.advantages_N.tolist()
    if all(a == b for a, b in pairwise(advantages)):
        return norm, value, advantages[0] ** 2 * norm
    return norm, value, _squared_norm((batch.advantages_N * logprobs_N).sum(), parameters)


def _squared_norm(total: Tensor, parameters: Sequence[Tensor]) -> float:
    gradients = torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
    return sum(float(gradient.double().square().sum()) for gradient in gradients if gradient is not None)
