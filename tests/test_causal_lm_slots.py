"""The slot cache against plain forward passes of each row alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from policies.causal_lm.attention import check_supported, slot_attention
from policies.causal_lm.slots import SlotCache

torch.set_num_threads(1)

SIZES = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}


def _model(family: str, heads: int = 2) -> PreTrainedModel:
    torch.manual_seed(0)
    kinds = {
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "qwen3": (Qwen3Config, Qwen3ForCausalLM),
        "llama": (LlamaConfig, LlamaForCausalLM),
    }
    config, model = kinds[family]
    extra = {"head_dim": 8} if family == "qwen3" else {}
    built: PreTrainedModel = model(config(**SIZES, num_key_value_heads=heads, initializer_range=0.4, **extra)).eval()
    return built


def _read(model: PreTrainedModel, cache: SlotCache, slots: list[int], ids: list[list[int]]) -> list[torch.Tensor]:
    """Append ids to slots in one pass; return each row's logits `(count, V)`."""
    with slot_attention(model), torch.inference_mode():
        packing = cache.pack(slots, ids)
        output = model.model(
            input_ids=cache.input_ids(packing),
            position_ids=packing.position_T[None],
            past_key_values=cache,
            use_cache=True,
            packing=packing,
        )
        cache.commit(packing)
        logits_TV = model.lm_head(output.last_hidden_state[0])
    return list(logits_TV.split([len(row) for row in ids]))


def _alone(model: PreTrainedModel, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0]
    return logits


def _cache(*, is_gathered: bool = False) -> SlotCache:
    return SlotCache(device=torch.device("cpu"), dtype=torch.float32, capacity=4, is_gathered=is_gathered)


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama"])
@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("is_gathered", [False, True])
def test_ragged_rows_read_in_parts_equal_each_row_read_alone(family: str, heads: int, is_gathered: bool) -> None:
    model = _model(family, heads)
    generator = np.random.default_rng(0)
    rows = [generator.integers(0, 61, size=size).tolist() for size in (3, 40, 17, 9)]
    cache = _cache(is_gathered=is_gathered)
    slots = [cache.acquire() for _ in rows]
    done = [0] * len(rows)
    for counts in ((2, 30, 1, 5), (1, 1, 1, 1), (0, 6, 14, 2), (0, 1, 1, 0), (0, 2, 0, 1)):
        live = [i for i, count in enumerate(counts) if count]
        parts = [rows[i][done[i] : done[i] + counts[i]] for i in live]
        for i, logits in zip(live, _read(model, cache, [slots[i] for i in live], parts), strict=True):
            expected = _alone(model, rows[i])[done[i] : done[i] + counts[i]]
            torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)
            done[i] += counts[i]
    assert done == [len(row) for row in rows]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 12), st.booleans()), min_size=1, max_size=12))
def test_any_order_of_appends_truncations_and_releases_gives_the_logits_of_a_plain_pass(
    steps: list[tuple[int, int, bool]],
) -> None:
    model = _model("qwen2")
    generator = np.random.default_rng(1)
    cache = _cache()
    held: dict[int, tuple[int, list[int]]] = {}
    for episode, count, is_rolled_back in steps:
        if episode not in held:
            held[episode] = (cache.acquire(), [])
        elif is_rolled_back and count % 3 == 0:
            cache.release(held.pop(episode)[0])
            continue
        slot, ids = held[episode]
        if is_rolled_back:
            ids = ids[: len(ids) // 2]
            cache.truncate(slot, len(ids))
        new = generator.integers(0, 61, size=count).tolist()
        logits = _read(model, cache, [slot], [new])[0]
        held[episode] = (slot, ids + new)
        torch.testing.assert_close(logits, _alone(model, ids + new)[-count:], atol=1e-4, rtol=1e-4)
        assert cache.common_prefix(slot, np.array(ids + new)) == len(ids + new)


def test_a_copied_slot_goes_on_as_its_original_would_have() -> None:
    model = _model("llama")
    cache = _cache()
    first, second = cache.acquire(), cache.acquire()
    _read(model, cache, [second], [[9, 9, 9, 9, 9, 9, 9, 9]])
    _read(model, cache, [first], [[5, 6, 7, 8]])
    cache.copy(first, second, 3)
    logits = _read(model, cache, [first, second], [[1], [2, 3]])
    torch.testing.assert_close(logits[0], _alone(model, [5, 6, 7, 8, 1])[4:], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logits[1], _alone(model, [5, 6, 7, 2, 3])[3:], atol=1e-4, rtol=1e-4)


def test_the_model_attends_as_before_once_the_slots_are_left() -> None:
    model = _model("qwen2").train()
    before = model.config._attn_implementation
    with slot_attention(model):
        assert not model.training
    assert (model.config._attn_implementation, model.training) == (before, True)


def test_a_sliding_window_is_refused_by_name() -> None:
    model = MistralForCausalLM(MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=16))
    with pytest.raises(ValueError, match=r"expected a causal model with full attention.*a sliding window"):
        check_supported(model)


def test_misuse_of_slots_is_answered_with_what_was_expected() -> None:
    cache = _cache()
    slot = cache.acquire()
    with pytest.raises(ValueError, match="at least one token a row"):
        cache.pack([slot], [[]])
    with pytest.raises(ValueError, match="expected a length up to the 0 tokens"):
        cache.truncate(slot, 1)
    cache.release(slot)
    with pytest.raises(ValueError, match="release each slot once"):
        cache.release(slot)
