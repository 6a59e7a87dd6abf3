"""The amplified student: what it samples, drops, plans again, chooses and records; and the state it leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import torch

from policies.amplified import Amplified, lowest_forecast
from policies.causal_lm.compact import CompactRenderer
from policies.causal_lm.policy import CausalLM
from policies.causal_lm.vocabulary import Vocabulary
from policies.metacognition import MetacognitionHead
from policies.nano.model import build_model, build_tokenizer
from sage_gym.distill.rows import rows_of
from sage_gym.rollout import collect, fingerprint
from sage_gym.types import Budget, Choice, Context, Decision, Ledger, StopReason, Trajectory, Turn, View
from tests.scripted_rollouts import CountingEnv, ScriptedPolicy, requests, tasks

torch.set_num_threads(1)

BUDGET = Budget(max_turns=6, turn_tokens=8, episode_tokens=64, wall_clock_s=60.0)


def a_context(seed: int = 5, **changes: Any) -> Context:
    return replace(Context("e", tasks(1)[0], "", (), seed), **changes)


def playing(*decisions: tuple[str, float | None], extra: int = 0) -> ScriptedPolicy:
    """Give these (action, p_fail) in the order they are asked for, whoever asks; log-probability -(index + 1)."""
    rest = iter(enumerate(decisions))

    def decide(context: Context) -> Decision:
        index, (action, p_fail) = next(rest)
        ledger = Ledger((1,), (index, 9), (-float(index + 1), -0.5), (True, True))
        return Decision(action, action, ledger=ledger, p_fail=p_fail, notes={"page": "p"})

    return ScriptedPolicy(decide)


def weighing(policy: ScriptedPolicy, **settings: Any) -> Decision:
    [decision] = Amplified(policy, **{"untouched_share": 0.0, **settings}).act([a_context()])
    return decision


def test_the_first_candidate_has_the_contexts_seed_and_the_others_seeds_of_their_own() -> None:
    policy = playing(("a", 0.9), ("b", 0.9), ("c", 0.9), ("d", 0.9), ("e", 0.9), ("f", 0.9))
    weighing(policy, candidates=3, replans=1, tau=0.5)
    seeds = [context.seed for context in policy.contexts]
    assert seeds[0] == 5
    assert len(set(seeds)) == 6
    assert {(context.episode, context.observation, context.turns) for context in policy.contexts} == {("e", "", ())}
    again = playing(*[("a", 0.9)] * 6)
    weighing(again, candidates=3, replans=1, tau=0.5)
    assert [context.seed for context in again.contexts] == seeds


def test_what_the_forecast_gives_up_on_is_dropped_even_where_the_critic_likes_it() -> None:
    policy = playing(("liked", 0.9), ("fine", 0.5), ("hopeless", 0.81))
    scores = {"liked": 9.0, "fine": 0.0, "hopeless": 8.0}
    chosen = weighing(policy, candidates=3, tau=0.8, chooser=lambda _, all_: [scores[d.action] for d in all_])
    assert (chosen.action, chosen.replans) == ("fine", 0)
    assert len(policy.contexts) == 3


def test_a_turn_is_planned_again_only_while_no_candidate_is_left() -> None:
    policy = playing(("a", 0.9), ("b", 0.95), ("c", 0.9), ("d", 0.4), ("e", 0.1), ("f", 0.1))
    chosen = weighing(policy, candidates=2, tau=0.8, replans=2)
    assert (chosen.action, chosen.replans, chosen.notes["samples"]) == ("d", 1, 4)
    assert chosen.notes["is_intervened"]


def test_when_every_plan_is_hopeless_the_best_of_all_is_taken_after_the_last_replan() -> None:
    policy = playing(("a", 0.95), ("b", 0.85), ("c", 0.99), ("d", 0.9), ("e", 0.9), ("f", 0.97))
    chosen = weighing(policy, candidates=2, tau=0.8, replans=2)
    assert (chosen.action, chosen.replans, len(policy.contexts)) == ("b", 2, 6)


def test_the_decision_carries_all_that_was_weighed_and_its_own_ledger() -> None:
    policy = playing(("a", 0.6), ("b", 0.2), ("a", 0.6), ("c", 0.9))
    chosen = weighing(policy, candidates=4, tau=0.8)
    assert [(c.action, c.logprob, c.p_fail) for c in chosen.candidates] == [
        ("a", -1.5, 0.6), ("b", -2.5, 0.2), ("c", -4.5, 0.9)
    ]  # fmt: skip
    assert [c.score for c in chosen.candidates] == pytest.approx([0.4, 0.8, 0.1])
    assert chosen.ledger is not None
    assert chosen.ledger.sampled_ids == (1, 9)
    assert chosen.notes == {
        "page": "p",
        "is_untouched": False,
        "samples": 4,
        "sampled_tokens": 8,
        "is_intervened": True,
    }


def test_of_several_ways_to_write_an_action_the_plain_policys_stays() -> None:
    policy = playing(("a", 0.5), ("a", 0.1), ("b", 0.4))
    chosen = weighing(policy, candidates=3)
    assert chosen.action == "b"
    policy = playing(("a", 0.3), ("a", 0.1), ("b", 0.4))
    chosen = weighing(policy, candidates=3)
    assert chosen.ledger is not None
    assert chosen.ledger.sampled_ids == (0, 9)
    assert "is_intervened" not in chosen.notes


def test_equal_scores_leave_the_plain_decision_standing() -> None:
    assert weighing(playing(("a", 0.5), ("b", 0.5)), candidates=2).action == "a"


def test_an_unscored_candidate_is_no_zero() -> None:
    scores = {"a": None, "b": -3.0}
    policy = playing(("a", 0.5), ("b", 0.5))
    assert weighing(policy, candidates=2, chooser=lambda _, all_: [scores[d.action] for d in all_]).action == "b"
    policy = playing(("a", 0.5), ("b", 0.5))
    assert weighing(policy, candidates=2, chooser=lambda _, all_: [None] * len(all_)).action == "a"


def test_a_candidate_that_ran_out_of_tokens_is_dropped() -> None:
    cut, whole = Decision("", "", p_fail=0.0, stop=StopReason.TURN_TOKENS), Decision("b", "b", p_fail=0.7)
    policy = ScriptedPolicy(lambda context: cut if context.seed == 5 else whole)
    assert weighing(policy, candidates=2).action == "b"


def test_where_no_token_may_be_sampled_nothing_is_planned_again() -> None:
    policy = ScriptedPolicy(lambda _: Decision("", "", stop=StopReason.EPISODE_TOKENS))
    chosen = weighing(policy, candidates=2, replans=3)
    assert (chosen.stop, chosen.replans, len(policy.contexts)) == (StopReason.EPISODE_TOKENS, 0, 2)


def test_a_policy_without_forecasts_is_refused_where_they_are_asked_for() -> None:
    with pytest.raises(ValueError, match=r"expected forecasts .* of scripted, got none"):
        weighing(playing(("a", None), ("b", None)), candidates=2)
    policy = playing(("a", None), ("b", None))
    chosen = weighing(policy, candidates=2, tau=1.0, chooser=lambda _, all_: [float(d.action == "b") for d in all_])
    assert chosen.action == "b"


def test_a_chooser_must_score_every_candidate() -> None:
    with pytest.raises(ValueError, match="expected a score or None for each of 2 candidates, got 1"):
        weighing(playing(("a", 0.1), ("b", 0.1)), candidates=2, chooser=lambda *_: [1.0])


@pytest.mark.parametrize("wrong", [{"candidates": 0}, {"replans": -1}, {"tau": 1.1}, {"untouched_share": -0.1}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Amplified(playing(), **wrong)


def by_seed(context: Context) -> Decision:
    """Depend on the context's seed alone, often hopelessly."""
    random = Random(context.seed)
    action = random.choice(["add", "add", "stop", "jump"])
    ledger = Ledger((1, len(context.turns)), (random.randrange(99),), (-random.random(),), (True,))
    return Decision(action, action, ledger=ledger, p_fail=random.random())


def play(policy: Any, count: int = 60, concurrency: int = 16) -> list[Trajectory]:
    chunks = collect(CountingEnv, policy, requests(count), budget=BUDGET, concurrency=concurrency, deadlines=None)
    return [trajectory for chunk in chunks for trajectory in chunk]


def actions(trajectory: Trajectory) -> list[str]:
    return [turn.decision.action for turn in trajectory.turns]


def test_a_share_of_the_episodes_by_lot_is_the_plain_policys_own_from_first_to_last_turn() -> None:
    plain = play(ScriptedPolicy(by_seed))
    amplified = play(Amplified(ScriptedPolicy(by_seed), candidates=3, tau=0.6, replans=1, untouched_share=0.3))
    lots = [{turn.decision.notes["is_untouched"] for turn in t.turns} for t in amplified]
    assert all(len(lot) == 1 for lot in lots)
    untouched = [index for index, lot in enumerate(lots) if lot == {True}]
    assert 8 <= len(untouched) <= 28
    for index in untouched:
        assert not amplified[index].is_intervened
        assert [replace(t.decision, notes={}) for t in amplified[index].turns] == [
            replace(t.decision, notes={}) for t in plain[index].turns
        ]
    touched = [index for index in range(60) if index not in untouched]
    assert sum(amplified[index].is_intervened for index in touched) > len(touched) / 2
    assert sum(actions(amplified[index]) != actions(plain[index]) for index in touched) > len(touched) / 2


def test_the_lot_and_the_choices_do_not_depend_on_the_batch_but_on_the_seed() -> None:
    def prints(concurrency: int, seed: int) -> list[str]:
        return [fingerprint(t) for t in play(Amplified(ScriptedPolicy(by_seed), seed=seed), 30, concurrency)]

    assert prints(30, 0) == prints(7, 0)
    assert prints(30, 0) != prints(30, 1)


def test_an_untouched_share_of_one_never_intervenes_and_asks_once() -> None:
    policy = ScriptedPolicy(by_seed)
    trajectories = play(Amplified(policy, untouched_share=1.0), 10)
    assert not any(t.is_intervened for t in trajectories)
    assert len(policy.contexts) == sum(len(t.turns) for t in trajectories)


def test_releasing_reaches_the_policy() -> None:
    policy = ScriptedPolicy(by_seed)
    play(Amplified(policy), 3)
    assert sorted(policy.released) == ["r0/count/000#0~1", "r0/count/001#0~1", "r0/count/002#0~1"]


def a_model() -> CausalLM:
    tokenizer = build_tokenizer(["count to three by saying add then stop"])
    model = build_model(0, hidden=32, layers=2, heads=4, vocab=len(tokenizer)).eval()
    head = MetacognitionHead(32)
    generator = torch.Generator().manual_seed(1)
    for linear in [*head.forecasts.values(), *head.openings.values()]:
        torch.nn.init.normal_(linear.weight, std=0.5, generator=generator)
    return CausalLM(model, tokenizer, CompactRenderer(Vocabulary(tokenizer)), head=head)


def a_turns_context(episode: int, turns: Sequence[Turn]) -> Context:
    page = f"page {len(turns) % 3}"
    choices = tuple(Choice(f"click[{i}]", f"add {i} of {page}") for i in range(5))
    view = View(page, f"turn {len(turns)}", choices, ("search[",))
    return Context(f"e{episode}", tasks(3)[episode], view.news, tuple(turns), 100 * episode + len(turns), view=view)


def test_the_policys_state_stays_right_after_another_candidate_than_the_first() -> None:
    """Compare with a fresh policy, which reads the ledgers from nothing, and with a plain pass over the rows."""
    policy = a_model()
    amplified = Amplified(policy, candidates=4, tau=0.5, replans=1, untouched_share=0.0)
    turns: list[list[Turn]] = [[], [], []]
    interventions = 0
    for _ in range(5):
        contexts = [a_turns_context(episode, turns[episode]) for episode in range(3)]
        decisions = amplified.act(contexts)
        fresh = Amplified(a_model(), candidates=4, tau=0.5, replans=1, untouched_share=0.0).act(contexts)
        for episode, (decision, other) in enumerate(zip(decisions, fresh, strict=True)):
            assert decision.ledger is not None
            assert other.ledger is not None
            assert decision.ledger.sampled_ids == other.ledger.sampled_ids
            assert decision.ledger.logprobs == pytest.approx(other.ledger.logprobs, abs=1e-4)
            assert decision.p_fail == pytest.approx(other.p_fail, abs=1e-4)
            assert [c.p_fail for c in decision.candidates] == pytest.approx(
                [c.p_fail for c in other.candidates], abs=1e-4
            )
            turns[episode].append(Turn(contexts[episode].observation, decision, 0.0))
            interventions += decision.notes.get("is_intervened", False)
    assert interventions > 5
    assert sum(turn.decision.ledger.is_continuation for own in turns for turn in own if turn.decision.ledger) == 12
    for episode, own in enumerate(turns):
        check_ledgers(policy, Trajectory("t", tasks(3)[episode], tuple(own), StopReason.MAX_TURNS, 0.0, False, 0, "x"))


def check_ledgers(policy: CausalLM, trajectory: Trajectory) -> None:
    """The recorded log-probabilities are the plain model's, of these tokens, after these tokens."""
    for row in rows_of(trajectory):
        with torch.inference_mode():
            logits_TV = policy.model(input_ids=torch.from_numpy(row.ids_T)[None]).logits[0]
        for position, logprob, allowed in zip(row.sampled_N, row.logprobs_N, row.allowed_N, strict=True):
            open_ids = list(allowed or range(logits_TV.shape[1]))
            expected = torch.log_softmax(logits_TV[position - 1, open_ids], -1)[open_ids.index(row.ids_T[position])]
            assert float(logprob) == pytest.approx(float(expected), abs=1e-4)


def test_the_first_candidate_is_what_the_plain_model_decides() -> None:
    contexts = [a_turns_context(episode, ()) for episode in range(3)]
    plain = a_model().act(contexts)
    amplified = Amplified(a_model(), candidates=4, chooser=lambda _, all_: [-i for i in range(len(all_))], tau=1.0,
                          untouched_share=0.0).act(contexts)  # fmt: skip
    for decision, other in zip(amplified, plain, strict=True):
        assert (decision.action, decision.text) == (other.action, other.text)
        assert decision.ledger is not None
        assert other.ledger is not None
        assert decision.ledger.sampled_ids == other.ledger.sampled_ids
        assert "is_intervened" not in decision.notes


def test_the_default_chooser_scores_by_the_forecast_after_the_decision() -> None:
    decisions = [Decision("a", "a", p_fail_before=0.1, p_fail=0.75), Decision("b", "b", p_fail_before=0.9)]
    assert lowest_forecast(a_context(), decisions) == [0.25, None]
