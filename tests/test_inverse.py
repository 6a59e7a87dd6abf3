"""The inverse pass: its rows, what is hidden from what, copied spans, ICS and the contrastive bound."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Qwen2Config, Qwen2ForCausalLM

from policies.metacognition import MetacognitionHead
from sage_gym.distill.consistency import ConsistencyScorer, contrast, inverse_logprobs, inverse_loss
from sage_gym.distill.inverse import (
    InverseTokens,
    Trace,
    collate,
    copied_mask,
    inverse_row,
    is_trace_dropped,
    trace_of,
)
from sage_gym.types import Decision, Ledger, Origin, StopReason, Task, Trajectory, Turn

torch.set_num_threads(1)
VOCABULARY = 16
TOKENS = InverseTokens(inverse_ids=(15,), success_ids=(13,), failure_ids=(14,))
INSTRUCTIONS = {"a": (1, 2, 3, 4, 5), "b": (6, 7, 8), "c": (9, 1, 9)}


def trajectory(name: str, *decisions: tuple[int, ...], success: bool = True) -> Trajectory:
    """An episode whose prompts hold token 12, which no trace may show."""
    task = Task(key=name, instruction=name, split="train", seed=0, hash="", environment="toy")
    ledgers = [Ledger((12, 12), ids, (0.0,) * len(ids), (True,) * len(ids)) for ids in decisions]
    turns = tuple(Turn("", Decision(text="", action="", ledger=ledger), 0.0) for ledger in ledgers)
    return Trajectory(f"{name}/{decisions}", task, turns, StopReason.TERMINATED, float(success), success, 0, "toy")


def instruction_ids(task: Task) -> tuple[int, ...]:
    return INSTRUCTIONS[task.key]


@pytest.fixture
def model() -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, initializer_range=0.5, tie_word_embeddings=True,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


@pytest.fixture
def head() -> MetacognitionHead:
    torch.manual_seed(1)
    head = MetacognitionHead(8, inverse_rank=2)
    torch.nn.init.normal_(head.inverse_adapter.up.weight)
    return head


def scorer(model: Qwen2ForCausalLM, head: MetacognitionHead | WatchedHead, **limits: object) -> ConsistencyScorer:
    return ConsistencyScorer(model, head, TOKENS, instruction_ids, **limits)


def test_a_row_is_trace_outcome_marker_instruction_and_holds_no_prompt() -> None:
    row = inverse_row(trace_of(trajectory("b", (1, 2), (3,))), (6, 7, 8), TOKENS)
    assert row.ids == (1, 2, 3, 13, 15, 6, 7, 8)
    assert row.ids[row.start :] == (6, 7, 8)
    failed = inverse_row(trace_of(trajectory("b", (1, 2), success=False)), (6, 7, 8), TOKENS)
    assert failed.ids == (1, 2, 14, 15, 6, 7, 8)


def test_without_the_trace_or_the_outcome_the_rest_stays() -> None:
    tokens = InverseTokens((15,), (13,), (14,), start_ids=(0,))
    assert inverse_row(None, (6, 7), tokens).ids == (0, 15, 6, 7)
    assert inverse_row(Trace(((1, 2),), True), (6, 7), tokens, has_outcome=False).ids == (0, 1, 2, 15, 6, 7)


def test_a_long_trace_loses_its_beginning_and_says_so() -> None:
    row = inverse_row(Trace(((1, 2, 3), (4, 5)), True), (6, 7), TOKENS, max_tokens=6)
    assert (row.ids, row.dropped_tokens) == ((4, 5, 13, 15, 6, 7), 3)
    assert inverse_row(Trace(((1,),), True), (6, 7), TOKENS, max_tokens=4).ids == (13, 15, 6, 7)
    with pytest.raises(ValueError, match="expected at most 3 tokens, got an instruction of 2"):
        inverse_row(Trace(((1,),), True), (6, 7), TOKENS, max_tokens=3)


def test_bad_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="instruction of at least one token"):
        inverse_row(None, (), TOKENS)
    with pytest.raises(ValueError, match="at least one id for <inverse>"):
        InverseTokens((), (1,), (2,))
    with pytest.raises(ValueError, match="expected outcomes that differ"):
        InverseTokens((1,), (2,), (2,))
    bare = trajectory("a", (1,))
    turn = Turn("", Decision(text="", action=""), 0.0)
    without = Trajectory("e3", bare.task, (*bare.turns, turn), StopReason.TERMINATED, 0.0, False, 0, "toy")
    with pytest.raises(ValueError, match="trajectory e3, turn 1: expected a token ledger"):
        trace_of(without)


def test_a_trace_is_what_the_policy_wrote() -> None:
    whole = trajectory("e", (1, 2), (3,), (4, 5))
    first, second, third = whole.turns

    def without_ledger(turn: Turn, **changes: object) -> Turn:
        return replace(turn, decision=replace(turn.decision, ledger=None, **changes))  # type: ignore[arg-type]

    forced = without_ledger(second, origin=Origin.INJECTED)
    spelled = replace(second, decision=replace(second.decision, origin=Origin.INJECTED))
    spent = without_ledger(second, stop=StopReason.EPISODE_TOKENS)
    for left_out in (forced, spelled, spent, without_ledger(second, origin=Origin.EXPERT)):
        assert trace_of(replace(whole, turns=(first, left_out, third))).decisions == ((1, 2), (4, 5))
    with pytest.raises(ValueError, match="expected at least one sampled token, got none"):
        trace_of(replace(whole, turns=(forced,)))


def test_collate_labels_the_instruction_alone() -> None:
    rows = [inverse_row(Trace(((6, 7, 8),), True), (5, 6, 7, 8), TOKENS), inverse_row(None, (9,), TOKENS)]
    batch = collate(rows, pad_id=0)
    assert batch.ids_BT.tolist() == [[6, 7, 8, 13, 15, 5, 6, 7, 8], [15, 9, 0, 0, 0, 0, 0, 0, 0]]
    assert batch.attention_BT.sum(dim=1).tolist() == [9, 2]
    assert batch.labels_BT.tolist() == [[-100] * 5 + [5, 6, 7, 8], [-100, 9] + [-100] * 7]


def test_spans_of_three_are_copies_and_spans_of_two_are_not() -> None:
    assert copied_mask((1, 2, 3, 4, 5), [(0, 2, 3, 4, 0)]) == (False, True, True, True, False)
    assert copied_mask((1, 2, 3, 4, 5), [(2, 3, 0, 4, 5)]) == (False,) * 5
    assert copied_mask((1, 2, 3), [(1, 2), (3,)]) == (False,) * 3  # not across two decisions
    assert copied_mask((1, 2, 3), [(1, 2, 9)], fold={9: 3}) == (True,) * 3


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.lists(st.lists(st.integers(0, 3), max_size=9)))
def test_a_token_is_a_copy_exactly_when_some_window_around_it_is(x: list[int], decisions: list[list[int]]) -> None:
    def holds(window: list[int]) -> bool:
        return any(window == d[at : at + 3] for d in decisions for at in range(len(d) - 2))

    expected = [
        any(holds(x[at : at + 3]) for at in range(max(0, k - 2), k + 1) if at + 3 <= len(x)) for k in range(len(x))
    ]
    assert list(copied_mask(x, decisions)) == expected


def test_one_pass_in_ten_drops_the_trace_by_a_lot_that_can_be_repeated() -> None:
    dropped = [is_trace_dropped(f"episode {i}", seed=3) for i in range(5000)]
    assert dropped == [is_trace_dropped(f"episode {i}", seed=3) for i in range(5000)]
    assert sum(dropped) / 5000 == pytest.approx(0.1, abs=0.015)
    assert dropped != [is_trace_dropped(f"episode {i}", seed=4) for i in range(5000)]


def test_no_token_of_the_instruction_is_seen_before_it_is_predicted(
    model: Qwen2ForCausalLM, head: MetacognitionHead
) -> None:
    trace, x = Trace(((1, 2),), True), (6, 7, 8, 9)
    before = inverse_logprobs(model, head, collate([inverse_row(trace, x, TOKENS)], 0))[0, 4:]
    for k in range(len(x)):
        changed = (*x[:k], 3, *x[k + 1 :])
        after = inverse_logprobs(model, head, collate([inverse_row(trace, changed, TOKENS)], 0))[0, 4:]
        torch.testing.assert_close(after[:k], before[:k])
        assert not torch.allclose(after[k], before[k])


def test_log_probabilities_are_those_of_a_plain_forward_through_the_adapter(
    model: Qwen2ForCausalLM, head: MetacognitionHead
) -> None:
    rows = [inverse_row(Trace(((1, 2, 3, 4),), True), (6, 7), TOKENS), inverse_row(None, (8,), TOKENS)]
    got_BT = inverse_logprobs(model, head, collate(rows, 0))
    for b, row in enumerate(rows):
        hidden = model.model(torch.tensor([row.ids])).last_hidden_state[0]
        log_TV = torch.log_softmax(model.lm_head(head.adapt(hidden)), dim=-1)
        expected = [log_TV[t - 1, row.ids[t]].item() for t in range(row.start, len(row.ids))]
        assert got_BT[b, row.start : len(row.ids)].tolist() == pytest.approx(expected, abs=1e-5)
        assert got_BT[b].nonzero().flatten().tolist() == list(range(row.start, len(row.ids)))


def test_ics_is_the_gain_in_nats_a_token_and_copies_earn_nothing(
    model: Qwen2ForCausalLM, head: MetacognitionHead
) -> None:
    episodes = [trajectory("a", (6, 2, 3, 4), (9,)), trajectory("a", (7,), success=False), trajectory("b", (1, 2))]
    scores = scorer(model, head, batch_size=2)(episodes)
    for episode, score in zip(episodes, scores, strict=True):
        x = instruction_ids(episode.task)
        rows = [inverse_row(trace_of(episode), x, TOKENS), inverse_row(None, x, TOKENS)]
        given, alone = (inverse_logprobs(model, head, collate([row], 0))[0, row.start :] for row in rows)
        counted = torch.tensor([token not in (2, 3, 4) or episode is not episodes[0] for token in x])
        assert score.ics == pytest.approx(((given - alone) * counted).sum().item() / len(x), abs=1e-5)
        assert score.log_p_given_trace == pytest.approx(given.sum().item(), abs=1e-5)
        assert score.log_p_alone == pytest.approx(alone.sum().item(), abs=1e-5)
        assert score.token_count == len(x)
    assert [score.copy_rate for score in scores] == pytest.approx([0.6, 0.0, 0.0])


def test_a_trace_that_copies_the_whole_instruction_scores_exactly_zero(
    model: Qwen2ForCausalLM, head: MetacognitionHead
) -> None:
    (score,) = scorer(model, head)([trajectory("a", INSTRUCTIONS["a"])])
    assert (score.ics, score.copy_rate) == (0.0, 1.0)


class WatchedHead:
    """Notes whether a gradient would be kept, and in which mode the model runs."""

    def __init__(self, model: Qwen2ForCausalLM) -> None:
        self.model, self.seen = model, set()

    def inverse_logits(self, hidden_NH: torch.Tensor, unembedding: torch.nn.Module) -> torch.Tensor:
        self.seen.add((torch.is_grad_enabled(), self.model.training))
        return unembedding(hidden_NH)


@pytest.mark.parametrize("was_training", [True, False])
def test_scoring_keeps_no_gradient_and_leaves_the_mode_as_it_was(model: Qwen2ForCausalLM, was_training: bool) -> None:
    model.train(was_training)
    watched = WatchedHead(model)
    scorer(model, watched)([trajectory("b", (1, 2))])
    assert watched.seen == {(False, False)}
    assert model.training is was_training


def test_a_truncated_episode_is_told_as_a_failure() -> None:
    truncated = replace(trajectory("b", (1, 2), success=True), stop_reason=StopReason.MAX_TURNS)
    assert inverse_row(trace_of(truncated), (6,), TOKENS).ids == (1, 2, 14, 15, 6)


def test_training_the_inverse_loss_raises_the_score_of_telling_traces(
    model: Qwen2ForCausalLM, head: MetacognitionHead
) -> None:
    episodes = [trajectory("a", (10,)), trajectory("b", (11,)), trajectory("c", (12,))]
    rows = [inverse_row(trace_of(e), instruction_ids(e.task), TOKENS) for e in episodes]
    rows += [inverse_row(None, x, TOKENS) for x in INSTRUCTIONS.values()]
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        inverse_loss(model, head, collate(rows, 0)).backward()
        optimizer.step()
    scored = scorer(model, head)
    assert min(score.ics for score in scored(episodes)) > 0.1
    assert scored([trajectory("a", (11,))])[0].ics < 0  # the trace of another task
    found = scored.contrast(episodes, negatives=2)
    assert found.top1 == 1.0
    assert 0.9 * math.log(3) < found.info_nce <= math.log(3)


def test_the_inverse_loss_is_a_weighted_mean_over_the_instructions_tokens(
    model: Qwen2ForCausalLM, head: MetacognitionHead
) -> None:
    batch = collate([inverse_row(None, (6, 7), TOKENS), inverse_row(None, (8,), TOKENS)], 0)
    logprobs_BT = inverse_logprobs(model, head, batch)
    loss = inverse_loss(model, head, batch, torch.tensor([1.0, 3.0]))
    expected = -(logprobs_BT[0].sum() + 3 * logprobs_BT[1].sum()) / 5
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert head.inverse_adapter.up.weight.grad is not None
    assert model.lm_head.weight.grad is not None


def test_contrast_ranks_the_true_one_with_ties_against_it() -> None:
    scores_BK = torch.tensor([[2.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 5.0, 5.0]])
    found = contrast(scores_BK, torch.tensor([0, 0, 0]))
    assert found.ranks == (1, 2, 3)
    assert (found.top1, found.mean_reciprocal_rank) == pytest.approx((1 / 3, (1 + 1 / 2 + 1 / 3) / 3))
    assert found.terms[0] == pytest.approx(math.log(3) + 2 - math.log(math.e**2 + math.e + 1))


def test_the_same_score_everywhere_says_nothing() -> None:
    assert contrast(torch.zeros(2, 5), torch.tensor([0, 3])).info_nce == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("scale", [0.5, 1.0, 4.0])
def test_info_nce_is_a_lower_bound_on_the_mutual_information(scale: float) -> None:
    # X is uniform on 3 values, Z shows it with probability 0.8 and else one of the others; negatives are distinct.
    p = {(x, z): (0.8 if x == z else 0.1) / 3 for x, z in product(range(3), repeat=2)}
    information = sum(joint * math.log(joint / (1 / 3 * 1 / 3)) for joint in p.values())
    expected = {}
    for count in (1, 2):
        expected[count] = 0.0
        for (x, z), joint in p.items():
            subsets = [[y for y in range(3) if y != x]] if count == 2 else [[y] for y in range(3) if y != x]
            for others in subsets:
                scores = [scale * math.log(p[y, z] * 9) for y in (x, *others)]
                expected[count] += joint / len(subsets) * contrast(torch.tensor([scores]), torch.tensor([0])).info_nce
    assert expected[1] < information
    assert expected[2] <= information + 1e-6
    if scale == 1.0:
        assert expected[2] == pytest.approx(information, abs=1e-6)  # the log-ratio over all values is tight


def test_too_few_other_tasks_are_refused(model: Qwen2ForCausalLM, head: MetacognitionHead) -> None:
    with pytest.raises(ValueError, match="expected between 1 and 1 negatives for 2 different instructions, got 7"):
        scorer(model, head).contrast([trajectory("a", (1,)), trajectory("b", (1,)), trajectory("b", (2,))])


def test_the_pass_runs_on_a_lora_wrapped_model(model: Qwen2ForCausalLM, head: MetacognitionHead) -> None:
    peft = pytest.importorskip("peft")
    plain = scorer(model, head)([trajectory("b", (1, 2))])
    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj"]))
    assert scorer(wrapped, head)([trajectory("b", (1, 2))])[0].ics == pytest.approx(plain[0].ics, abs=1e-6)
