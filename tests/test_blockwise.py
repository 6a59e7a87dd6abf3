from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from policies.nano.model import build_model
from sage_gym.blockwise import BLOCK, blockwise_attention, causal_blocks


@pytest.mark.parametrize("length", [1, BLOCK - 1, BLOCK, 2 * BLOCK + 64])
def test_blocks_give_causal_attention(length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    query, key, value = (torch.randn(2, 3, length, 8, generator=generator, dtype=torch.float64) for _ in range(3))
    expected = scaled_dot_product_attention(query, key, value, is_causal=True)
    torch.testing.assert_close(causal_blocks(query, key, value, 8**-0.5), expected)


def test_a_model_gives_what_it_gives_without_and_is_left_as_it_was() -> None:
    model = build_model(0, hidden=32, layers=2, heads=4, vocab=200).eval()
    ids_BT = torch.randint(200, (3, 300), generator=torch.Generator().manual_seed(1))
    before = model.config._attn_implementation
    called = []
    with torch.no_grad():
        plain = model(ids_BT).logits
        with blockwise_attention(model), torch.autocast("cpu", torch.bfloat16):
            called.append(model.config._attn_implementation)
            blocks = model(ids_BT).logits
        with blockwise_attention(model):
            exact = model(ids_BT).logits
    assert called == ["sage_gym_blockwise"]
    assert model.config._attn_implementation == before
    torch.testing.assert_close(exact, plain)
    assert (blocks.float().log_softmax(-1) - plain.log_softmax(-1)).abs().max() < 0.05


def test_attention_of_another_kind_is_left_alone() -> None:
    model = build_model(0, hidden=32, layers=1, heads=4, vocab=200)
    model.config._attn_implementation = "eager"
    with blockwise_attention(model):
        assert model.config._attn_implementation == "eager"
