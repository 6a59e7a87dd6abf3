"""The lemma and the variance statement, by enumeration through the production estimators.

A policy writes two tokens over a vocabulary of three (restricted and tempered as in decoding), so that every
expectation is a finite sum. The reconstruction score shares the policy's parameters on purpose: only the detach keeps
its gradient out. Each planted mistake is made inside the production code and must be caught by the same check.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sage_gym.distill import estimators
from sage_gym.distill.estimators import (
    BaselineGate,
    VarianceReport,
    advantages,
    forecast_baselines,
    inverse_gradient_loss,
    leave_one_out,
    policy_gradient_loss,
    score_norms,
    variance_report,
)
from sage_gym.distill.losses import token_logprobs
from sage_gym.distill.surrogate import token_surrogate
from sage_gym.types import Decision, StopReason, Task, Trajectory, Turn

torch.set_num_threads(1)
V = 3
TEMPERATURE = 0.7
TRACES = [z for z in product(range(V), repeat=2) if z != (0, 2)]  # after token 0, token 2 is closed
TASK = Task(key="toy/0", instruction="x", split="train", seed=0, hash="", environment="toy")

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From logprobs_N, sequence_N and reconstruction_B to a loss."""


class Toy:
    """A policy and a reconstruction score that share the parameters theta."""

    def __init__(self, seed: int = 0) -> None:
        self.theta = torch.randn(V + V * V, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        self.theta.requires_grad_()

    def logprobs(self, trace: tuple[int, ...]) -> Tensor:
        """Log-probabilities of the trace's tokens, as the trainer computes them."""
        second = self.theta[V:].view(V, V)[trace[0]]
        allowed = torch.tensor([[-1, -1], [0, 1] if trace[0] == 0 else [-1, -1]])
        logits = torch.stack([self.theta[:V], second])
        return token_logprobs(logits, torch.tensor(trace), allowed, TEMPERATURE)

    def probability(self, trace: tuple[int, ...]) -> Tensor:
        return self.logprobs(trace).sum().exp()

    def reconstruction(self, trace: tuple[int, ...]) -> Tensor:
        """log P(x | z): of one of three instructions, moving with theta."""
        table = self.theta[V:].view(V, V) * 1.3 - self.theta[:V]
        return torch.log_softmax(table[trace[1]] + 0.4 * trace[0], dim=0)[trace[0]]

    def gradient(self, value: Tensor) -> Tensor:
        return torch.autograd.grad(value, self.theta)[0]

    def exact_gradient(self) -> Tensor:
        """Of E[R] with the score held still: sum_z grad p(z) R(z)."""
        return self.gradient(sum(self.probability(z) * self.reconstruction(z).item() for z in TRACES))

    def estimate(self, loss: Loss, trace: tuple[int, ...]) -> Tensor:
        value = loss(self.logprobs(trace), torch.zeros(2, dtype=torch.long), self.reconstruction(trace).unsqueeze(0))
        return -self.gradient(value)

    def bias(self, loss: Loss) -> float:
        """Largest component of E[estimate] - exact gradient."""
        mean = sum(self.probability(z).item() * self.estimate(loss, z) for z in TRACES)
        return float((mean - self.exact_gradient()).abs().max())

    def second_moment(self, loss: Loss) -> float:
        return sum(self.probability(z).item() * float(self.estimate(loss, z).square().sum()) for z in TRACES)

    def trajectory(self, trace: tuple[int, ...]) -> Trajectory:
        """An episode whose forecast before is blind to the trace, and whose forecast after has seen it."""
        after = 1 - math.exp(self.reconstruction(trace).item())
        decision = Decision(text="", action="", p_fail_before=0.3, p_fail=after)
        return Trajectory(
            id=str(trace), task=TASK, turns=(Turn("", decision, 0.0),), stop_reason=StopReason.TERMINATED,
            reward=0.0, success=False, seed=0, policy="toy",
        )  # fmt: skip


def with_forecast_baseline(toy: Toy, trace: tuple[int, ...]) -> Tensor:
    baselines_B = forecast_baselines([toy.trajectory(trace)])
    loss = inverse_gradient_loss(
        toy.logprobs(trace), torch.zeros(2, dtype=torch.long), toy.reconstruction(trace).unsqueeze(0), baselines_B
    )
    return -toy.gradient(loss)


def baseline_bias(toy: Toy) -> float:
    mean = sum(toy.probability(z).item() * with_forecast_baseline(toy, z) for z in TRACES)
    return float((mean - toy.exact_gradient()).abs().max())


def clipped_surrogate(logprobs_N: Tensor, sequence_N: Tensor, reconstruction_B: Tensor) -> Tensor:
    """The trainer's loss on the batch it sampled: every ratio is 1."""
    advantages_N = advantages(reconstruction_B)[sequence_N]
    return token_surrogate(logprobs_N, logprobs_N, advantages_N, normalizer=len(reconstruction_B)).loss


def test_the_toys_probabilities_sum_to_one() -> None:
    assert sum(Toy().probability(z).item() for z in TRACES) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("loss", [inverse_gradient_loss, clipped_surrogate])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_inverse_gradient_is_unbiased(loss: Loss, seed: int) -> None:
    toy = Toy(seed)
    assert toy.bias(loss) < 1e-12
    assert toy.exact_gradient().abs().max() > 1e-2  # so that a zero estimate would not pass


def test_leaving_out_the_detach_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "_frozen", lambda values: values)
    assert Toy().bias(inverse_gradient_loss) > 1e-2


def test_the_clipped_surrogate_cuts_the_advantages_gradient_by_itself() -> None:
    advantages_N = torch.ones(2, requires_grad=True)
    token_surrogate(torch.zeros(2, requires_grad=True), torch.zeros(2), advantages_N).loss.backward()
    assert advantages_N.grad is None


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_forecast_read_before_the_action_keeps_the_mean(seed: int) -> None:
    assert baseline_bias(Toy(seed)) < 1e-12


def test_a_baseline_read_after_the_action_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "_forecast_before", lambda decision: decision.p_fail)
    assert baseline_bias(Toy()) > 1e-2


def test_the_forecast_baseline_is_the_first_decisions_value() -> None:
    assert forecast_baselines([Toy().trajectory((1, 1))]).tolist() == pytest.approx([0.7])


def test_a_missing_forecast_is_refused_by_name() -> None:
    bare = Turn("", Decision(text="", action=""), 0.0)
    trajectory = Trajectory("e7", TASK, (bare,), StopReason.TERMINATED, 0.0, False, 0, "toy")
    with pytest.raises(ValueError, match="trajectory e7: expected p_fail_before on its first decision"):
        forecast_baselines([trajectory])


def pair_bias(toy: Toy, baseline: Callable[[Tensor], Tensor]) -> float:
    """Bias over two independent traces of one task, the baseline being made from both scores."""
    mean = torch.zeros_like(toy.theta)
    for pair in product(TRACES, repeat=2):
        scores_B = torch.stack([toy.reconstruction(z) for z in pair])
        loss = inverse_gradient_loss(
            torch.cat([toy.logprobs(z) for z in pair]), torch.tensor([0, 0, 1, 1]), scores_B, baseline(scores_B)
        )
        mean = mean - toy.probability(pair[0]).item() * toy.probability(pair[1]).item() * toy.gradient(loss)
    return float((mean - toy.exact_gradient()).abs().max())


def test_the_mean_of_the_others_is_a_baseline_and_the_mean_of_all_is_not() -> None:
    assert pair_bias(Toy(), leave_one_out) < 1e-12
    assert pair_bias(Toy(), lambda scores_B: scores_B.mean().expand(2)) > 1e-2


def test_leave_one_out_stays_within_the_group_and_is_zero_alone() -> None:
    got_B = leave_one_out(torch.tensor([1.0, 2.0, 6.0, 5.0]), torch.tensor([0, 0, 0, 1]))
    assert got_B.tolist() == pytest.approx([4.0, 3.5, 1.5, 0.0])


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("b", [-1.5, -0.2, 0.3, 2.0])
def test_the_baseline_changes_the_second_moment_by_the_stated_amount(seed: int, b: float) -> None:
    toy = Toy(seed)
    report = toy_report(toy, b)
    stated = report.score_norm * (b**2 - 2 * b * report.weighted_return)
    measured = toy.second_moment(
        lambda *given: inverse_gradient_loss(*given, torch.tensor([b], dtype=torch.float64))
    ) - toy.second_moment(inverse_gradient_loss)
    assert measured == pytest.approx(stated, abs=1e-9)
    assert report.change == pytest.approx(stated, abs=1e-9)
    assert report.ratio == pytest.approx(1 + measured / toy.second_moment(inverse_gradient_loss), abs=1e-9)


def toy_report(toy: Toy, b: float) -> VarianceReport:
    logprobs_N = torch.cat([toy.logprobs(z) for z in TRACES])
    sequence_N = torch.arange(len(TRACES)).repeat_interleave(2)
    norms_B = score_norms(logprobs_N, sequence_N, len(TRACES), [toy.theta])
    returns_B = torch.stack([toy.reconstruction(z) for z in TRACES]).detach()
    weights_B = torch.stack([toy.probability(z) for z in TRACES]).detach()
    return variance_report(norms_B, returns_B, torch.full_like(returns_B, b), weights_B)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 20), share=st.floats(-1.0, 3.0).filter(lambda s: min(abs(s), abs(s - 2)) > 1e-3))
def test_the_variance_falls_exactly_between_zero_and_twice_the_weighted_return(seed: int, share: float) -> None:
    toy = Toy(seed)
    b = share * toy_report(toy, 0.0).weighted_return
    assert (toy_report(toy, b).ratio < 1) == (0 < share < 2)


def one_token(rewards: tuple[float, float], p: float, b: float) -> tuple[float, VarianceReport]:
    """Two actions, the first with probability p: the enumerated change of the variance, and the report."""
    theta = torch.tensor([math.log(p), math.log(1 - p)], dtype=torch.float64, requires_grad=True)
    logprobs_N, weights_B = torch.log_softmax(theta, 0), torch.tensor([p, 1 - p], dtype=torch.float64)
    returns_B, ids = torch.tensor(rewards, dtype=torch.float64), torch.arange(2)

    def second_moment(baseline: float) -> float:
        total = 0.0
        for i in range(2):
            loss = policy_gradient_loss(
                logprobs_N[i : i + 1],
                torch.tensor([0]),
                returns_B[i : i + 1],
                torch.full((1,), baseline, dtype=torch.float64),
            )
            gradient = torch.autograd.grad(loss, theta, retain_graph=True)[0]
            total += float(weights_B[i] * gradient.square().sum())
        return total

    norms_B = score_norms(logprobs_N, ids, 2, [theta])
    assert norms_B.tolist() == pytest.approx([2 * (1 - p) ** 2, 2 * p**2])
    report = variance_report(norms_B, returns_B, torch.full((2,), b, dtype=torch.float64), weights_B)
    return second_moment(b) - second_moment(0.0), report


def test_a_falling_case_a_perfect_forecast_of_an_even_coin() -> None:
    # G = 1/2, R~ = 1/2, b = E[R] = 1/2: change = 1/2 (1/4 - 1/2) = -1/8, of 1/4
    change, report = one_token(rewards=(1.0, 0.0), p=0.5, b=0.5)
    assert change == pytest.approx(-0.125, abs=1e-9)
    assert report.ratio == pytest.approx(0.5, abs=1e-9)


def test_a_rising_case_a_perfect_forecast_of_a_likely_success() -> None:
    # G = 0.18, R~ = 0.1, b = E[R] = 0.9: change = 0.18 (0.81 - 0.18) = 0.1134, of 0.018
    change, report = one_token(rewards=(1.0, 0.0), p=0.9, b=0.9)
    assert (report.score_norm, report.weighted_return) == pytest.approx((0.18, 0.1))
    assert change == pytest.approx(0.1134, abs=1e-9)
    assert report.ratio == pytest.approx(7.3, abs=1e-9)


def test_the_gate_drops_a_harmful_baseline_and_takes_it_back() -> None:
    baselines_B = torch.tensor([0.9, 0.2])
    _, rising = one_token(rewards=(1.0, 0.0), p=0.9, b=0.9)
    _, falling = one_token(rewards=(1.0, 0.0), p=0.5, b=0.5)
    gate = BaselineGate(decay=0.5)
    assert gate.apply(baselines_B).tolist() == baselines_B.tolist()
    gate = gate.updated(rising)
    assert gate.apply(baselines_B).tolist() == [0.0, 0.0]
    assert gate.ratio == pytest.approx(7.3)
    assert gate.updated(falling).updated(falling).is_open


def test_deciding_by_the_batchs_own_returns_biases_the_gradient() -> None:
    toy = Toy()

    def gated_by_itself(logprobs_N: Tensor, sequence_N: Tensor, returns_B: Tensor) -> Tensor:
        baselines_B = torch.tensor([-1.6], dtype=torch.float64)
        norms_B = score_norms(logprobs_N, sequence_N, 1, [toy.theta])
        gate = BaselineGate().updated(variance_report(norms_B, returns_B.detach(), baselines_B))
        return inverse_gradient_loss(logprobs_N, sequence_N, returns_B, gate.apply(baselines_B))

    assert toy.bias(gated_by_itself) > 1e-2


def test_the_ratio_is_defined_where_no_return_was_seen() -> None:
    norms_B, zeros_B = torch.ones(2), torch.zeros(2)
    assert variance_report(norms_B, zeros_B, torch.tensor([0.5, 0.5])).ratio == math.inf
    assert variance_report(norms_B, zeros_B, zeros_B).ratio == 1.0
    with pytest.raises(ValueError, match="expected at least one sequence with weight"):
        variance_report(torch.ones(0), torch.ones(0), torch.ones(0))


def test_a_trace_without_sampled_tokens_has_no_gradient() -> None:
    logprobs_N = torch.tensor([-0.5], requires_grad=True)
    policy_gradient_loss(logprobs_N, torch.tensor([1]), torch.tensor([5.0, 2.0])).backward()
    assert logprobs_N.grad is not None
    assert logprobs_N.grad.tolist() == [-1.0]
