from __future__ import annotations

import copy
import gc
import math
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from policies.causal_lm import CausalLM
from sage_gym.distill.batches import TrainingBatch, collate, plan_steps
from sage_gym.distill.losses import token_logprobs
from sage_gym.distill.objective import Objective, hidden_states
from sage_gym.distill.passes import InversePasses
from sage_gym.distill.returns import examples_for_distillation
from sage_gym.distill.rows import Example
from sage_gym.distill.trainer import train_steps
from tests.nano_toys import play, tiny_student

CROSS_ENTROPY = Objective(cross_entropy=1.0)
GRADIENT = Objective(policy_gradient=1.0, clip_low=0.9, clip_high=10.0)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


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


# The loop


def test_the_loop_takes_exactly_the_planned_steps_in_their_order() -> None:
    student = tiny_student()
    steps = plan_steps(examples_of(student), step_tokens=100, seed=0)
    batches = [batch_of(step) for step in steps]
    assert len(batches) > 1
    optimizer = torch.optim.AdamW(student.model.parameters(), lr=0.0)
    losses = train(student, batches, CROSS_ENTROPY, optimizer)
    assert {int(state["step"]) for state in optimizer.state.values()} == {len(batches)}
    alone = [train(student, [batch], CROSS_ENTROPY, descent(student, 0.0))["cross_entropy"] for batch in batches]
    assert losses["cross_entropy"] == pytest.approx(sum(alone) / len(alone), rel=1e-5)


def test_no_batches_are_no_steps() -> None:
    student = tiny_student()
    before = weights_of(student.model)
    assert train(student, [], CROSS_ENTROPY) == {}
    assert are_equal(weights_of(student.model), before)


def test_each_step_follows_its_own_gradient_in_the_model_and_in_the_head() -> None:
    trained, by_hand = tiny_student(), tiny_student()
    batches = [batch_of([example]) for example in examples_of(trained)]
    train(trained, batches, Objective(forecast=1.0))
    head, optimizer = by_hand.head, descent(by_hand)
    assert head is not None
    for batch in batches:
        optimizer.zero_grad()
        hidden_NH = hidden_states(by_hand.model, batch)
        decisions = len(batch.row_M)
        weights_M = torch.tensor([0.5, *[0.5 / (decisions - 1)] * (decisions - 1)])  # one row, whose first has half
        row_T = batch.ids_BT[0, : int(batch.value_M[0]) + 1]
        opening_MH = head.read_openings(by_hand.model.get_input_embeddings(), [row_T.tolist()]).expand(decisions, -1)
        losses = [
            nn.functional.binary_cross_entropy_with_logits(
                head.forecast(hidden_NH[places_M], opening_MH, place),
                batch.failed_B[batch.row_M],
                weights_M,
                reduction="sum",
            )
            for places_M, place in ((batch.value_M, "before"), (batch.action_M, "after"))
        ]
        (sum(losses, start=torch.zeros(())) / 2).backward()
        optimizer.step()
    for module, other in ((trained.head, head), (trained.model, by_hand.model)):
        for name, tensor in weights_of(module).items():
            torch.testing.assert_close(tensor, weights_of(other)[name], rtol=1e-4, atol=1e-6)


def test_two_calls_with_one_optimizer_are_one_call() -> None:
    twice, once = tiny_student(), tiny_student()
    batches = [batch_of([example]) for example in examples_of(twice)[:2]]
    objective = Objective(cross_entropy=1.0, forecast=0.5)
    optimizers = [
        torch.optim.AdamW([*s.model.parameters(), *s.head.parameters()], lr=1e-3)  # type: ignore[union-attr]
        for s in (twice, once)
    ]
    for batch in batches:
        train(twice, [batch], objective, optimizers[0])
    train(once, batches, objective, optimizers[1])
    assert are_equal(weights_of(twice.model), weights_of(once.model))
    assert are_equal(weights_of(twice.head), weights_of(once.head))


def test_the_optimizers_learning_rate_of_the_moment_is_used() -> None:
    student = tiny_student()
    batch, optimizer = batch_of(examples_of(student)), descent(student, 0.01)
    train(student, [batch], CROSS_ENTROPY, optimizer)
    before = weights_of(student.model)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    train(student, [batch], CROSS_ENTROPY, optimizer)
    assert are_equal(weights_of(student.model), before)
    assert [group["lr"] for group in optimizer.param_groups] == [0.0]


def test_the_model_comes_back_in_evaluation_mode_with_its_own_forward() -> None:
    student = tiny_student()
    train(student, [batch_of(examples_of(student))], CROSS_ENTROPY, bf16=True)
    assert "forward" not in student.model.__dict__
    assert not student.model.training
    ids = torch.tensor([[1, 2, 3]])
    assert student.model(input_ids=ids).logits.dtype == torch.float32


def test_the_student_decides_with_its_trained_weights() -> None:
    student = tiny_student()
    examples = examples_of(student)
    train(student, [batch_of(examples)] * 2, CROSS_ENTROPY, bf16=True)
    again = batch_of(examples_of(student, seed=1))
    torch.testing.assert_close(logprobs_now(student, again), again.logprobs_N, rtol=0.0, atol=2e-3)


def test_under_bf16_the_backbone_is_cast_and_weights_logits_and_heads_are_not() -> None:
    student = tiny_student(scale=2.0)
    batch = batch_of(examples_of(student))
    seen: dict[str, torch.dtype] = {}

    def watch(name: str) -> Any:
        return lambda module, inputs, output: seen.__setitem__(name, output.dtype)

    head: Any = student.head
    watched = {
        "backbone": student.model.model.layers[0].mlp.down_proj,
        "unembedding": student.model.get_output_embeddings(),
        "forecast": head.forecasts["before"],
    }
    hooks = [module.register_forward_hook(watch(name)) for name, module in watched.items()]
    objective = Objective(cross_entropy=1.0, forecast=1.0)
    cast = train(student, [batch], objective, descent(student, 0.0), bf16=True)
    assert seen == {"backbone": torch.bfloat16, "unembedding": torch.float32, "forecast": torch.float32}
    full = train(student, [batch], objective, descent(student, 0.0), bf16=False)
    assert seen["backbone"] == torch.float32
    for hook in hooks:
        hook.remove()
    assert cast["cross_entropy"] != full["cross_entropy"]
    assert cast["cross_entropy"] == pytest.approx(full["cross_entropy"], rel=0.02)
    assert {p.dtype for p in student.model.parameters()} == {torch.float32}


def test_under_bf16_the_first_steps_ratios_stay_near_one() -> None:
    student = tiny_student(scale=2.0)
    examples = [replace(e, advantage_N=np.ones(len(e.row.sampled_N), np.float32)) for e in examples_of(student)]
    losses = train(student, [batch_of(examples)], GRADIENT, descent(student, 0.0), bf16=True)
    assert losses["policy_gradient"] == pytest.approx(-1.0, abs=0.01)
    assert losses["approximate_kl"] < 1e-3


def test_one_demonstration_is_learned_by_heart() -> None:
    student = tiny_student(scale=1.0)
    [example, *_] = examples_of(student)
    batch, optimizer = batch_of([example]), torch.optim.AdamW(student.model.parameters(), lr=1e-2)
    first = train(student, [batch], CROSS_ENTROPY, optimizer)["cross_entropy"]
    train(student, [batch] * 80, CROSS_ENTROPY, optimizer, bf16=True, clip=1.0)
    last = train(student, [batch], CROSS_ENTROPY, optimizer)["cross_entropy"]
    assert first > 1.0
    assert last < 0.1


# Clipping


def parameters_of(module: nn.Module | None) -> dict[str, Tensor]:
    """Without buffers, and tied weights once."""
    assert module is not None
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def gradient_of(student: CausalLM, train_with: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The step that was taken with a learning rate of 1, in the model and in the head: the gradient as it was used."""
    before = parameters_of(student.model), parameters_of(student.head)
    train_with()
    after = parameters_of(student.model), parameters_of(student.head)
    model, head = ({name: old[name] - new[name] for name in old} for old, new in zip(before, after, strict=True))
    return model, head


def norm_of(*parts: dict[str, Tensor]) -> float:
    return float(torch.cat([tensor.flatten() for part in parts for tensor in part.values()]).norm())


def test_the_models_and_the_heads_gradients_are_clipped_together() -> None:
    whole, clipped = tiny_student(), tiny_student()
    batch, objective = batch_of(examples_of(whole)), Objective(cross_entropy=0.1, forecast=5.0)
    model, head = gradient_of(whole, lambda: train(whole, [batch], objective, descent(whole, 1.0)))
    assert min(norm_of(model), norm_of(head)) > 0.02 * max(norm_of(model), norm_of(head))
    limit = norm_of(model, head) / 4
    limited = gradient_of(clipped, lambda: train(clipped, [batch], objective, descent(clipped, 1.0), clip=limit))
    assert norm_of(*limited) == pytest.approx(limit, rel=1e-3)
    for part, full in zip(limited, (model, head), strict=True):
        for name, tensor in part.items():
            torch.testing.assert_close(tensor, full[name] / 4, rtol=1e-2, atol=1e-4)


# The garbage collector


@contextmanager
def full_collections() -> Iterator[list[int]]:
    """How many objects were hidden at each full collection."""
    hidden: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            hidden.append(gc.get_freeze_count())

    gc.callbacks.append(note)
    try:
        yield hidden
    finally:
        gc.callbacks.remove(note)


def test_what_is_alive_before_training_is_not_walked_by_the_loops_garbage_collection() -> None:
    student = tiny_student()
    batch = batch_of(examples_of(student))
    gc.collect()
    with full_collections() as hidden:
        train(student, [batch], CROSS_ENTROPY)
    assert hidden
    assert min(hidden) > 10_000
    assert gc.get_freeze_count() == 0


def test_objects_that_were_hidden_before_training_stay_hidden() -> None:
    student = tiny_student()
    batch = batch_of(examples_of(student))
    gc.freeze()
    try:
        count = gc.get_freeze_count()
        train(student, [batch], CROSS_ENTROPY)
        assert gc.get_freeze_count() >= count - 1000
    finally:
        gc.unfreeze()


def test_the_reference_is_gone_after_training_without_a_garbage_collection() -> None:
    student = tiny_student()
    batch, reference = batch_of(examples_of(student)), copy.deepcopy(student.model)
    alive = weakref.ref(reference)
    gc.disable()
    try:
        train(student, [batch], Objective(kl=1.0), reference=reference)
        del reference
        assert alive() is None
    finally:
        gc.enable()
