"""Rows read as a tree of their prefixes: the same states, losses and gradients as rows read one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel, Qwen2Config, Qwen2ForCausalLM

from sage_gym.distill import sharing as sharing_module
from sage_gym.distill.objective import backbone_of
from sage_gym.distill.sharing import read_shared, share

torch.set_num_threads(1)
ROWS = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=9), min_size=1, max_size=7)
KINDS = {
    "alike throughout": [[1, 2, 3, 4], [1, 2, 3, 4]],
    "one begins the other": [[1, 2, 3], [1, 2, 3, 4, 5], [1, 2]],
    "nothing in common": [[1, 2, 3], [2, 2, 3, 4], [3]],
    "branches of branches": [[1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 6], [1, 2, 6, 6], [7, 1]],
    "longer than a segment": [[*range(1, 40)], [*range(1, 30), 50, 51, 52], [*range(1, 30), 50, 53]],
}


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, initializer_range=0.3,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing_module, "SEGMENT", 8)


def arrays(rows: Sequence[Sequence[int]]) -> list[np.ndarray]:
    return [np.array(row, dtype=np.int64) for row in rows]


@given(ROWS)
def test_there_is_a_node_for_each_distinct_prefix_and_each_row_finds_its_ids(rows: list[list[int]]) -> None:
    length = max(map(len, rows))
    tree = share(arrays(rows), length)
    assert tree.node_count == len({tuple(row[: end + 1]) for row in rows for end in range(len(row))})
    place_BT = tree.place_BT.reshape(len(rows), length)
    for place_T, row in zip(place_BT, rows, strict=True):
        assert tree.ids_N[place_T[: len(row)]].tolist() == row
        assert tree.position_N[place_T[: len(row)]].tolist() == list(range(len(row)))


@settings(max_examples=30)
@given(ROWS)
def test_a_segment_lies_below_all_of_its_rows_prefix_and_nothing_else(rows: list[list[int]]) -> None:
    length = max(map(len, rows))
    tree = share(arrays(rows), length)
    place_BT = tree.place_BT.reshape(len(rows), length).numpy()
    for segment in tree.segments:
        above = [node for first, last in segment.above for node in range(first, last)]
        own = list(range(segment.start, segment.end))
        paths = [place_BT[b, : len(row)].tolist() for b, row in enumerate(rows)]
        assert any(path[: len(above) + len(own)] == above + own for path in paths)


@pytest.mark.parametrize("rows", KINDS.values(), ids=KINDS)
def test_states_and_gradients_are_those_of_rows_read_one_by_one(model: PreTrainedModel, rows: list[list[int]]) -> None:
    length = max(map(len, rows))
    weights = torch.randn(len(rows), length, 32)
    shared = read_shared(model, backbone_of(model), share(arrays(rows), length))
    assert shared is not None
    shared_BTH = shared[share(arrays(rows), length).place_BT].reshape(len(rows), length, 32)
    alone = [model.model(input_ids=torch.tensor([row])).last_hidden_state[0] for row in rows]
    for found_TH, expected_TH in zip(shared_BTH, alone, strict=True):
        torch.testing.assert_close(found_TH[: len(expected_TH)], expected_TH, atol=2e-5, rtol=2e-5)
    pairs = list(zip(shared_BTH, alone, weights, strict=True))
    together = gradients(model, sum((s[: len(a)] * w[: len(a)]).sum() for s, a, w in pairs))
    apart = gradients(model, sum((a * w[: len(a)]).sum() for _, a, w in pairs))
    for name, gradient in apart.items():
        torch.testing.assert_close(together[name], gradient, atol=2e-3, rtol=2e-3, msg=name)


def gradients(model: PreTrainedModel, loss: torch.Tensor | int) -> dict[str, torch.Tensor]:
    assert isinstance(loss, torch.Tensor)
    parameters = dict(model.model.named_parameters())
    found = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True)
    return dict(zip(parameters, found, strict=True))


def test_a_model_that_attends_otherwise_is_not_read_so(model: PreTrainedModel) -> None:
    model.config._attn_implementation = "eager"
    try:
        assert read_shared(model, backbone_of(model), share(arrays([[1, 2]]), 2)) is None
    finally:
        model.config._attn_implementation = "sdpa"
