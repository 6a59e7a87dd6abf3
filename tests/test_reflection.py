"""Second attempts: what the critique says, who sees it, and that nothing of it is trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from envs.webshop.environment import WebShop
from policies.amplified import Amplified
from policies.causal_lm.chat import ChatRenderer
from policies.causal_lm.compact import CompactRenderer
from policies.causal_lm.policy import CausalLM
from policies.causal_lm.prompt import Prompt, Reading
from policies.causal_lm.vocabulary import Vocabulary
from policies.nano.model import build_model, build_tokenizer
from policies.reflection import Reflective
from sage_gym.distill.batches import collate
from sage_gym.distill.hints import is_on_policy, without_hints
from sage_gym.distill.losses import weighted_cross_entropy
from sage_gym.distill.rows import Example, rows_of
from sage_gym.distill.surrogate import token_surrogate
from sage_gym.rollout import FactualCritique, Request, collect, second_attempts
from sage_gym.rollout.records import decode, encode
from sage_gym.types import Budget, Context, Decision, Ledger, Origin, StopReason, Trajectory
from tests.scripted_rollouts import CountingEnv, ScriptedPolicy, count_well, ledger_of, never_stop, requests, tasks
from tests.trajectories import make_trajectory, make_turn

torch.set_num_threads(1)

BUDGET = Budget(max_turns=4, turn_tokens=32, episode_tokens=256, wall_clock_s=60.0)
HINT = "zebra quartz"


def play(policy: Any, wanted: Sequence[Request]) -> list[Trajectory]:
    chunks = collect(CountingEnv, policy, wanted, budget=BUDGET, deadlines=None)
    return [trajectory for chunk in chunks for trajectory in chunk]


def test_a_requests_hints_reach_the_policy_at_every_turn_and_stand_on_record() -> None:
    policy = ScriptedPolicy(count_well)
    plain, hinted = requests(2)
    first, second = play(policy, [plain, replace(hinted, hints=(HINT,))])
    assert {context.hints for context in policy.contexts if context.task == plain.task} == {()}
    assert [context.hints for context in policy.contexts if context.task == hinted.task] == [(HINT,)] * 3
    assert (first.hints, first.is_intervened) == ((), False)
    assert (second.hints, second.is_intervened) == ((HINT,), True)
    assert decode(encode(second)) == second


MEANINGS = {"r_price": "the price was above the bound", "r_option": "an option was wrong", "r_att": "something lacks"}


def test_the_critique_tells_what_fell_short_and_nothing_of_the_hidden_goal() -> None:
    trajectory = replace(
        make_trajectory(success=False, reward=0.4, actions=("click[red]", "click[buy]")),
        info={
            "reward_components": {"r_price": False, "r_option": 1.0, "r_att": 0.0, "w_att": 0.0, "secret": 0.1},
            "goal": {"asin": "B00SECRET"},
            "bought": "B00OTHER",
        },
    )
    words = FactualCritique(MEANINGS)(trajectory)
    assert words == (
        "It was finished with a score of 0.40 of 1. The price was above the bound. "
        "It ended with: click[red], click[buy]."
    )


def test_the_critique_tells_which_budget_ran_out_and_what_went_in_circles() -> None:
    turns = [make_turn("next"), make_turn("jump", is_invalid=True), make_turn("next"), make_turn("next")]
    turns[2] = replace(turns[2], observation="another page")
    words = FactualCritique(actions=2)(make_trajectory(success=False, turns=turns, stop=StopReason.MAX_TURNS))
    assert words == (
        "It ran out of turns before it was finished. 1 of its actions were not possible, such as jump. "
        "It did next 2 times in the same place. It ended with: next, next."
    )


def test_successes_and_infrastructure_failures_get_no_critique() -> None:
    assert FactualCritique()(make_trajectory()) == ""
    assert FactualCritique()(make_trajectory(success=False, stop=StopReason.INFRASTRUCTURE)) == ""


def test_an_environment_states_what_its_components_mean() -> None:
    class Shop(CountingEnv):
        shortfalls = MEANINGS

    assert FactualCritique.of(Shop()).meanings == MEANINGS
    assert FactualCritique.of(CountingEnv()).meanings == {}


def test_webshop_states_what_its_own_components_mean() -> None:
    environment = WebShop()
    environment.reset(options={"task": environment.tasks("train")[0].key})
    environment.step("search[gift]")
    environment.step(environment.view().choices[0].action)
    *_, info = environment.step("click[buy now]")
    meanings = FactualCritique.of(environment).meanings
    assert meanings
    assert meanings.keys() <= info["reward_components"].keys()


def test_second_attempts_are_asked_for_where_the_policy_itself_failed() -> None:
    played = [
        *play(ScriptedPolicy(never_stop), requests(1, attempts=2)),
        make_trajectory("a"),
        make_trajectory("b", success=False, stop=StopReason.INFRASTRUCTURE),
        make_trajectory("c", success=False, turns=(make_turn(origin=Origin.INJECTED),)),
    ]
    wanted = second_attempts(played, lambda t: f"attempt {t.attempt} failed")
    assert [(r.task.key, r.attempt, r.hints) for r in wanted] == [
        ("count/000", 0, ("attempt 0 failed",)),
        ("count/000", 1, ("attempt 1 failed",)),
    ]
    assert {r.seed for r in wanted}.isdisjoint(t.seed for t in played)
    assert len({r.seed for r in wanted}) == 2
    assert second_attempts(played, lambda _: "") == []


def test_a_second_attempt_may_be_reflected_on_again() -> None:
    policy = ScriptedPolicy(never_stop)
    first = play(policy, requests(1))
    second = play(policy, second_attempts(first, lambda _: "one"))
    third = play(policy, second_attempts(second, lambda _: "two"))
    assert third[0].hints == ("one", "two")
    assert len({first[0].id, second[0].id, third[0].id}) == 3
    assert len({first[0].seed, second[0].seed, third[0].seed}) == 3


def a_model(style: str) -> CausalLM:
    tokenizer = build_tokenizer([f"count to three by saying add then stop {HINT} task advice from an earlier attempt"])
    model = build_model(0, hidden=32, layers=2, heads=4, vocab=len(tokenizer)).eval()
    compact = style == "compact"
    renderer = CompactRenderer(Vocabulary(tokenizer)) if compact else ChatRenderer(tokenizer, restricted=True)
    return CausalLM(model, tokenizer, renderer)


def hinted_requests(count: int) -> list[Request]:
    return [replace(request, hints=(HINT,)) for request in requests(count)]


@pytest.mark.parametrize("style", ["compact", "chat"])
def test_rows_of_hinted_attempts_hold_what_was_sampled_and_no_hint(style: str) -> None:
    policy = a_model(style)

    def text(ids: Sequence[int]) -> str:
        return str(policy.tokenizer.decode(list(ids)))

    amplified = Amplified(Reflective(policy), candidates=2, tau=1.0, chooser=lambda _, all_: [0.0] * len(all_))
    plain, hinted = play(policy, requests(8)), play(amplified, hinted_requests(8))
    for alone, trajectory in zip(plain, hinted, strict=True):
        trajectory = decode(encode(trajectory))
        ledgers = [turn.decision.ledger for turn in trajectory.turns if turn.decision.ledger]
        assert len(ledgers) == len(trajectory.turns)
        assert HINT in text(ledgers[0].prompt_ids)
        rows = list(rows_of(trajectory))
        assert len(rows) == sum(not ledger.is_continuation for ledger in ledgers)
        assert not any(word in text(row.ids_T) for row in rows for word in HINT.split())
        pairs = [pair for ledger in ledgers for pair in zip(ledger.sampled_ids, ledger.mask, strict=True)]
        kept = [int(token) for row in rows for token in row.ids_T[row.sampled_N]]
        assert kept == [token for token, is_sampled in pairs if is_sampled]
        begun, first = alone.turns[0].decision.ledger, without_hints(trajectory).turns[0].decision.ledger
        assert begun is not None
        assert first is not None
        assert first.prompt_ids == begun.prompt_ids
    assert any(turn.decision.ledger and turn.decision.ledger.is_continuation for t in hinted for turn in t.turns)


def test_without_hints_only_cross_entropy_can_use_the_rows() -> None:
    trajectories = play(Reflective(a_model("compact")), hinted_requests(4))
    batch = collate([Example(row) for trajectory in trajectories for row in rows_of(trajectory)], pad=0)
    assert len(batch.labels_N) > 4
    assert bool(torch.isnan(batch.logprobs_N).all())
    logits_NV = torch.zeros(len(batch.labels_N), 4096)
    assert math.isfinite(weighted_cross_entropy(logits_NV, batch.labels_N, batch.weights_N, batch.allowed_NA))
    surrogate = token_surrogate(logits_NV[:, 0], batch.logprobs_N, torch.ones(len(batch.labels_N)))
    assert math.isnan(surrogate.loss)
    hinted = trajectories[0]
    foreseen = [replace(t, decision=replace(t.decision, p_fail=0.5, p_fail_before=0.5)) for t in hinted.turns]
    stripped = without_hints(replace(hinted, turns=tuple(foreseen)))
    assert without_hints(stripped) is stripped
    assert {(turn.decision.p_fail, turn.decision.p_fail_before) for turn in stripped.turns} == {(None, None)}


def test_a_hinted_attempt_without_a_note_of_its_plain_prompt_is_not_trained_on() -> None:
    [hinted] = play(a_model("compact"), hinted_requests(1))
    with pytest.raises(ValueError, match=r"turn 0 of r0/count/000#0: expected the prompt without hints"):
        list(rows_of(hinted))


def test_reflective_changes_nothing_where_there_are_no_hints() -> None:
    policy = a_model("compact")
    for with_it, without_it in zip(play(Reflective(policy), requests(4)), play(policy, requests(4)), strict=True):
        assert [turn.decision for turn in with_it.turns] == [turn.decision for turn in without_it.turns]
        assert with_it.policy == without_it.policy


class Rendered:
    """A policy whose renderer is scripted: `ids` without hints, and what the ids then mean."""

    name = "rendered"

    def __init__(self, ids: int, action: str, restarted: int | None = None, is_continuation: bool = False) -> None:
        self.renderer: Any = self
        self.ids, self.action, self.is_continuation = ids, action, is_continuation
        if restarted is not None:
            self.restart = lambda context, most: self._prompt(restarted) if restarted <= most else None

    def render(self, context: Context) -> Prompt:
        assert context.hints == ()
        return self._prompt(self.ids)

    def _prompt(self, count: int) -> Prompt:
        reading = Reading(self.action, self.action)
        return Prompt((4,) * count, self.is_continuation, None, frozenset(), 8, lambda ids: reading)

    def act(self, contexts: Sequence[Context]) -> list[Decision]:
        return [Decision("go", "go", ledger=Ledger((1,) * 6, (2,), (-1.0,), (True,))) for _ in contexts]

    def release(self, episodes: Any) -> None:
        pass


def note_of(policy: Rendered) -> Any:
    [decision] = Reflective(policy).act([Context("e", tasks(1)[0], "", (), 0, hints=(HINT,))])
    return decision.notes["prompt_ids_without_hints"]


def test_ids_that_would_mean_something_else_without_hints_are_refused() -> None:
    assert note_of(Rendered(5, "go")) == [4] * 5
    with pytest.raises(ValueError, match="ids still mean 'go', got the action 'stay'"):
        note_of(Rendered(5, "stay"))
    with pytest.raises(ValueError, match="got a continuation"):
        note_of(Rendered(5, "go", is_continuation=True))


def test_a_conversation_that_was_begun_anew_is_so_without_hints_too() -> None:
    assert note_of(Rendered(9, "go", restarted=5)) == [4] * 5
    assert note_of(Rendered(9, "go", restarted=7)) == [4] * 9
    assert note_of(Rendered(5, "go", restarted=3)) == [4] * 5


def test_policy_gradient_takes_only_what_the_policy_chose_alone() -> None:
    def noted(**notes: Any) -> Trajectory:
        return make_trajectory(turns=(replace_notes(notes),))

    def replace_notes(notes: dict[str, Any]) -> Any:
        turn = make_turn()
        return replace(turn, decision=replace(turn.decision, notes=notes))

    assert is_on_policy(make_trajectory())
    assert is_on_policy(noted(is_untouched=True))
    assert not is_on_policy(noted(is_untouched=False))
    assert not is_on_policy(make_trajectory(is_intervened=True))
    assert not is_on_policy(replace(make_trajectory(), hints=(HINT,)))
    assert not is_on_policy(make_trajectory(turns=(make_turn(), make_turn(origin=Origin.EXPERT))))


def test_a_decision_without_a_ledger_needs_no_note() -> None:
    policy = ScriptedPolicy(lambda context: Decision("", "stop", ledger=ledger_of(1) if context.turns else None))
    [hinted] = play(policy, [replace(requests(1)[0], hints=(HINT,))])
    assert list(rows_of(hinted)) == []
