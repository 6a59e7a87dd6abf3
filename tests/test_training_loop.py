"""The training loop: steps, optimizer, precision, clipping, the garbage collector."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from policies.causal_lm import CausalLM
from sage_gym.distill.batches import plan_steps
from sage_gym.distill.objective import Objective, hidden_states
from tests.nano_toys import tiny_student
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
