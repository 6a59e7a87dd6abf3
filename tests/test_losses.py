"""Closed forms for the losses and their gradients, worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sage_gym.distill.losses import (
    closed_mass,
    entropy,
    forecast_loss,
    kl_to_reference,
    log_distribution,
    token_logprobs,
    weighted_cross_entropy,
    weighted_mean,
)
from sage_gym.distill.surrogate import sequence_surrogate, token_surrogate

torch.set_num_threads(1)
LN2, LN3 = math.log(2), math.log(3)


def logits(*rows: tuple[float, ...]) -> Tensor:
    """Logits whose softmax is the given probabilities."""
    return torch.tensor(rows, dtype=torch.float64).log().requires_grad_()


def values(tensor: Tensor) -> list[float]:
    return [float(x) for x in tensor.detach().flatten()]


def test_cross_entropy_is_the_weighted_mean_of_surprisals() -> None:
    logits_NV = logits((0.5, 0.25, 0.25), (0.25, 0.25, 0.5))
    loss = weighted_cross_entropy(logits_NV, torch.tensor([0, 1]), torch.tensor([3.0, 1.0]))
    assert loss.item() == pytest.approx((3 * LN2 + 2 * LN2) / 4)


def test_cross_entropy_gradient_is_probability_minus_one_hot_times_weight() -> None:
    logits_NV = logits((0.5, 0.25, 0.25), (0.25, 0.25, 0.5))
    weighted_cross_entropy(logits_NV, torch.tensor([0, 1]), torch.tensor([3.0, 1.0])).backward()
    assert logits_NV.grad is not None
    expected = [0.75 * -0.5, 0.75 * 0.25, 0.75 * 0.25, 0.25 * 0.25, 0.25 * -0.75, 0.25 * 0.5]
    assert values(logits_NV.grad) == pytest.approx(expected)


def test_restricted_cross_entropy_spends_nothing_on_closed_ids() -> None:
    logits_NV = logits((0.5, 0.3, 0.2), (0.5, 0.3, 0.2), (0.5, 0.3, 0.2))
    allowed_NA = torch.tensor([[1, 2], [2, -1], [-1, -1]])
    labels_N = torch.tensor([1, 2, 0])
    assert values(token_logprobs(logits_NV, labels_N, allowed_NA)) == pytest.approx([math.log(0.6), 0.0, -LN2])
    weighted_cross_entropy(logits_NV, labels_N, allowed_NA=allowed_NA).backward()
    assert logits_NV.grad is not None
    third = 1 / 3
    expected = [0, -0.4 * third, 0.4 * third, 0, 0, 0, -0.5 * third, 0.3 * third, 0.2 * third]
    assert values(logits_NV.grad) == pytest.approx(expected)


def test_temperature_divides_the_logits_of_its_own_position() -> None:
    logits_NV = logits((0.5, 0.25, 0.25), (0.5, 0.25, 0.25))
    got = token_logprobs(logits_NV, torch.tensor([0, 0]), temperature=torch.tensor([1.0, 0.5]))
    assert values(got) == pytest.approx([-LN2, math.log(4 / 6)])


def test_a_label_that_its_restriction_closes_is_refused() -> None:
    with pytest.raises(ValueError, match="position 1: expected the label among its open ids, got 0"):
        token_logprobs(logits((0.5, 0.5), (0.5, 0.5)), torch.tensor([0, 0]), torch.tensor([[0, 1], [1, -1]]))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_narrow_and_full_forms_of_the_restricted_distribution_agree(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 7))
    rows = data.draw(st.lists(st.sets(st.integers(0, size - 1)), min_size=1, max_size=4))
    width = max(1, *(len(row) for row in rows))
    allowed_NA = torch.tensor([[*sorted(row), *[-1] * (width - len(row))] for row in rows])
    labels_N = torch.tensor([data.draw(st.sampled_from(sorted(row) or list(range(size)))) for row in rows])
    logits_NV = torch.randn(len(rows), size, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
    full_NV = log_distribution(logits_NV, allowed_NA, temperature=0.7)
    narrow_N = token_logprobs(logits_NV, labels_N, allowed_NA, temperature=0.7)
    torch.testing.assert_close(full_NV.gather(1, labels_N[:, None]).squeeze(1), narrow_N)
    torch.testing.assert_close(full_NV.exp().sum(1), torch.ones(len(rows), dtype=torch.float64))


def test_micro_batches_with_the_steps_normalizer_add_up_to_the_whole_batch() -> None:
    logits_NV, labels_N, weights_N = torch.randn(6, 5), torch.arange(6) % 5, torch.arange(1.0, 7.0)
    whole = weighted_cross_entropy(logits_NV, labels_N, weights_N)
    parts = [
        weighted_cross_entropy(logits_NV[at], labels_N[at], weights_N[at], normalizer=weights_N.sum())
        for at in (slice(0, 2), slice(2, 6))
    ]
    assert whole.item() == pytest.approx(sum(part.item() for part in parts))


def test_no_weight_at_all_gives_zero_loss_and_zero_gradient_even_beside_infinities() -> None:
    terms_N = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = weighted_mean(terms_N + torch.tensor([0.0, float("inf")]), torch.zeros(2))
    loss.backward()
    assert (loss.item(), values(terms_N.grad)) == (0.0, [0.0, 0.0])


def test_negative_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="expected finite weights of at least 0"):
        weighted_mean(torch.ones(2), torch.tensor([1.0, -1.0]))


def test_bf16_logits_are_scored_in_float32() -> None:
    logits_NV = torch.zeros(1, 3000, dtype=torch.bfloat16)
    assert weighted_cross_entropy(logits_NV, torch.tensor([0])).item() == pytest.approx(math.log(3000), rel=1e-6)


def test_forecast_loss_counts_each_episode_once_however_long() -> None:
    one_turn, three_turns = [0.0], [LN3, LN3, LN3]  # sigmoid(ln 3) = 3/4
    before_M = torch.tensor([*one_turn, *three_turns], requires_grad=True)
    after_M = torch.zeros(4, requires_grad=True)
    got = forecast_loss(before_M, after_M, torch.tensor([0, 1, 1, 1]), torch.tensor([0.0, 1.0]))
    assert got.before.item() == pytest.approx((LN2 - math.log(0.75)) / 2)
    assert got.after.item() == pytest.approx(LN2)
    assert got.total.item() == pytest.approx((got.before.item() + LN2) / 2)
    got.before.backward()
    assert before_M.grad is not None
    assert values(before_M.grad) == pytest.approx([0.25, -0.25 / 4, -0.25 / 8, -0.25 / 8])


def test_inverse_probability_weights_undo_oversampling() -> None:
    logits_M = torch.tensor([0.3, -1.2])
    failed_E = torch.tensor([1.0, 0.0])
    uniform = forecast_loss(logits_M, logits_M, torch.tensor([0, 1]), failed_E)
    drawn_thrice = torch.tensor([0, 0, 0, 1])
    weighted = forecast_loss(
        logits_M[drawn_thrice], logits_M[drawn_thrice], torch.arange(4), failed_E[drawn_thrice],
        weights_E=torch.tensor([1 / 3, 1 / 3, 1 / 3, 1.0]),
    )  # fmt: skip
    assert weighted.total.item() == pytest.approx(uniform.total.item())


def test_kl_is_exact_and_zero_against_itself() -> None:
    student_NV, reference_NV = logits((0.5, 0.5)), logits((0.25, 0.75))
    expected = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
    assert kl_to_reference(student_NV, reference_NV).item() == pytest.approx(expected)
    assert kl_to_reference(student_NV, student_NV).item() == pytest.approx(0.0, abs=1e-12)


def test_kl_to_a_surer_reference_is_to_its_tempered_distribution() -> None:
    student_NV, reference_NV = logits((0.5, 0.5)), logits((0.25, 0.75))
    expected = 0.5 * math.log(0.5 / 0.1) + 0.5 * math.log(0.5 / 0.9)
    assert kl_to_reference(student_NV, reference_NV, temperature=0.5).item() == pytest.approx(expected)
    assert kl_to_reference(reference_NV, reference_NV, temperature=0.5).item() > 0.01


def test_kl_gradient_reaches_the_student_alone() -> None:
    student_NV, reference_NV = logits((0.5, 0.5)), logits((0.25, 0.75))
    kl = kl_to_reference(student_NV, reference_NV)
    kl.backward()
    assert student_NV.grad is not None
    assert reference_NV.grad is None
    log_ratio = [math.log(2), math.log(2 / 3)]
    assert values(student_NV.grad) == pytest.approx([0.5 * (ratio - kl.item()) for ratio in log_ratio])


def test_entropy_is_that_of_the_open_ids() -> None:
    logits_NV = logits((0.5, 0.25, 0.25), (0.5, 0.25, 0.25), (0.5, 0.25, 0.25))
    allowed_NA = torch.tensor([[-1, -1], [1, 2], [0, -1]])
    entropy_N = entropy(logits_NV, allowed_NA)
    assert values(entropy_N) == pytest.approx([1.5 * LN2, LN2, 0.0])
    entropy_N.sum().backward()
    assert logits_NV.grad is not None
    free = [-p * (math.log(p) + 1.5 * LN2) for p in (0.5, 0.25, 0.25)]
    assert values(logits_NV.grad) == pytest.approx([*free, *[0.0] * 6])


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient"),
    [
        (1.0, 2.0, -2.0, -2.0),
        (1.5, 2.0, -2.6, 0.0),  # above 1 + clip_high, wanted higher: stopped
        (1.5, -2.0, 3.0, 3.0),  # above, wanted lower: not stopped
        (0.5, -2.0, 1.6, 0.0),  # below 1 - clip_low, wanted lower: stopped
        (0.5, 2.0, -1.0, -1.0),
        (1.25, 1.0, -1.25, -1.25),  # between the two clips' sizes: the upper one is wider
        (0.75, -1.0, 0.8, 0.0),
    ],
)
def test_token_surrogate_clips_on_the_side_that_would_overshoot(
    ratio: float, advantage: float, loss: float, gradient: float
) -> None:
    logprobs_N = torch.tensor([math.log(ratio)], dtype=torch.float64, requires_grad=True)
    got = token_surrogate(logprobs_N, torch.zeros(1), torch.tensor([advantage]), clip_low=0.2, clip_high=0.3)
    got.loss.backward()
    assert got.loss.item() == pytest.approx(loss)
    assert values(logprobs_N.grad) == pytest.approx([gradient])
    assert got.clip_fraction.item() == (1.0 if gradient == 0.0 else 0.0)
    assert got.approximate_kl.item() == pytest.approx(ratio - 1 - math.log(ratio))


def test_on_policy_surrogate_gradient_is_the_policy_gradient() -> None:
    logits_NV = logits((0.2, 0.8), (0.6, 0.4))
    logprobs_N = token_logprobs(logits_NV, torch.tensor([0, 1]))
    token_surrogate(logprobs_N, logprobs_N, torch.tensor([1.0, -3.0])).loss.backward()
    assert logits_NV.grad is not None
    assert values(logits_NV.grad) == pytest.approx([-0.4, 0.4, -0.9, 0.9])


def test_sequence_surrogate_uses_the_geometric_mean_of_ratios() -> None:
    logprobs_N = torch.tensor([math.log(4.0), 0.0, math.log(0.5)], dtype=torch.float64, requires_grad=True)
    got = sequence_surrogate(
        logprobs_N, torch.zeros(3), torch.tensor([0, 0, 1]), torch.tensor([1.0, 2.0, 9.0]), clip_low=0.9, clip_high=9.0
    )
    got.loss.backward()
    assert got.loss.item() == pytest.approx(-(2.0 * 1.0 + 0.5 * 2.0) / 2)  # the third sequence has no tokens
    assert values(logprobs_N.grad) == pytest.approx([-0.5, -0.5, -0.5])


def test_sequence_surrogate_stops_a_whole_sequence_at_once() -> None:
    logprobs_N = torch.tensor([1.0, -0.2, 0.1], dtype=torch.float64, requires_grad=True)
    got = sequence_surrogate(
        logprobs_N, torch.zeros(3), torch.tensor([0, 0, 1]), torch.tensor([1.0, 1.0]), clip_low=0.2, clip_high=0.2
    )
    got.loss.backward()
    assert values(logprobs_N.grad) == pytest.approx([0.0, 0.0, -math.exp(0.1) / 2])
    assert got.clip_fraction.item() == pytest.approx(0.5)


def test_closed_mass_is_what_restriction_leaves_no_sample_of() -> None:
    logits_NV = logits((0.5, 0.25, 0.25), (0.2, 0.3, 0.5), (0.1, 0.8, 0.1))
    allowed_NA = torch.tensor([[0, -1], [0, 1], [-1, -1]])
    lost_N = closed_mass(logits_NV, allowed_NA)
    assert values(lost_N) == pytest.approx([-math.log(0.5), -math.log(0.5), 0.0])
    lost_N.sum().backward()
    assert logits_NV.grad is not None
    assert values(logits_NV.grad[0]) == pytest.approx([0.5 - 1, 0.25, 0.25])  # p - p given that it is open
    assert values(logits_NV.grad[2]) == [0.0, 0.0, 0.0]
