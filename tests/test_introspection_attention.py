"""Relevance handed back through attention: against the definition, with every weight and gradient kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from policies.causal_lm import CausalLM
from policies.causal_lm.chat import ChatRenderer
from policies.metacognition import MetacognitionHead
from sage_gym.evaluation.introspection import attention
from sage_gym.evaluation.introspection.attention import Flow, attention_obstacle, read_trace
from sage_gym.evaluation.introspection.forecaster import Forecaster
from sage_gym.evaluation.introspection.removal import closed_up, knocked_out, whole
from sage_gym.evaluation.introspection.traces import Trace, trace_of
from tests.causal_lm_toys import toy_model, toy_tokenizer
from tests.nano_toys import play, tiny_student


def a_trace(student: CausalLM, seed: int = 0) -> Trace:
    return trace_of(play(student, episodes=1, seed=seed)[0])


def grouped_student(seed: int = 0) -> CausalLM:
    """A Qwen2 whose four query heads share two key heads, with a head that listens."""
    model, head = toy_model(seed=seed), MetacognitionHead(32, inverse_rank=4)
    with torch.no_grad():
        for place in ("before", "after"):
            head.forecasts[place].weight.normal_(generator=torch.Generator().manual_seed(seed))
    tokenizer = toy_tokenizer()
    return CausalLM(model, tokenizer, ChatRenderer(tokenizer, "plain"), head=head, name="grouped")


def by_definition(student: CausalLM, trace: Trace) -> dict[str, np.ndarray]:
    """Compute the flows with transformers' own eager attention, all weights and gradients kept."""
    model, head = student.model, student.head
    assert isinstance(head, MetacognitionHead)
    ids = torch.from_numpy(trace.ids_T)[None]
    opening = head.read_openings(model.get_input_embeddings(), [trace.ids_T[: trace.opening].tolist()])
    before = model.config._attn_implementation
    model.config._attn_implementation = "eager"
    embedded = model.get_input_embeddings()(ids).detach().requires_grad_(True)
    found: Any = model.model(inputs_embeds=embedded, use_cache=False, output_attentions=True)
    model.config._attn_implementation = before
    y = head.forecast(found.last_hidden_state[0, trace.end][None], opening, "after")[0]
    gradients = torch.autograd.grad(y, [embedded, *found.attentions])
    start = torch.zeros(ids.shape[1])
    start[trace.end] = 1.0
    flows = {"weighted": start, "positive": start, "plain": start}
    for a, da in zip(reversed(found.attentions), reversed(gradients[1:]), strict=True):
        product = (a * da)[0]
        flows["weighted"] = flows["weighted"] + flows["weighted"] @ product.abs().mean(0)
        flows["positive"] = flows["positive"] + flows["positive"] @ product.clamp_min(0).mean(0)
        flows["plain"] = (flows["plain"] + flows["plain"] @ a[0].mean(0)) / 2
    flows["cut"] = torch.stack(
        [sum(cut_by_definition(a[0], da[0], span) for a, da in zip(found.attentions, gradients[1:], strict=True))  # type: ignore[misc]
         for span in trace.spans_N]
    )  # fmt: skip
    flows["gradient"] = (gradients[0] * embedded)[0].sum(-1).abs()
    return {name: flow.detach().numpy() for name, flow in flows.items()}


def cut_by_definition(a: torch.Tensor, da: torch.Tensor, span: tuple[int, int]) -> torch.Tensor:
    """Set a turn's columns to 0 and scale the others up, for all queries behind it; times the gradient."""
    start, stop = span
    without = a.clone()
    without[:, stop:, start:stop] = 0
    without[:, stop:] /= without[:, stop:].sum(-1, keepdim=True)
    return ((without - a) * da).sum()


@pytest.mark.parametrize("block", [7, 128])
@pytest.mark.parametrize("make", [tiny_student, grouped_student])
def test_flow_is_that_of_the_definition(make: Any, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "BLOCK", block)
    student = make()
    trace = a_trace(tiny_student()) if make is tiny_student else chat_trace(student)
    wanted, reading = by_definition(student, trace), read_trace(student, trace)
    assert reading.flow_T is not None
    for name, values in (*reading.flow_T.items(), ("gradient", reading.gradient_T), ("cut", reading.cut_N)):
        np.testing.assert_allclose(values, wanted[name], rtol=2e-4, atol=1e-6, err_msg=name)
    assert np.ptp(reading.flow_T["weighted"][: trace.end]) > 0


def test_cutting_is_exact_where_nothing_comes_after_the_head() -> None:
    """One layer, read linearly: first order is all there is."""
    generator = torch.Generator().manual_seed(0)
    query, key, value, out = (torch.randn(2, 9, 4, generator=generator) for _ in range(4))
    spans = ((2, 4), (4, 7))
    flow = Flow.from_end(8, 9, query.device, spans)
    y = (attention._FlowAttention.apply(3 * query.requires_grad_(True), key, value, flow, 0) * out).sum()  # type: ignore[no-untyped-call]
    y.backward()
    scores = (3 * query @ key.transpose(1, 2)).masked_fill(torch.ones(9, 9).triu(1).bool(), float("-inf"))
    for turn, (start, stop) in enumerate(spans):
        masked = scores.clone()
        masked[:, stop:, start:stop] = float("-inf")
        change = ((masked.softmax(-1) @ value * out).sum() - y).item()
        assert float(flow.cut_N[turn]) == pytest.approx(change, rel=1e-3)
        assert abs(change) > 0.1


def chat_trace(student: CausalLM) -> Trace:
    from tests.causal_lm_toys import make_context, make_turn
    from tests.trajectories import make_trajectory

    turns: tuple = ()
    for number in range(5):
        context = make_context(turns, observation=f"page {number}", episode="chat", seed=number, turn_tokens=6)
        turns = (*turns, make_turn(f"page {number}", student.act([context])[0]))
    return trace_of(make_trajectory(turns=turns))


def test_plain_flow_is_a_distribution_over_the_positions_up_to_the_end() -> None:
    student = tiny_student()
    trace = a_trace(student)
    reading = read_trace(student, trace)
    assert reading.flow_T is not None
    assert reading.flow_T["plain"].sum() == pytest.approx(1.0, abs=1e-5)
    assert (reading.flow_T["plain"] >= 0).all()


def test_forecasts_along_the_way_are_those_on_record() -> None:
    student = tiny_student()
    trajectory = play(student, episodes=1)[0]
    reading = read_trace(student, trace_of(trajectory))
    decisions = [turn.decision for turn in trajectory.turns]
    np.testing.assert_allclose(reading.course.p_fail_before_K, [d.p_fail_before for d in decisions], atol=1e-4)
    np.testing.assert_allclose(reading.course.p_fail_after_K, [d.p_fail for d in decisions], atol=1e-4)


def test_the_model_is_left_as_it_was() -> None:
    student = tiny_student()
    before = student.model.config._attn_implementation
    read_trace(student, a_trace(student))
    assert student.model.config._attn_implementation == before
    assert all(parameter.grad is None for parameter in student.model.parameters())


def test_layers_out_of_order_are_an_error_and_not_a_wrong_number() -> None:
    flow = Flow.from_end(1, 3, torch.device("cpu"))
    flow.enter(3)
    flow.enter(2)
    with pytest.raises(RuntimeError, match="expected layer 1 after 2 in the backward pass, got 0"):
        flow.enter(0)


def test_models_whose_attention_is_not_to_be_had_are_named_and_read_without_it() -> None:
    windowed = MistralForCausalLM(
        MistralConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
                      num_key_value_heads=2, sliding_window=4)
    )  # fmt: skip
    assert "a sliding window" in (attention_obstacle(windowed) or "")
    assert attention_obstacle(toy_model()) is None
    student = tiny_student()
    student.model.config.attn_logit_softcapping = 30.0
    assert "attn_logit_softcapping" in (attention_obstacle(student.model) or "")
    trace = a_trace(tiny_student())
    reading = read_trace(student, trace)
    assert reading.flow_T is None
    assert reading.cut_N is None
    wanted = by_definition(tiny_student(), trace)["gradient"]
    np.testing.assert_allclose(reading.gradient_T, wanted, rtol=2e-4, atol=1e-6)


def test_adapters_are_looked_through() -> None:
    from peft import LoraConfig, get_peft_model

    student = tiny_student()
    trace = a_trace(student)
    plain = read_trace(student, trace)
    wrapped = CausalLM(
        get_peft_model(student.model, LoraConfig(r=2, target_modules="all-linear")),  # type: ignore[arg-type]
        student.tokenizer,
        student.renderer,
        head=student.head,
    )
    found = read_trace(wrapped, trace)  # fresh adapters change nothing
    assert found.flow_T is not None
    assert plain.flow_T is not None
    np.testing.assert_allclose(found.flow_T["weighted"], plain.flow_T["weighted"], rtol=1e-4, atol=1e-7)


def masked_log_odds(student: CausalLM, trace: Trace, turn: int) -> float:
    """Read the whole sequence with a turn masked out of all attention."""
    head = student.head
    assert isinstance(head, MetacognitionHead)
    ids = torch.from_numpy(trace.ids_T)[None]
    mask = torch.ones_like(ids)
    start, stop = trace.spans_N[turn]
    mask[:, start:stop] = 0
    opening = head.read_openings(student.model.get_input_embeddings(), [trace.ids_T[: trace.opening].tolist()])
    with torch.inference_mode():
        found: Any = student.model.model(
            input_ids=ids, attention_mask=mask, position_ids=torch.arange(ids.shape[1])[None], use_cache=False
        )
        return float(head.forecast(found.last_hidden_state[0, trace.end][None], opening, "after"))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_knocked_out_turn_is_one_that_all_attention_is_kept_from(implementation: str) -> None:
    """On a CPU with `sdpa` the forecaster reads a tree, elsewhere padded rows."""
    student = tiny_student()
    student.model.config._attn_implementation = implementation
    trace = a_trace(student)
    turns = range(len(trace.spans_N))
    variants = [whole(trace), *(knocked_out(trace, {turn}) for turn in turns)]
    found = Forecaster(student).judge(variants).log_odds_M
    wanted = [masked_log_odds(student, trace, turn) for turn in turns]
    np.testing.assert_allclose(found[1:], wanted, rtol=1e-4, atol=1e-4)
    assert np.ptp(found) > 0


def test_how_variants_are_cut_into_passes_changes_no_forecast() -> None:
    student = tiny_student()
    traces = [trace_of(one) for one in play(student)]
    variants = [way(trace, {turn}) for trace in traces for turn in range(3) for way in (knocked_out, closed_up)]
    together = Forecaster(student, step_tokens=10**6).judge(variants)
    apart = Forecaster(student, step_tokens=1).judge(variants)
    np.testing.assert_allclose(together.log_odds_M, apart.log_odds_M, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(together.p_fail_M, apart.p_fail_M, atol=1e-4)
    alone = Forecaster(student).judge(variants[3:4])
    assert together.log_odds_M[3] == pytest.approx(alone.log_odds_M[0], abs=1e-4)


def test_a_student_without_a_head_is_refused() -> None:
    student = tiny_student()
    trace = a_trace(student)
    student.head = None
    with pytest.raises(ValueError, match="meta-cognition head"):
        read_trace(student, trace)
    with pytest.raises(ValueError, match="meta-cognition head"):
        Forecaster(student)
