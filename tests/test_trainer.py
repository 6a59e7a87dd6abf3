"""What a step of training does: log-probabilities, policy gradient, weights, KL, inverse pass."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from policies.causal_lm import CausalLM
from sage_gym.distill.batches import TrainingBatch
from sage_gym.distill.losses import token_logprobs
from sage_gym.distill.objective import Objective, hidden_states, labelled_logits, logits_at
from sage_gym.distill.passes import InversePasses
from sage_gym.distill.returns import examples_for_distillation
from tests.nano_toys import play, tiny_student
from tests.trainer_toys import (
    CROSS_ENTROPY,
    GRADIENT,
    are_equal,
    batch_of,
    descent,
    examples_of,
    logprobs_now,
    train,
    weights_of,
)

pytestmark = pytest.mark.usefixtures("one_thread")


# What was sampled


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.0])
def test_the_trainers_forward_gives_the_ledgers_log_probabilities(restricted: bool, temperature: float) -> None:
    student = tiny_student(temperature=temperature, restricted=restricted)
    batch = batch_of(examples_of(student))
    recomputed_N = logprobs_now(student, batch)
    assert len(recomputed_N) > 10
    assert recomputed_N.std() > 0.1
    torch.testing.assert_close(recomputed_N, batch.logprobs_N, rtol=0.0, atol=2e-3)
    assert bool((batch.allowed_NA >= 0).any()) == restricted


def test_the_trainer_reads_the_forecasts_that_were_recorded() -> None:
    student = tiny_student(scale=2.0)
    found = play(student)
    batch = batch_of(examples_for_distillation(found, {}))
    head: Any = student.head
    assert len({round(turn.decision.p_fail or 0.0, 3) for t in found for turn in t.turns}) > 5
    with torch.no_grad():
        states = hidden_states(student.model, batch)
        opening_MH = head.read_openings(student.model.get_input_embeddings(), batch.openings())[batch.row_M]
        for name, places_M, place in (
            ("p_fail_before", batch.value_M, "before"), ("p_fail", batch.action_M, "after"),
        ):  # fmt: skip
            read = head.p_fail(states[places_M], opening_MH, place).tolist()
            expected = [getattr(turn.decision, name) for t in found for turn in t.turns]
            assert sorted(read) == pytest.approx(sorted(expected), abs=2e-3)


def test_at_its_first_step_the_policy_gradient_has_ratios_of_one() -> None:
    student = tiny_student(temperature=0.7)
    examples = [replace(e, advantage_N=np.full(len(e.row.sampled_N), 0.25, np.float32)) for e in examples_of(student)]
    losses = train(student, [batch_of(examples)], replace(GRADIENT, kl=1.0), descent(student, 0.0))
    assert losses["policy_gradient"] == pytest.approx(-0.25, abs=1e-4)
    assert losses["approximate_kl"] == pytest.approx(0.0, abs=1e-5)
    assert losses["kl"] == pytest.approx(0.0, abs=1e-5)
    assert losses["clip_fraction"] == 0.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_policy_gradient_raises_what_had_an_advantage_and_lowers_what_had_none(sign: float) -> None:
    student = tiny_student(scale=4.0)
    examples = [replace(e, advantage_N=np.full(len(e.row.sampled_N), sign, np.float32)) for e in examples_of(student)]
    batch = batch_of(examples)
    before = logprobs_now(student, batch).mean()
    train(student, [batch], GRADIENT, descent(student, 1e-2))
    assert sign * float(logprobs_now(student, batch).mean() - before) > 1e-3


def test_within_a_batch_episodes_part_by_their_advantages() -> None:
    student = tiny_student(scale=4.0)
    good, bad = examples_of(student)[:2]
    signed = [
        replace(e, advantage_N=np.full(len(e.row.sampled_N), sign, np.float32))
        for e, sign in ((good, 1.0), (bad, -1.0))
    ]
    batch, count = batch_of(signed), len(good.row.sampled_N)
    before_N = logprobs_now(student, batch)
    train(student, [batch] * 5, GRADIENT, descent(student, 1e-3))
    change_N = logprobs_now(student, batch) - before_N
    assert change_N[:count].mean() > change_N[count:].mean() + 1e-3


def test_the_entropy_bonus_raises_entropy() -> None:
    student = tiny_student(scale=4.0)
    examples = [replace(e, advantage_N=np.zeros(len(e.row.sampled_N), np.float32)) for e in examples_of(student)]
    objective = replace(GRADIENT, entropy=1.0)
    losses = [train(student, [batch_of(examples)], objective, descent(student, 1e-2))["entropy"] for _ in range(3)]
    assert losses[0] < losses[1] < losses[2]


def forced_logprobs(student: CausalLM, batch: TrainingBatch) -> Tensor:
    """What the student gives, without restriction, to the ids that it did not have to sample."""
    with torch.no_grad():
        logits_FV = logits_at(student.model, hidden_states(student.model, batch), batch.before_forced_F)
        return token_logprobs(logits_FV, batch.forced_F)


def test_what_restriction_left_no_choice_about_is_kept_probable() -> None:
    """Nothing is sampled there, so that the policy gradient alone lets it go wherever shared weights drift."""
    student = tiny_student()
    still = [replace(e, advantage_N=np.zeros(len(e.row.sampled_N), np.float32)) for e in examples_of(student)]
    batch = batch_of(still)
    assert len(batch.forced_F) > 0
    before = forced_logprobs(student, batch).mean()
    train(student, [batch], replace(GRADIENT, admissible=1.0), descent(student, 1e-3))
    assert forced_logprobs(student, batch).mean() > before
    unweighted = replace(batch, forced_weights_F=torch.zeros_like(batch.forced_weights_F))
    with_forced, without = (
        train(student, [each], replace(GRADIENT, admissible=1.0), descent(student, 0.0))["admissible"]
        for each in (batch, unweighted)
    )
    sampled, forced = float(batch.weights_N.sum()), float(batch.forced_weights_F.sum())
    total = without * sampled - float(forced_logprobs(student, batch).sum())
    assert with_forced == pytest.approx(total / (sampled + forced), rel=1e-4)


def test_cross_entropy_without_restriction_teaches_those_ids_too() -> None:
    student = tiny_student()
    batch = batch_of(examples_of(student))
    free, closed = (
        train(student, [batch], replace(CROSS_ENTROPY, restrict_cross_entropy=restricted), descent(student, 0.0))
        for restricted in (False, True)
    )
    with torch.no_grad():
        logits_NV = labelled_logits(student.model, hidden_states(student.model, batch), batch)
    sampled = token_logprobs(logits_NV, batch.labels_N)
    every = torch.cat([sampled, forced_logprobs(student, batch)])
    assert free["cross_entropy"] == pytest.approx(-float(every.mean()), rel=1e-4)
    restricted = token_logprobs(logits_NV, batch.labels_N, batch.allowed_NA)
    assert closed["cross_entropy"] == pytest.approx(-float(restricted.mean()), rel=1e-4)


# What carries weight


def test_examples_of_weight_zero_train_the_forecast_alone() -> None:
    both, forecast_only = tiny_student(), tiny_student()
    batch = batch_of(examples_of(both, weight=0.0))
    before = weights_of(both.head)
    train(both, [batch], Objective(cross_entropy=1.0, forecast=1.0))
    train(forecast_only, [batch], Objective(forecast=1.0))
    assert not are_equal(weights_of(both.head), before)
    assert are_equal(weights_of(both.model), weights_of(forecast_only.model))


def test_without_any_weight_cross_entropy_changes_nothing() -> None:
    student = tiny_student()
    before = weights_of(student.model)
    losses = train(student, [batch_of(examples_of(student, weight=0.0))], CROSS_ENTROPY)
    assert losses["cross_entropy"] == 0.0
    assert are_equal(weights_of(student.model), before)


def test_an_example_of_twice_the_weight_counts_twice() -> None:
    weighted, repeated = tiny_student(), tiny_student()
    first, second = examples_of(weighted)[:2]
    train(weighted, [batch_of([replace(first, weight=2.0), second])], CROSS_ENTROPY)
    train(repeated, [batch_of([first, first, second])], CROSS_ENTROPY)
    for name, tensor in weights_of(weighted.model).items():
        torch.testing.assert_close(tensor, weights_of(repeated.model)[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("ahead", [-9.0, -0.5, 0.0, 0.5])
def test_the_policy_gradients_kl_is_that_of_what_the_reference_sampled(ahead: float) -> None:
    """r - 1 - log r with r = student / reference: an action that became unlikely costs its logarithm, not 1 / r."""
    student = tiny_student()
    batch = batch_of([replace(e, advantage_N=np.zeros(len(e.row.sampled_N), np.float32)) for e in examples_of(student)])
    moved = replace(batch, logprobs_N=logprobs_now(student, batch).detach() - ahead)
    losses = train(student, [moved], replace(GRADIENT, kl=1.0), descent(student, 0.0))
    assert losses["kl"] == pytest.approx(math.exp(ahead) - 1 - ahead, abs=0.05)


def test_kl_is_zero_against_oneself_and_pulls_back_a_student_that_has_moved() -> None:
    student = tiny_student()
    reference = copy.deepcopy(student.model)
    batch = batch_of(examples_of(student))
    objective = Objective(kl=1.0)
    assert train(student, [batch], objective, descent(student, 0.0), reference=reference)["kl"] == pytest.approx(
        0.0, abs=1e-6
    )
    train(student, [batch] * 3, CROSS_ENTROPY, descent(student, 1e-3))
    pulled = [train(student, [batch], objective, descent(student, 1e-3), reference=reference)["kl"] for _ in range(4)]
    assert pulled[0] > pulled[-1] > 0.0


def test_kl_without_a_reference_or_recorded_log_probabilities_is_refused() -> None:
    student = tiny_student()
    with pytest.raises(ValueError, match=r"objective.kl needs the reference model"):
        train(student, [batch_of(examples_of(student))], Objective(cross_entropy=1.0, kl=1.0))


def test_the_inverse_pass_trains_its_adapter() -> None:
    student = tiny_student()
    found = play(student)
    examples = examples_for_distillation(found, {found[0].id: 1.0})
    inverse = InversePasses(student.tokenizer, found, 0.0, seed=0).batch(examples, 0, pad=0)
    assert inverse is not None
    assert len(inverse.ids_BT) == 1
    before = weights_of(student.head)
    losses = train(student, [batch_of(examples)], Objective(inverse=1.0), inverse=[inverse])
    changed = {name for name, tensor in weights_of(student.head).items() if not torch.equal(tensor, before[name])}
    assert losses["inverse"] > 0.0
    assert changed == {"inverse_adapter.up.weight"}
