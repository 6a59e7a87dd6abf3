"""Gradient estimators of the second stage: the inverse gradient, the forecast baseline, and when to drop it.

Shapes: N sampled tokens (flattened over the batch), B sequences. Notation: z a sampled sequence, c what the policy
was given when it sampled, R its return, b a baseline, n = ||grad log p(z | c)||^2.

Lemma. With R(z) = log P(x | z, y) scored by the round's frozen reference, sum_t grad log p(z_t | z_<t, c) R(z) is an
unbiased estimate of grad E[R]: grad E[R] = sum_z grad p(z) R(z) = E[R grad log p], because R does not move with the
student. Hence the detach. A b that no sampled token can influence adds b E[grad log p] = 0. After SAGE-32B
(arXiv 2601.04237, appendix and theorem 1), with its condition on y replaced by c.

Variance. b changes E||g||^2 by G (b^2 - 2 b R~), G = E[n], R~ = E[n R] / G. The mean stays, so the variance changes
by the same: it falls exactly when 0 < b < 2 R~, and even a perfect forecast can raise it.
Left out: division by the group's standard deviation (GRPO), which biases the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sage_gym.types import Decision, Trajectory

__all__ = [
    "BaselineGate",
    "VarianceReport",
    "advantages",
    "forecast_baselines",
    "inverse_gradient_loss",
    "leave_one_out",
    "policy_gradient_loss",
    "score_norms",
    "sequence_logprobs",
    "variance_report",
]


def _frozen(values: Tensor) -> Tensor:
    """Cut the gradient: what multiplies grad log p must not move with the student."""
    return values.detach()


def _forecast_before(decision: Decision) -> float | None:
    """Read the forecast that no sampled token can have influenced."""
    return decision.p_fail_before


def sequence_logprobs(logprobs_N: Tensor, sequence_N: Tensor, count: int) -> Tensor:
    """Return log p(z | c) of each sequence (B): the sum over its tokens, 0 for one without tokens."""
    return logprobs_N.new_zeros(count).index_add(0, sequence_N, logprobs_N)


def advantages(returns_B: Tensor, baselines_B: Tensor | None = None) -> Tensor:
    """Return R - b, without gradient; R alone where there is no baseline."""
    return _frozen(returns_B if baselines_B is None else returns_B - baselines_B)


def policy_gradient_loss(
    logprobs_N: Tensor, sequence_N: Tensor, returns_B: Tensor, baselines_B: Tensor | None = None
) -> Tensor:
    """Return the loss whose negative gradient is the unbiased estimate mean_i (R_i - b_i) sum_t grad log p(z_t).

    Args:
        logprobs_N: with gradient, under the distribution that was sampled from (restriction and temperature included).
        sequence_N: which sequence each token belongs to.
        returns_B: R, or R + eta ICS; any gradient they carry is cut.
        baselines_B: what `forecast_baselines` and `leave_one_out` give.
    """
    advantages_B = advantages(returns_B, baselines_B).to(logprobs_N)
    return -(sequence_logprobs(logprobs_N, sequence_N, len(returns_B)) * advantages_B).mean()


def inverse_gradient_loss(
    logprobs_N: Tensor, sequence_N: Tensor, reconstruction_B: Tensor, baselines_B: Tensor | None = None
) -> Tensor:
    """Return the loss of the Lemma: the policy gradient with R = log P(x | z, y).

    Args:
        logprobs_N: the student's, of the trace z given c.
        sequence_N: which trace each token belongs to.
        reconstruction_B: log P(x | z, y) in nats, by the round's frozen reference. Scores of a reference that shares
            weights with the student are safe: their gradient is cut here.
        baselines_B: as for `policy_gradient_loss`.
    """
    return policy_gradient_loss(logprobs_N, sequence_N, reconstruction_B, baselines_B)


def forecast_baselines(trajectories: Sequence[Trajectory]) -> Tensor:
    """Return b(x) = V(x) = 1 - p_fail (B, float64), read at the last prompt token of the first decision.

    The forecast at the decision's end (Q) is not a baseline: it depends on the action, which biases the gradient.

    Raises:
        ValueError: a trajectory whose first decision carries no forecast.
    """
    values = []
    for trajectory in trajectories:
        p_fail = _forecast_before(trajectory.turns[0].decision) if trajectory.turns else None
        if p_fail is None:
            raise ValueError(
                f"trajectory {trajectory.id}: expected p_fail_before on its first decision, got none; "
                f"collect with a policy that has a meta-cognition head, or train without the baseline"
            )
        values.append(1.0 - p_fail)
    return torch.tensor(values, dtype=torch.float64)


def leave_one_out(values_B: Tensor, group_B: Tensor | None = None) -> Tensor:
    """Return the mean of the *other* members of each one's group (B); 0 where there is no other.

    With eta ICS in the reward, V(x) does not cover that part; eta * leave_one_out(ICS) does, and stays independent of
    the sequence itself, so that the gradient stays unbiased (a mean that includes it shrinks the gradient).
    """
    group_B = torch.zeros(len(values_B), dtype=torch.long, device=values_B.device) if group_B is None else group_B
    is_same_BB = group_B.unsqueeze(0) == group_B.unsqueeze(1)
    others_BB = (is_same_BB & ~torch.eye(len(values_B), dtype=torch.bool, device=values_B.device)).to(values_B)
    return (others_BB @ values_B) / others_BB.sum(dim=1).clamp(min=1)


def score_norms(logprobs_N: Tensor, sequence_N: Tensor, count: int, parameters: Sequence[Tensor]) -> Tensor:
    """Return n = ||grad log p(z)||^2 of each sequence (B), exactly: one backward pass a sequence, so for a probe.

    The graph of `logprobs_N` is kept for the caller's own backward pass.
    """
    norms = []
    for total in sequence_logprobs(logprobs_N, sequence_N, count):
        gradients = torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
        squares = [g.double().square().sum() for g in gradients if g is not None]
        norms.append(torch.stack(squares).sum() if squares else torch.zeros((), dtype=torch.float64))
    return torch.stack(norms)


@dataclass(frozen=True, slots=True)
class VarianceReport:
    """What a baseline does to the second moment of the gradient estimate (and so to its variance)."""

    score_norm: float
    """G = E[n]."""
    weighted_return: float
    """R~ = E[n R] / G."""
    second_moment: float
    """E[n R^2], without the baseline."""
    change: float
    """E[n (b^2 - 2 b R)], which is G (b^2 - 2 b R~) for one b."""

    @property
    def ratio(self) -> float:
        """Second moment with the baseline over that without; above 1 the baseline does harm."""
        if self.second_moment == 0.0:
            return math.inf if self.change > 0.0 else 1.0
        return 1.0 + self.change / self.second_moment


def variance_report(
    norms_B: Tensor, returns_B: Tensor, baselines_B: Tensor, weights_B: Tensor | None = None
) -> VarianceReport:
    """Measure G, R~ and what the baselines change, as (weighted) means over the sequences.

    Args:
        norms_B: from `score_norms`.
        returns_B: R, or R + eta ICS.
        baselines_B: one a sequence; they may differ from task to task.
        weights_B: probabilities, or inverse sampling probabilities; uniform unless given.

    Raises:
        ValueError: no sequences, or no weight.
    """
    norms_B, returns_B, baselines_B = norms_B.double(), returns_B.double(), baselines_B.double()
    weights_B = torch.ones_like(norms_B) if weights_B is None else weights_B.double()
    if not float(weights_B.sum()) > 0:
        raise ValueError(f"expected at least one sequence with weight to measure on, got {len(norms_B)} without")
    weights_B = weights_B / weights_B.sum()
    score_norm = float((weights_B * norms_B).sum())
    weighted = float((weights_B * norms_B * returns_B).sum())
    return VarianceReport(
        score_norm=score_norm,
        weighted_return=weighted / score_norm if score_norm > 0 else 0.0,
        second_moment=float((weights_B * norms_B * returns_B.square()).sum()),
        change=float((weights_B * norms_B * (baselines_B.square() - 2 * baselines_B * returns_B)).sum()),
    )


@dataclass(frozen=True, slots=True)
class BaselineGate:
    """Uses the baseline while its measured variance ratio is at most 1, and drops it while above.

    The ratio comes from *earlier* batches: deciding by a batch's own returns would make the baseline depend on the
    actions, which biases the gradient. Measuring goes on while it is dropped, so that it can come back.
    """

    second_moment: float = 0.0
    change: float = 0.0
    decay: float = 0.9
    """Of the running sums, per update."""

    @property
    def ratio(self) -> float:
        """The running variance ratio; 1 before anything was measured."""
        return VarianceReport(0.0, 0.0, self.second_moment, self.change).ratio

    @property
    def is_open(self) -> bool:
        """Whether the baseline is used."""
        return self.ratio <= 1.0

    def apply(self, baselines_B: Tensor) -> Tensor:
        """Return the baselines, or zeros while they would raise the variance."""
        return baselines_B if self.is_open else torch.zeros_like(baselines_B)

    def updated(self, report: VarianceReport) -> BaselineGate:
        """Return the gate for the batches after the one that was measured."""
        return replace(
            self,
            second_moment=self.decay * self.second_moment + report.second_moment,
            change=self.decay * self.change + report.change,
        )
