"""The head: two places, calibration, the inverse adapter, and checkpoints of other architectures."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from policies.metacognition import MetacognitionHead, Place, fit_scaling, hidden_size_of
from sage_gym.errors import CheckpointError

torch.set_num_threads(1)


def trained_head(hidden_size: int = 4, rank: int = 2) -> MetacognitionHead:
    """A head with no parameter at its initial value."""
    torch.manual_seed(0)
    head = MetacognitionHead(hidden_size, rank)
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    head.temperatures.copy_(torch.tensor([2.0, 0.5]))
    head.shifts.copy_(torch.tensor([0.3, -0.4]))
    return head


def tiny_models() -> list[PreTrainedModel]:
    size = {"vocab_size": 13, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 1}  # fmt: skip
    return [
        Qwen2ForCausalLM(Qwen2Config(**size)),
        LlamaForCausalLM(LlamaConfig(**size)),
        GPT2LMHeadModel(GPT2Config(vocab_size=13, n_embd=8, n_layer=1, n_head=2)),
    ]


def test_an_untrained_head_forecasts_one_half() -> None:
    assert MetacognitionHead(4).p_fail(torch.randn(3, 4), torch.randn(3, 4), "before").tolist() == [0.5, 0.5, 0.5]


def test_each_place_has_its_own_weights_and_scaling() -> None:
    head, hidden_BH, opening_BH = trained_head(), torch.randn(3, 4), torch.randn(3, 4)
    for place, temperature, shift in (("before", 2.0, 0.3), ("after", 0.5, -0.4)):
        linear = head.forecasts[place]
        raw_B = hidden_BH @ linear.weight[0] + linear.bias[0] + opening_BH @ head.openings[place].weight[0]
        torch.testing.assert_close(head.forecast(hidden_BH, opening_BH, place), raw_B)
        p_fail_B = head.p_fail(hidden_BH, opening_BH, place)
        torch.testing.assert_close(p_fail_B, torch.sigmoid(raw_B / temperature + shift))
    before_B, after_B = (head.forecast(hidden_BH, opening_BH, place) for place in ("before", "after"))
    assert not torch.allclose(before_B, after_B)


def test_an_opening_is_the_sum_of_its_embeddings_over_the_root_of_their_summed_squares() -> None:
    embeddings = nn.Embedding(5, 4)
    opening_RH = MetacognitionHead(4).read_openings(embeddings, [[1, 2, 2], [3], (1, 2, 2)])
    rows_TH = embeddings.weight[[1, 2, 2]].detach()
    torch.testing.assert_close(opening_RH[0], rows_TH.sum(0) / math.sqrt(rows_TH.square().sum() / 4))
    torch.testing.assert_close(opening_RH[1].square().mean(), torch.tensor(1.0))
    assert torch.equal(opening_RH[0], opening_RH[2])
    assert not opening_RH.requires_grad
    with torch.no_grad():
        embeddings.weight.mul_(7.0)
    torch.testing.assert_close(MetacognitionHead(4).read_openings(embeddings, [[1, 2, 2]])[0], opening_RH[0])


def test_embeddings_of_another_width_and_an_empty_opening_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected input embeddings of width 4, got \(5, 3\)"):
        MetacognitionHead(4).read_openings(nn.Embedding(5, 3), [[1]])
    with pytest.raises(ValueError, match="expected an opening of 1 id or more"):
        MetacognitionHead(4).read_openings(nn.Embedding(5, 4), [[1], []])


def test_forecasts_of_a_bf16_backbone_are_float32() -> None:
    hidden_BH = torch.randn(2, 4, dtype=torch.bfloat16)
    assert trained_head().forecast(hidden_BH, hidden_BH, "after").dtype == torch.float32


def test_an_unknown_place_and_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="expected a place among"):
        trained_head().forecast(torch.zeros(1, 4), torch.zeros(1, 4), "during")
    with pytest.raises(ValueError, match=r"expected hidden states of width 4, got shape \(1, 5\)"):
        trained_head().p_fail(torch.zeros(1, 5), torch.zeros(1, 4), "before")
    with pytest.raises(ValueError, match=r"expected hidden states of width 4, got shape \(1, 5\)"):
        trained_head().p_fail(torch.zeros(1, 4), torch.zeros(1, 5), "before")


@pytest.mark.parametrize("shift", [0.0, -0.8, 3.0])
def test_scaling_recovers_a_known_overconfidence_and_a_known_lag(shift: float) -> None:
    logits = torch.tensor([math.log(3.0)] * 4 + [-math.log(3.0)] * 4)  # sigmoid: 3/4 and 1/4, as the labels
    failed = torch.tensor([1.0, 1, 1, 0, 0, 0, 0, 1])
    fit = fit_scaling((logits - shift) * 2.5, failed)
    assert fit.temperature == pytest.approx(2.5, rel=1e-5)
    assert fit.shift == pytest.approx(shift, abs=1e-5)
    assert fit.reason == ""
    assert fit.nll_after == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert fit.nll_after < fit.nll_before


def with_ends(count: int, floor: float, ceiling: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits from -6 to 6, and labels drawn from a scaling with such ends."""
    logits = torch.linspace(-6.0, 6.0, count, dtype=torch.float64)
    p = floor + (ceiling - floor) * torch.sigmoid(logits)
    lots = torch.rand(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return logits, (lots < p).double()


def test_many_forecasts_show_how_often_the_surest_fail_to_come_true() -> None:
    fit = fit_scaling(*with_ends(20_000, 0.15, 0.9))
    assert fit.floor == pytest.approx(0.15, abs=0.01)
    assert fit.ceiling == pytest.approx(0.9, abs=0.01)
    assert fit.temperature == pytest.approx(1.0, abs=0.1)
    assert fit.shift == pytest.approx(0.0, abs=0.1)
    assert fit.scaled(torch.tensor([-50.0, 50.0])).tolist() == pytest.approx([fit.floor, fit.ceiling])
    plain = fit_scaling(*with_ends(20_000, 0.0, 1.0))
    assert (plain.floor, 1 - plain.ceiling) == pytest.approx((0.0, 0.0), abs=0.01)


def test_few_forecasts_say_nothing_of_the_ends() -> None:
    logits, failed = with_ends(400, 0.2, 0.8)
    assert fit_scaling(logits, failed).floor > 0.1
    fit = fit_scaling(logits[::5], failed[::5])
    assert (fit.floor, fit.ceiling) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("logits", "failed", "temperature", "reason"),
    [
        ([2.0, -1.0], [1.0, 1.0], 1.0, "2 of 2 episodes failed, so one class is absent"),
        ([2.0, -1.0], [0.0, 0.0], 1.0, "0 of 2 episodes failed, so one class is absent"),
        ([], [], 1.0, "no forecasts to fit on"),
        ([0.5, -0.5], [1.0, 0.0], 0.05, "at the lower bound 0.05"),
        ([2.0, -2.0], [0.0, 1.0], 20.0, "at the upper bound 20.0"),
    ],
)
def test_where_no_scaling_can_be_fitted_the_reason_is_given(
    logits: list[float], failed: list[float], temperature: float, reason: str
) -> None:
    fit = fit_scaling(torch.tensor(logits), torch.tensor(failed))
    assert fit.temperature == pytest.approx(temperature, rel=1e-5)
    assert fit.reason.startswith(reason)


def test_bad_calibration_data_are_refused() -> None:
    with pytest.raises(ValueError, match="expected finite logits"):
        fit_scaling(torch.tensor([float("nan")]), torch.tensor([1.0]))
    with pytest.raises(ValueError, match="expected labels 0"):
        fit_scaling(torch.tensor([1.0]), torch.tensor([0.5]))
    with pytest.raises(ValueError, match="expected a label for each logit"):
        fit_scaling(torch.tensor([1.0]), torch.tensor([1.0, 0.0]))


def test_calibrating_one_place_leaves_the_other_and_the_raw_logits() -> None:
    head, hidden_BH = trained_head(), torch.randn(8, 4)
    raw_B = head.forecast(hidden_BH, hidden_BH, "after").detach()
    fit = head.calibrate("after", torch.tensor([3.0, -3.0, 3.0, -3.0]), torch.tensor([1.0, 0.0, 0.0, 0.0]))
    assert head.temperatures.tolist() == pytest.approx([2.0, fit.temperature])
    assert head.shifts.tolist() == pytest.approx([0.3, fit.shift])
    torch.testing.assert_close(head.forecast(hidden_BH, hidden_BH, "after"), raw_B)
    p_fail_B = head.p_fail(hidden_BH, hidden_BH, "after")
    torch.testing.assert_close(p_fail_B, torch.sigmoid(raw_B / fit.temperature + fit.shift))
    fit = head.calibrate("after", *with_ends(400, 0.2, 0.8))
    torch.testing.assert_close(head.p_fail(hidden_BH, hidden_BH, "after"), fit.scaled(raw_B))
    assert head.floors.tolist() == pytest.approx([0.0, fit.floor])
    head.uncalibrate()
    torch.testing.assert_close(head.p_fail(hidden_BH, hidden_BH, "after"), torch.sigmoid(raw_B))


def test_a_forecaster_that_knows_nothing_is_shifted_to_the_base_rate() -> None:
    fit = fit_scaling(torch.zeros(4), torch.tensor([1.0, 0.0, 0.0, 0.0]))
    assert (fit.temperature, fit.reason) == (1.0, "")
    assert fit.shift == pytest.approx(math.log(1 / 3))


def test_an_untrained_adapter_changes_nothing_and_yet_can_learn() -> None:
    head, hidden_NH = MetacognitionHead(4, inverse_rank=2), torch.randn(3, 4)
    torch.testing.assert_close(head.adapt(hidden_NH), hidden_NH)
    head.adapt(hidden_NH).square().sum().backward()
    assert head.inverse_adapter.up.weight.grad is not None
    assert head.inverse_adapter.up.weight.grad.abs().max() > 0


def test_the_trained_adapter_is_a_residual_of_its_rank() -> None:
    head, hidden_NH = trained_head(rank=2), torch.randn(50, 4)
    change_NH = head.adapt(hidden_NH) - hidden_NH
    assert torch.linalg.matrix_rank(change_NH.detach(), rtol=1e-4) == 2
    assert head.adapt(hidden_NH.bfloat16()).dtype == torch.bfloat16


def test_inverse_logits_go_through_the_shared_unembedding() -> None:
    model = tiny_models()[0]
    head, hidden_NH = trained_head(8), torch.randn(3, 8)
    unembedding = model.get_output_embeddings()
    logits_NV = head.inverse_logits(hidden_NH, unembedding)
    torch.testing.assert_close(logits_NV, head.adapt(hidden_NH) @ unembedding.weight.T)


@pytest.mark.parametrize("model", tiny_models(), ids=lambda model: type(model).__name__)
def test_the_head_sits_on_any_causal_model_by_its_hidden_size(model: PreTrainedModel) -> None:
    head = MetacognitionHead(hidden_size_of(model), inverse_rank=2)
    hidden_BTH = model.base_model(torch.tensor([[1, 2, 3]])).last_hidden_state
    assert head.p_fail(hidden_BTH[:, -1], hidden_BTH[:, 0], "after").shape == (1,)
    assert head.inverse_logits(hidden_BTH[0], model.get_output_embeddings()).shape == (3, 13)


def test_a_module_without_a_hidden_size_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a model whose config states hidden_size, got Linear"):
        hidden_size_of(nn.Linear(2, 2))


def test_a_saved_head_forecasts_the_same_after_loading(tmp_path: Path) -> None:
    head, hidden_BH = trained_head(rank=3), torch.randn(3, 4)
    head.save(tmp_path / "head.safetensors")
    loaded = MetacognitionHead.load(tmp_path / "head.safetensors", hidden_size=4)
    places: tuple[Place, ...] = ("before", "after")
    for place in places:
        assert torch.equal(loaded.p_fail(hidden_BH, hidden_BH, place), head.p_fail(hidden_BH, hidden_BH, place))
    assert torch.equal(loaded.adapt(hidden_BH), head.adapt(hidden_BH))
    assert [path.name for path in tmp_path.iterdir()] == ["head.safetensors"]


def test_a_head_of_another_backbone_is_refused_with_both_shapes(tmp_path: Path) -> None:
    trained_head(4).save(tmp_path / "head.safetensors")
    with pytest.raises(CheckpointError, match=r"forecasts.after.weight: expected \(1, 8\), got \(1, 4\)"):
        MetacognitionHead.load(tmp_path / "head.safetensors", hidden_size=8)


def test_a_head_of_another_rank_or_with_missing_names_is_refused_untouched() -> None:
    head = trained_head(rank=2)
    kept = {name: tensor.clone() for name, tensor in head.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"down.weight: expected \(2, 4\), got \(3, 4\)"):
        head.load_state_dict(trained_head(rank=3).state_dict())
    with pytest.raises(CheckpointError, match=r"temperatures: expected \(2,\), got nothing"):
        head.load_state_dict({name: tensor for name, tensor in kept.items() if name != "temperatures"})
    assert all(torch.equal(tensor, kept[name]) for name, tensor in head.state_dict().items())


def test_a_damaged_or_missing_file_and_bad_temperatures_are_checkpoint_errors(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    with pytest.raises(CheckpointError, match="expected a meta-cognition head in safetensors format"):
        MetacognitionHead.load(path, 4)
    head = trained_head()
    head.save(path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match="expected a meta-cognition head in safetensors format"):
        MetacognitionHead.load(path, 4)
    head.temperatures[0] = 0.0
    head.save(path)
    with pytest.raises(CheckpointError, match="expected temperatures above 0"):
        MetacognitionHead.load(path, 4)
