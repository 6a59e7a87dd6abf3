"""The decoder: restrictions, budgets, determinism and the ledger's numbers, against plain forward passes."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from policies.causal_lm.decode import Decoded, Decoder, Request
from policies.causal_lm.prompt import Prompt, Reading, Restriction
from policies.causal_lm.sampling import Sampler, uniforms

torch.set_num_threads(1)

STOP = 60


@dataclass(frozen=True)
class Scripted:
    """Leaves open what is written for a position, anything behind the last."""

    steps: tuple[tuple[int, ...] | None, ...] = field(default=())

    def allowed(self, sampled: tuple[int, ...]) -> tuple[int, ...] | None:
        return self.steps[len(sampled)] if len(sampled) < len(self.steps) else None


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=61,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
    )
    return Qwen2ForCausalLM(config).eval()


def _request(
    ids: list[int],
    *,
    episode: str = "a",
    history: tuple[int, ...] = (),
    restriction: Restriction | None = None,
    seed: int = 0,
    limit: int = 6,
) -> Request:
    prompt = Prompt(
        ids=tuple(ids),
        is_continuation=bool(history),
        restriction=restriction,
        stop_ids=frozenset({STOP}),
        max_tokens=limit,
        read=lambda ids: Reading(str(ids), str(ids)),
    )
    return Request(episode, history, prompt, seed, limit)


def _check_numbers(model: PreTrainedModel, request: Request, decoded: Decoded, temperature: float = 1.0) -> None:
    """Recompute log-probabilities, entropy and hidden states from one plain pass over the whole sequence."""
    before = list(request.history + request.prompt.ids)
    with torch.inference_mode():
        hidden_TH = model.model(input_ids=torch.tensor([before + list(decoded.sampled_ids)])).last_hidden_state[0]
        logits_TV = model.lm_head(hidden_TH) / temperature
    entropies = []
    records = zip(decoded.sampled_ids, decoded.logprobs, decoded.mask, decoded.allowed, strict=True)
    for offset, (token, logprob, is_sampled, allowed) in enumerate(records):
        if not is_sampled:
            assert (logprob, allowed) == (0.0, (token,))
            continue
        logits = logits_TV[len(before) - 1 + offset]
        open_ids = list(range(61)) if allowed is None else list(allowed)
        logprobs = torch.log_softmax(logits[open_ids], dim=-1)
        assert logprob == pytest.approx(logprobs[open_ids.index(token)].item(), abs=1e-4)
        entropies.append(-(logprobs.exp() * logprobs).sum().item())
    assert decoded.entropy == (pytest.approx(np.mean(entropies), abs=1e-4) if entropies else None)
    torch.testing.assert_close(decoded.hidden_before_H, hidden_TH[len(before) - 1], atol=1e-4, rtol=1e-4)
    if decoded.hidden_after_H is not None:
        torch.testing.assert_close(decoded.hidden_after_H, hidden_TH[-1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("has_after", [True, False])
def test_records_equal_those_of_a_plain_pass_over_several_turns(
    model: PreTrainedModel, temperature: float, has_after: bool
) -> None:
    decoder = Decoder(model, temperature=temperature, forward_tokens=24)
    generator = np.random.default_rng(0)
    history: dict[str, tuple[int, ...]] = dict.fromkeys("abcde", ())
    restrictions = [None, Scripted(((3,), (4,), (5, 6, 7))), Scripted(((1, 2, STOP), (9,), (8,), None, (2, 30)))]
    for turn in range(4):
        requests = [
            _request(
                generator.integers(0, 60, size=generator.integers(1, 30)).tolist(),
                episode=episode,
                history=history[episode],
                restriction=restrictions[(index + turn) % 3],
                seed=100 * turn + index,
            )
            for index, episode in enumerate(history)
        ]
        for request, decoded in zip(requests, decoder.decode(requests, has_after=has_after), strict=True):
            assert (decoded.hidden_after_H is not None) == has_after
            _check_numbers(model, request, decoded, temperature)
            history[request.episode] = request.history + request.prompt.ids + decoded.sampled_ids


def test_a_decision_does_not_depend_on_its_batch(model: PreTrainedModel) -> None:
    requests = [_request([i + 1] * (2 + 5 * i), episode=str(i), seed=i, limit=12) for i in range(6)]
    together = Decoder(model).decode(requests)
    apart = [Decoder(model).decode([request])[0] for request in requests]
    in_reverse = Decoder(model, max_rows=2).decode(requests[::-1])[::-1]
    assert [d.sampled_ids for d in together] == [d.sampled_ids for d in apart] == [d.sampled_ids for d in in_reverse]
    np.testing.assert_allclose(together[3].logprobs, apart[3].logprobs, atol=1e-4)
    assert len({d.sampled_ids for d in together}) > 1


def test_forced_ids_are_read_without_being_sampled(model: PreTrainedModel) -> None:
    restriction = Scripted(((3,), (4,), (10, 11), (5,), (6,), (STOP,)))
    decoded = Decoder(model).decode([_request([1, 2], restriction=restriction, limit=20)], has_after=True)[0]
    assert decoded.mask == (False, False, True, False, False, False)
    assert decoded.forced == (3, 4)
    assert decoded.sampled_ids[:2] + decoded.sampled_ids[3:] == (3, 4, 5, 6, STOP)
    assert {token for token, _ in decoded.top} == {10, 11}
    assert sum(np.exp(logprob) for _, logprob in decoded.top) == pytest.approx(1.0, abs=1e-5)
    _check_numbers(model, _request([1, 2]), decoded)


def test_a_decision_without_any_choice_is_written_out_in_one_pass(model: PreTrainedModel) -> None:
    restriction = Scripted(((3,), (4,), (STOP,)))
    decoded = Decoder(model).decode([_request([1, 2], restriction=restriction)], has_after=True)[0]
    assert (decoded.sampled_ids, decoded.mask, decoded.entropy) == ((3, 4, STOP), (False,) * 3, None)
    _check_numbers(model, _request([1, 2]), decoded)


def test_a_run_of_forced_ids_costs_one_forward_pass(model: PreTrainedModel) -> None:
    decoder = Decoder(model)
    passes = []
    hook = decoder.backbone.register_forward_hook(lambda *_: passes.append(1))
    decoder.decode([_request([1, 2], restriction=Scripted(((7,), (8, 9), (5,), (6,), (8, 9), (STOP,))), limit=9)])
    hook.remove()
    assert len(passes) == 2


def test_a_finished_row_is_no_longer_read(model: PreTrainedModel) -> None:
    decoder = Decoder(model)
    read: list[int] = []
    hook = decoder.backbone.register_forward_hook(
        lambda _module, _args, kwargs, _output: read.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    steps = [((1, 2), (STOP,)), ((1, 2),) * 5, ((1, 2), (1, 2), (STOP,))]
    rows = [_request([1], episode=str(i), restriction=Scripted(s), limit=5, seed=i) for i, s in enumerate(steps)]
    decoder.decode(rows)
    hook.remove()
    assert read == [3, 2, 1, 1, 1]


@pytest.mark.parametrize(("limit", "is_stopped"), [(2, False), (3, True)])
def test_the_limit_ends_a_decision_that_did_not_stop(model: PreTrainedModel, limit: int, is_stopped: bool) -> None:
    restriction = Scripted(((3, 4), (5,), (STOP,)))
    decoded = Decoder(model).decode([_request([1], restriction=restriction, limit=limit)])[0]
    assert (len(decoded.sampled_ids), decoded.is_stopped) == (limit, is_stopped)


def test_greedy_takes_the_likeliest_id_with_its_logprob_under_temperature_one(model: PreTrainedModel) -> None:
    decoded = Decoder(model, temperature=0.0).decode([_request([1, 2, 3], limit=4)])[0]
    with torch.inference_mode():
        logprobs_V = torch.log_softmax(model(input_ids=torch.tensor([[1, 2, 3]])).logits[0, -1], dim=-1)
    assert decoded.sampled_ids[0] == logprobs_V.argmax().item() == decoded.top[0][0]
    assert decoded.logprobs[0] == pytest.approx(logprobs_V.max().item(), abs=1e-4)
    _check_numbers(model, _request([1, 2, 3]), decoded)


def test_sampling_follows_the_tempered_distribution() -> None:
    torch.manual_seed(0)
    unembedding = torch.nn.Linear(4, 12, bias=False)
    sampler = Sampler(unembedding, temperature=0.5)
    count = 4000
    hidden_RH = torch.randn(1, 4).expand(count, 4)
    allowed = (1, 4, 5, 9)
    uniform_R = np.array([uniforms(seed, 3)[1] for seed in range(count)])
    with torch.inference_mode():
        for open_ids in (allowed, None):
            draws = sampler.draw(hidden_RH, [open_ids] * count, uniform_R, has_top=False)
            ids = list(open_ids or range(12))
            expected = torch.softmax(unembedding(hidden_RH[0])[ids] / 0.5, dim=-1).double().numpy()
            observed = np.bincount([draw.token for draw in draws], minlength=12)
            assert observed[ids].sum() == count
            assert chisquare(observed[ids], count * expected / expected.sum()).pvalue > 1e-3


def decode_and_count(decoder: Decoder, requests: list[Request]) -> tuple[list[Decoded], list[int]]:
    """Decode, and count the tokens of each forward pass."""
    read: list[int] = []
    hook = decoder.backbone.register_forward_hook(
        lambda _module, _args, kwargs, _output: read.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    found = decoder.decode(requests, has_after=True)
    hook.remove()
    return found, read


def test_candidates_of_one_episode_share_the_prompt_and_are_drawn_apart(model: PreTrainedModel) -> None:
    decoder = Decoder(model)
    prompt = list(range(1, 31))
    requests = [_request(prompt, seed=seed, limit=8) for seed in range(5)]
    together, read = decode_and_count(decoder, requests)
    assert read[:2] == [30, 5]
    assert [d.sampled_ids for d in together] == [Decoder(model).decode([r])[0].sampled_ids for r in requests]
    assert len({d.sampled_ids for d in together}) > 1
    for request, decoded in zip(requests, together, strict=True):
        _check_numbers(model, request, decoded)


def test_episodes_that_have_all_in_common_are_read_once_and_go_on_apart(model: PreTrainedModel) -> None:
    """Slots that held nothing, part of it, or something else: each is right afterwards, as further turns show."""
    decoder, prompt = Decoder(model), list(range(1, 21))
    decoder.decode([_request(prompt[:8], episode="part", limit=1), _request([1, 2, 50, 51], episode="other", limit=3)])
    names = ["first", "part", "other", "empty"]
    restriction = Scripted(((7,), (8,), (3, 4, 5, 9)))  # two forced ids, then a choice
    first = [_request(prompt, episode=n, seed=i, limit=4, restriction=restriction) for i, n in enumerate(names)]
    odd = _request([*prompt[:-1], 44], episode="odd", limit=4)
    together, read = decode_and_count(decoder, [*first, odd])
    assert read[0] == 22 + 20  # one of the four with its forced ids, and the one whose last id differs
    for request, decoded in zip([*first, odd], together, strict=True):
        _check_numbers(model, request, decoded)
        [alone] = Decoder(model).decode([request], has_after=True)
        assert decoded.sampled_ids == alone.sampled_ids
    assert len({decoded.sampled_ids for decoded in together[:4]}) > 1
    later = [
        _request([30, 31], episode=request.episode, history=(*prompt, *decoded.sampled_ids), seed=9 + i)
        for i, (request, decoded) in enumerate(zip(first, together, strict=False))
    ]
    for request, decoded in zip(later, decoder.decode(later, has_after=True), strict=True):
        _check_numbers(model, request, decoded)


def test_a_decision_that_is_forced_throughout_is_shared_with_its_end(model: PreTrainedModel) -> None:
    restriction = Scripted(((7,), (STOP,)))
    requests = [_request([1, 2, 3], episode=name, restriction=restriction) for name in "abc"]
    together, read = decode_and_count(Decoder(model), requests)
    assert read == [5]
    for request, decoded in zip(requests, together, strict=True):
        assert decoded.sampled_ids == (7, STOP)
        _check_numbers(model, request, decoded)


def test_equal_prompts_under_other_restrictions_or_limits_are_read_apart(model: PreTrainedModel) -> None:
    forced, free = Scripted(((7,), (8,))), Scripted(((3, 4),))
    requests = [
        _request([1, 2, 3], episode="a", restriction=forced),
        _request([1, 2, 3], episode="b", restriction=free),
        _request([1, 2, 3], episode="c", restriction=forced, limit=1),
    ]
    for request, decoded in zip(requests, Decoder(model).decode(requests, has_after=True), strict=True):
        _check_numbers(model, request, decoded)
        assert decoded.sampled_ids == Decoder(model).decode([request])[0].sampled_ids


def test_each_position_inverts_the_distribution_at_its_own_number_of_the_seeds_stream(model: PreTrainedModel) -> None:
    request = _request([1, 2, 3], seed=11, limit=12)
    sampled = Decoder(model).decode([request])[0].sampled_ids
    with torch.inference_mode():
        logits_TV = model(input_ids=torch.tensor([[1, 2, 3, *sampled]])).logits[0, 2:-1]
    cumulative_TV = torch.softmax(logits_TV, dim=-1).double().cumsum(-1).numpy()
    numbers = uniforms(11, 12)
    assert [int(np.searchsorted(c, u)) for c, u in zip(cumulative_TV, numbers, strict=False)] == list(sampled)
    assert len(set(sampled)) > 1


def test_a_turn_decided_again_forgets_what_the_first_attempt_wrote(model: PreTrainedModel) -> None:
    decoder = Decoder(model)
    first = decoder.decode([_request([1, 2, 3], seed=1)])[0]
    again = decoder.decode([_request([1, 2, 3], seed=2)])[0]
    chosen = _request([7, 8], history=(1, 2, 3, *first.sampled_ids), seed=3)
    _check_numbers(model, _request([1, 2, 3]), again)
    _check_numbers(model, chosen, decoder.decode([chosen], has_after=True)[0])


def test_a_continuation_whose_slot_is_gone_is_read_from_its_history(model: PreTrainedModel) -> None:
    decoder = Decoder(model)
    decoder.decode([_request([1, 2, 3])])
    decoder.release(["a", "never seen"])
    request = _request([9], history=(1, 2, 3, 4, 5))
    _check_numbers(model, request, decoder.decode([request])[0])


def test_a_new_sequence_replaces_the_slot(model: PreTrainedModel) -> None:
    decoder = Decoder(model)
    decoder.decode([_request([1, 2, 3, 4, 5, 6])])
    fresh = _request([1, 2, 9])
    _check_numbers(model, fresh, decoder.decode([fresh])[0])


def test_a_restriction_that_leaves_nothing_open_is_an_error(model: PreTrainedModel) -> None:
    with pytest.raises(ValueError, match="expected the restriction to leave an id open"):
        Decoder(model).decode([_request([1], restriction=Scripted(((),)))])


def test_an_empty_prompt_or_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="got 0 ids, limit 6"):
        _request([])
    with pytest.raises(ValueError, match="got 1 ids, limit 0"):
        _request([1], limit=0)


def test_bfloat16_weights_decode_close_to_float32(model: PreTrainedModel) -> None:
    half = Qwen2ForCausalLM(model.config).to(torch.bfloat16)
    half.load_state_dict(model.state_dict())
    request = _request(list(range(1, 20)), restriction=Scripted(((3, 4, 5, 6),)), limit=1)
    exact, rough = (Decoder(m).decode([request])[0] for m in (model, half))
    exact_top, rough_top = dict(exact.top), dict(rough.top)
    assert exact_top.keys() == rough_top.keys()
    assert max(abs(exact_top[i] - rough_top[i]) for i in exact_top) < 0.15
