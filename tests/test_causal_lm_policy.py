"""`CausalLM` as a policy: decisions, budgets, forecasts, changing weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from policies.causal_lm import CausalLM
from policies.causal_lm.chat import ChatRenderer
from sage_gym.types import Context, Decision, Ledger, StopReason, Turn
from tests.causal_lm_toys import make_context, make_turn, sampled_ids, toy_head, toy_model, toy_policy, toy_tokenizer

torch.set_num_threads(1)


def _play(policy: CausalLM, episodes: int, turns: int) -> list[tuple[Turn, ...]]:
    histories: list[tuple[Turn, ...]] = [()] * episodes
    for turn in range(turns):
        contexts = [
            make_context(h, episode=f"e{i}", seed=10 * turn + i, observation=f"page {turn} of {i}")
            for i, h in enumerate(histories)
        ]
        decisions = policy.act(contexts)
        histories = [(*h, make_turn(c.observation, d)) for h, c, d in zip(histories, contexts, decisions, strict=True)]
    return histories


def test_restricted_decisions_are_admissible_and_their_ledgers_add_up() -> None:
    policy = toy_policy()
    for history in _play(policy, episodes=4, turns=3):
        fed: tuple[int, ...] = ()
        for turn in history:
            decision, ledger = turn.decision, turn.decision.ledger
            assert ledger is not None
            assert decision.action in ("click[buy now]", "click[back]") or decision.action.startswith("search[")
            assert len(ledger.allowed) == len(ledger.sampled_ids)
            fed = (fed if ledger.is_continuation else ()) + ledger.prompt_ids
            with torch.inference_mode():
                logits_TV = policy.model(torch.tensor([fed + ledger.sampled_ids])).logits[0]
            for i, (token, open_ids) in enumerate(zip(ledger.sampled_ids, ledger.allowed, strict=True)):
                ids = list(range(logits_TV.shape[1])) if open_ids is None else list(open_ids)
                expected = torch.log_softmax(logits_TV[len(fed) - 1 + i, ids], dim=-1)[ids.index(token)].item()
                assert ledger.logprobs[i] == pytest.approx(expected, abs=1e-4)
                assert ledger.mask[i] == (len(ids) > 1)
            fed += ledger.sampled_ids
        assert history[1].decision.ledger.is_continuation  # type: ignore[union-attr]


def test_a_decision_depends_on_its_own_context_alone() -> None:
    contexts = [make_context(episode=f"e{i}", seed=i, observation=f"page {i}") for i in range(5)]
    together = toy_policy(is_restricted=False).act(contexts)
    apart = [toy_policy(is_restricted=False).act([context])[0] for context in contexts]
    assert sampled_ids(together) == sampled_ids(apart)
    assert len(set(sampled_ids(together))) > 1


def test_released_episodes_decide_as_if_they_had_been_kept() -> None:
    policy = toy_policy(is_restricted=False)
    history = _play(policy, episodes=1, turns=2)[0]
    context = make_context(history, episode="e0", seed=77)
    kept = policy.act([context])
    policy.release(["e0"])
    assert sampled_ids(policy.act([context])) == sampled_ids(kept)


def test_lifting_the_restriction_opens_every_id() -> None:
    lifted = toy_policy(restricted=False).act([make_context()])[0]
    assert lifted.ledger is not None
    assert set(lifted.ledger.allowed) == {None}
    assert all(lifted.ledger.mask)
    with pytest.raises(ValueError, match="expected a restricted renderer, got ChatRenderer"):
        toy_policy(is_restricted=False, restricted=True)


@pytest.mark.parametrize(
    ("turn_tokens", "left", "stop", "count"),
    [
        (5, 100, StopReason.TURN_TOKENS, 5),
        (100, 5, StopReason.EPISODE_TOKENS, 5),
        (5, 5, StopReason.TURN_TOKENS, 5),
        (100, 0, StopReason.EPISODE_TOKENS, None),
    ],
)
def test_each_token_budget_stops_under_its_own_name(
    turn_tokens: int, left: int, stop: StopReason, count: int | None
) -> None:
    context = make_context(actions=("click[a very long label that takes its time]",), free=())
    context = replace(context, turn_tokens=turn_tokens, episode_tokens_left=left)
    decision = toy_policy().act([context])[0]
    assert decision.stop is stop
    assert (None if decision.ledger is None else len(decision.ledger.sampled_ids)) == count


def test_a_finished_decision_has_no_stop() -> None:
    assert toy_policy().act([make_context(free=())])[0].stop is None


def test_a_context_that_outgrows_the_model_is_begun_anew_and_then_stopped() -> None:
    renderer = ChatRenderer(toy_tokenizer(), restricted=True)
    first = renderer.render(make_context())
    policy = toy_policy(longest=len(first.ids) + 170)
    history = _play(policy, episodes=1, turns=4)[0]
    ledgers = [turn.decision.ledger for turn in history]
    starts = [ledger is not None and not ledger.is_continuation for ledger in ledgers]
    assert starts[0]
    assert any(starts[1:])
    assert all(turn.decision.stop is None or turn.decision.ledger for turn in history)
    long = policy.act([make_context(observation="page " * 400)])[0]
    assert (long.stop, long.ledger) == (StopReason.EPISODE_TOKENS, None)


def test_a_continuation_of_a_turn_without_ledger_is_an_error() -> None:
    class Careless(ChatRenderer):
        def render(self, context: Context):  # type: ignore[no-untyped-def]
            return replace(super().render(context), is_continuation=True)

    policy = CausalLM(toy_model(), toy_tokenizer(), Careless(toy_tokenizer()))
    with pytest.raises(ValueError, match="expected a ledger for every turn back to the one that began the sequence"):
        policy.act([make_context((make_turn("a page", Decision("x", "x")),))])


def test_greedy_says_so_and_repeats_itself_under_any_seed() -> None:
    decisions = [toy_policy(temperature=0.0, is_restricted=False).act([make_context(seed=s)])[0] for s in (1, 2)]
    assert len(set(sampled_ids(decisions))) == 1
    assert decisions[0].notes["is_greedy"] is True
    assert isinstance(decisions[0].ledger, Ledger)
    assert decisions[0].ledger.temperature == 1.0


def test_candidates_are_the_actions_that_were_weighed() -> None:
    decision = toy_policy().act([make_context(free=())])[0]
    assert {candidate.action for candidate in decision.candidates} == {"click[buy now]", "click[back]"}
    logprobs = [candidate.logprob for candidate in decision.candidates]
    assert sum(torch.tensor(logprobs).exp()) == pytest.approx(1.0, abs=1e-5)
    assert logprobs == sorted(logprobs, reverse=True)  # type: ignore[type-var]


def test_candidates_for_one_turn_in_one_call_equal_those_asked_for_one_by_one() -> None:
    contexts = [make_context(seed=seed) for seed in range(4)]
    policy = toy_policy(is_restricted=False)
    assert sampled_ids(policy.act(contexts)) == [
        sampled_ids(toy_policy(is_restricted=False).act([c]))[0] for c in contexts
    ]


def test_forecasts_are_read_at_the_last_token_of_prompt_and_decision() -> None:
    head = toy_head()
    policy = toy_policy(head=head)
    history = _play(policy, episodes=2, turns=2)[1]
    fed: tuple[int, ...] = ()
    opening: tuple[int, ...] = ()
    assert any(t.decision.ledger is not None and t.decision.ledger.is_continuation for t in history)
    for turn in history:
        decision, ledger = turn.decision, turn.decision.ledger
        assert ledger is not None
        opening = opening if ledger.is_continuation else ledger.prompt_ids
        fed = (fed if ledger.is_continuation else ()) + ledger.prompt_ids + ledger.sampled_ids
        with torch.inference_mode():
            hidden_TH = policy.model.model(torch.tensor([fed])).last_hidden_state[0]
            opening_BH = head.read_openings(policy.model.get_input_embeddings(), [opening])
            before = head.p_fail(hidden_TH[[-1 - len(ledger.sampled_ids)]], opening_BH, "before").item()
            after = head.p_fail(hidden_TH[[-1]], opening_BH, "after").item()
        assert (decision.p_fail_before, decision.p_fail) == (
            pytest.approx(before, abs=1e-4),
            pytest.approx(after, abs=1e-4),
        )


@pytest.mark.parametrize("is_fused", [True, False])
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_a_trained_model_decides_with_its_new_weights(is_fused: bool, dtype: torch.dtype | None) -> None:
    policy = toy_policy(is_restricted=False, temperature=0.0, dtype=dtype)
    before = policy.act([make_context()])[0]
    model = policy.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.3, fused=is_fused)
    ids = torch.tensor([[20, 21, 22, 23, 24]])
    model(ids, labels=ids).loss.backward()
    optimizer.step()
    after = policy.act([make_context()])[0]
    fresh = CausalLM(model, toy_tokenizer(), ChatRenderer(toy_tokenizer()), temperature=0.0, dtype=dtype)
    assert model.training
    assert sampled_ids([after]) == sampled_ids(fresh.act([make_context()]))
    assert after.ledger is not None
    assert before.ledger is not None
    assert after.ledger.logprobs != before.ledger.logprobs


def test_foreseeing_reads_prompts_alone_and_leaves_running_episodes_as_they_are() -> None:
    policy = toy_policy(head=toy_head())
    history = _play(policy, episodes=1, turns=1)[0]
    running = make_context(history, episode="e0", seed=5)
    fresh = make_context(episode="new", observation="elsewhere")
    foreseen = policy.foresee([running, fresh])
    decisions = policy.act([running, fresh])
    assert foreseen == [pytest.approx(d.p_fail_before, abs=1e-5) for d in decisions]
    assert foreseen[0] != foreseen[1]
    with pytest.raises(ValueError, match="expected a meta-cognition head to forecast with"):
        toy_policy().foresee([fresh])


def test_another_way_of_decoding_shares_the_weights() -> None:
    free = toy_policy(is_restricted=False)
    restricted = free.with_decoding(temperature=0.0, restricted=True)
    assert restricted.model is free.model
    decision = restricted.act([make_context(free=())])[0]
    assert decision.action in ("click[buy now]", "click[back]")
    lifted = restricted.with_decoding(temperature=1.0, restricted=False).act([make_context()])[0]
    assert sampled_ids([lifted]) == sampled_ids(free.act([make_context()]))


def test_a_temperature_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a temperature of 0 \(greedy\) or more, got -1"):
        toy_policy(temperature=-1.0)
