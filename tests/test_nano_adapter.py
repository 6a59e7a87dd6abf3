"""sage-nano's adapters: what is saved adds what was trained, and the demonstrations say what the expert does."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import sage_gym  # noqa: F401
from policies.causal_lm.compact import CompactRenderer
from policies.causal_lm.vocabulary import Vocabulary
from policies.nano import ADAPTERS, load
from policies.nano.adapt import RECIPES, AdapterRecipe, adapt
from policies.nano.adapter import attach, merge, save_adapter, trained
from policies.nano.expert_demonstrations import ExpertDemonstration, ExpertSettings, habits_of
from policies.nano.imitation import ImitationSettings, Probes, Sequence_, batch_loss, pack
from policies.nano.model import build_model
from policies.nano.pointing import Pointing
from sage_gym.errors import CheckpointError, UnknownNameError
from sage_gym.types import Context

SHIPPED = sorted(path.stem for path in ADAPTERS.glob("*.safetensors"))
LARGEST_BYTES = 1_000_000
IDS = torch.arange(11, 51)[None]


def small():
    return build_model(0, hidden=32, layers=2, heads=2, vocab=300).eval()


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=IDS).logits


@pytest.fixture
def adapted(tmp_path: Path):
    """A model with an adapter that changes it, and its file."""
    model = small()
    attach(model, rank=4, seed=0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in trained(model):
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    save_adapter(model, tmp_path / "a.safetensors")
    return model, tmp_path / "a.safetensors"


def test_a_new_adapter_changes_nothing_and_freezes_what_was_there():
    model, plain = small(), small()
    attach(model, rank=4, seed=0)
    assert torch.equal(logits(model), logits(plain))
    assert sum(p.numel() for p in trained(model)) < sum(p.numel() for p in plain.parameters())
    model(input_ids=IDS).logits.sum().backward()
    frozen = [p for p in model.parameters() if not p.requires_grad]
    assert frozen
    assert all(p.grad is None for p in frozen)


def test_every_part_of_an_adapter_gets_a_gradient(adapted):
    model, _ = adapted
    model(input_ids=IDS).logits.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained(model))


def test_a_saved_adapter_makes_of_a_plain_model_what_was_trained(adapted):
    model, path = adapted
    plain = small()
    before = logits(plain)
    merge(plain, path)
    assert plain.lm_head.weight is plain.model.embed_tokens.weight
    change = (logits(model) - before).abs().mean()
    assert (logits(model) - logits(plain)).abs().mean() < 0.05 * change  # 8 bits


def test_an_adapter_of_another_model_is_refused(adapted, tmp_path):
    _, path = adapted
    with pytest.raises(CheckpointError, match=r"expected \(300, 64\) for rows, got \(300, 32\)"):
        merge(build_model(0, hidden=64, layers=2, heads=2, vocab=300), path)
    with pytest.raises(CheckpointError, match=r"without 2\.self_attn"):
        merge(build_model(0, hidden=32, layers=3, heads=2, vocab=300), path)
    save_file({"x": torch.zeros(1)}, tmp_path / "b.safetensors")
    with pytest.raises(CheckpointError, match="got one without rows"):
        merge(small(), tmp_path / "b.safetensors")
    (tmp_path / "c.safetensors").write_text("damaged")
    for name in ("c", "missing"):
        with pytest.raises(CheckpointError, match=f"expected an adapter at .*{name}"):
            merge(small(), tmp_path / f"{name}.safetensors")


def test_an_unknown_adapter_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean 'tools'"):
        load(adapter="tool")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_adapter_is_small_and_was_made_by_the_recipe_as_it_stands(name):
    assert (ADAPTERS / f"{name}.safetensors").stat().st_size <= LARGEST_BYTES
    assert json.loads((ADAPTERS / f"{name}.json").read_text()) == json.loads(json.dumps(asdict(RECIPES[name])))
    with torch.inference_mode():
        changed, plain = (load(adapter=one).model(input_ids=IDS).logits for one in (name, None))
    assert (changed - plain).abs().mean() > 0.1


def test_there_is_a_recipe_for_each_adapter():
    assert "tools" in SHIPPED
    assert set(SHIPPED) <= set(RECIPES)


def test_cycles_after_the_first_begin_at_a_lower_rate(tmp_path, monkeypatch):
    rates = []
    monkeypatch.setattr("policies.nano.adapt.imitate", lambda model, shown, settings, **_: rates.append(settings))
    adapt(replace(RECIPES["tools"], cycles=3, later_rate=0.25), tmp_path, "tools")
    assert [settings.learning_rate for settings in rates] == [4e-3, 1e-3, 1e-3]


@pytest.mark.slow
def test_training_an_adapter_in_one_go_and_taken_up_between_cycles_gives_the_same_bits(tmp_path):
    recipe = RECIPES["tools"]
    imitation = replace(recipe.imitation, batch_tokens=1536)
    recipe = replace(recipe, habit_tasks=20, threads=1, cycles=2, imitation=imitation)
    adapt(recipe, tmp_path / "first", "tools", stop_after=6)
    adapt(replace(recipe, cycles=1), tmp_path / "second", "tools", stop_after=6)
    once = load_file(tmp_path / "second" / "tools.safetensors")
    adapt(recipe, tmp_path / "second", "tools", first_cycle=1, stop_after=6)
    first, second = (load_file(tmp_path / name / "tools.safetensors") for name in ("first", "second"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not all(torch.equal(first[key], once[key]) for key in first)
    assert any(tensor.abs().sum() > 0 for name, tensor in first.items() if name.endswith(".up"))


# Demonstrations


@pytest.fixture(scope="module")
def office():
    environment = gymnasium.make(
        "sage_gym/Tools-v0", disable_env_checker=True, split="demonstrations", max_turns=None, faults=0.0
    )
    yield environment
    environment.close()


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(load().tokenizer)


def demonstrations(office, vocabulary, *, spoiled: float, count: int) -> list[ExpertDemonstration]:
    tasks, settings = office.unwrapped.tasks("demonstrations"), ExpertSettings(spoiled=spoiled)
    habits, rng = habits_of(office, tasks[:40], settings), np.random.default_rng(0)
    return [ExpertDemonstration(office, tasks[40 + n], vocabulary, habits, settings, rng) for n in range(count)]


def test_what_is_shown_earns_everything_when_it_is_read_and_played(office, vocabulary):
    """The ids are read back by the renderer and played: a call may be worded otherwise, but does the same."""
    for shown in demonstrations(office, vocabulary, spoiled=0.0, count=12):
        assert shown.play() is not None
        sampled = [turn.decision.ledger.sampled_ids for turn in shown.turns]
        office.reset(options={"task": shown.task.key})
        renderer = CompactRenderer(vocabulary)
        for turn, ids in zip(shown.turns, sampled, strict=True):
            context = Context("", shown.task, "", (), 0, view=office.unwrapped.view())
            action = renderer.render(context).read(ids).action
            assert action.partition("[")[0] == turn.decision.action.partition("[")[0]
            _, reward, *_ = office.step(action)
        assert reward == 1.0


def test_only_decisions_weigh_anything_and_spoiled_ones_nothing(office, vocabulary):
    kept, are_spoiled = 0, []
    for shown in demonstrations(office, vocabulary, spoiled=0.3, count=12):
        sequence = shown.play()
        if sequence is None:
            continue
        kept += 1
        ledgers = [turn.decision.ledger for turn in shown.turns]
        assert list(sequence.ids) == [i for ledger in ledgers for i in (*ledger.prompt_ids, *ledger.sampled_ids)]
        place, weighed = 0, []
        for ledger in ledgers:
            place += len(ledger.prompt_ids)
            assert set(sequence.weights[place - len(ledger.prompt_ids) : place]) <= {0.0}
            own = sequence.weights[place : place + len(ledger.sampled_ids)]
            quoting = [token in vocabulary.mark_index for token in ledger.sampled_ids]
            meant = (3.0, *(3.0 if is_mark else 1.0 for is_mark in quoting[1:]))
            assert own in (meant, (0.0,) * len(own))
            weighed.append(any(own))
            place += len(ledger.sampled_ids)
        assert any(weighed)
        are_spoiled.append(not all(weighed))
    assert kept >= 3
    assert any(are_spoiled)


def test_demonstrations_hold_nothing_that_is_held_out(office):
    from envs.tools.splits import held_out_shapes, pools

    def families(split: str) -> set[str]:
        return {skeleton.family for skeletons in pools()[split].values() for skeleton in skeletons}

    shown, trained_on = families("demonstrations"), families("train")
    out = families("select_combinations") | families("test_combinations")
    assert not shown & out
    assert shown < trained_on
    assert 0.4 < len(shown) / len(trained_on) < 0.6
    assert not pools()["demonstrations"].keys() & held_out_shapes()


def test_asking_for_more_than_the_split_has_is_said():
    from policies.nano.adapt import episodes

    recipe = AdapterRecipe("sage_gym/Tools-v0", arguments={"size": 6}, habit_tasks=4)
    with pytest.raises(ValueError, match="at most 2 of the 6 tasks of sage_gym/Tools-v0"):
        list(episodes(recipe, Vocabulary(load().tokenizer)))


# Auxiliary losses


def test_pointing_is_the_cost_of_attending_to_the_right_place():
    """Against attention worked out by hand, rotations included, for one head of one layer."""
    model = small()
    ids = torch.tensor([[1, 2, 3, 4, 5, 6], [9, 8, 7, 6, 5, 4]])
    pointers = torch.tensor([[0, 3, 1, 0], [1, 5, 5, 1], [1, 2, 0, 0]])
    with torch.no_grad(), Pointing(model, layer=1) as pointing:
        model.model(input_ids=ids, use_cache=False)
        found = pointing.loss(pointers)
        model.config._attn_implementation = "eager"
        attentions = model.model(input_ids=ids, use_cache=False, output_attentions=True).attentions[1]
    wanted = -torch.stack([attentions[row, head, at, to].log() for row, at, to, head in pointers.tolist()]).mean()
    assert found.item() == pytest.approx(wanted.item(), abs=1e-4)


def test_pointing_moves_only_what_is_read_before_its_layer_and_leaves_no_hook():
    model = small()
    with Pointing(model, layer=0) as pointing:
        model.model(input_ids=IDS, use_cache=False)
        pointing.loss(torch.tensor([[0, 5, 2, 0]])).backward()
    attention = model.model.layers[0].self_attn
    assert attention.q_proj.weight.grad[:16].abs().sum() > 0
    assert attention.v_proj.weight.grad is None
    assert model.model.layers[1].self_attn.q_proj.weight.grad is None
    assert not attention.q_proj._forward_hooks


def test_roles_and_pointers_add_to_the_loss_what_their_weights_say():
    model = small()
    plain = Sequence_(tuple(range(1, 30)), (0.0,) * 20 + (1.0,) * 9)
    rich = replace(plain, roles=(-1, 0, 3, *(-1,) * 26), pointers=((21, 2, 0),))
    batch = next(pack(iter([rich] * 1000), batch_tokens=64))
    settings = ImitationSettings(role_weight=0.5, pointer_weight=2.0)
    torch.manual_seed(0)
    probes = Probes.of(settings, model)
    with torch.no_grad():
        base = batch_loss(model, batch)
        both = batch_loss(model, batch, probes)
        without_pointer = batch_loss(model, batch, replace(probes, pointing=None))
        hidden = model.model(input_ids=batch.ids_BT, use_cache=False).last_hidden_state[0]
        role = torch.nn.functional.cross_entropy(probes.role(hidden[1:3]), torch.tensor([0, 3]))
        with probes.pointing as pointing:
            model.model(input_ids=batch.ids_BT, use_cache=False)
            pointer = pointing.loss(batch.pointers_P4)
    assert (without_pointer - base).item() == pytest.approx(0.5 * role.item(), rel=1e-3)
    assert (both - without_pointer).item() == pytest.approx(2.0 * pointer.item(), rel=1e-3)
