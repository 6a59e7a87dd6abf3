"""A run's student and episodes in others' hands: transformers, datasets and TRL."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import pytest
import torch
from huggingface_hub import DatasetCard, ModelCard
from rich.console import Console
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)
from trl import SFTConfig, SFTTrainer

from policies.nano import load as load_nano
from sage_gym.config import ExportConfig, TrainConfig, save
from sage_gym.errors import CheckpointError, ConfigError
from sage_gym.evaluation.accounts import account_for_end, account_for_round
from sage_gym.evaluation.card import write_card
from sage_gym.evaluation.manifest import final_path, hash_file, round_path, write_manifest
from sage_gym.evaluation.promotion import promote
from sage_gym.evaluation.sources import compose, count_sources
from sage_gym.export import export, main
from sage_gym.exporting.markdown import cell, fenced
from sage_gym.exporting.rows import conversation, decisions
from sage_gym.exporting.twins import rewrite_as_llama
from sage_gym.rollout import Journal
from sage_gym.selection import Contamination
from sage_gym.selection.settings import Decontamination
from sage_gym.types import Ledger, Origin, Trajectory
from tests.nano_toys import play, tiny_student
from tests.trajectories import make_trajectory, make_turn

HOSTILE = "<b>|`demo`_\x1b[31m"
QUIET = Console(quiet=True)
FED = ("prompt_completion", "tokens")
TEXTS = ("Find me red running shoes", "naïve 3.5 a_b\nx", "<task> find<w0> me<w1><obs><act>")


def write_round(folder: Path, number: int, collected: Sequence[Trajectory], *, is_promoted: bool = True) -> None:
    """A round as the round loop leaves it: the student, the journals and the manifest."""
    student = tiny_student(seed=number)
    place = round_path(folder, number).parent
    student.save(place / "checkpoint" / "student")
    played = play(student, episodes=2, seed=number)
    journals = {"select": played, **({"collect": collected} if number else {})}
    for name, episodes in journals.items():
        with Journal(place / f"{name}.jsonl") as journal:
            journal.append(0, list(episodes))
    weights = sorted((place / "checkpoint" / "student").glob("*.safetensors"))
    tokens = [(t.id, {0: 4}) for t in collected]
    rivals = dict.fromkeys(("incumbent", "best"), (f"round {number - 1}", played))
    manifest = account_for_round(
        run=folder.name,
        number=number,
        stage="distil" if number else "start",
        policy="tiny",
        select=played,
        collected=collected,
        promotion=promote((f"round {number}", played), rivals) if number else None,
        composition=compose(
            collected, Contamination(), Decontamination(), is_dropping=True,
            sources=count_sources("distil", {t.id: t for t in collected}, tokens),
        ) if number else None,
        files={path.relative_to(folder).as_posix(): hash_file(path) for path in weights},
        tokens_trained=4 * len(collected),
    )  # fmt: skip
    if manifest.promotion is not None:  # two tasks prove nothing, either way
        decided = manifest.promotion.model_copy(update={"promoted": is_promoted})
        manifest = manifest.model_copy(update={"promotion": decided})
    write_manifest(round_path(folder, number), manifest)


def a_run(folder: Path, *, benchmarks: Path | None = None, is_promoted: bool = True, is_tested: bool = True) -> Path:
    """A finished run of one round, whose fourth episode was forced and whose others end well and badly in turn."""
    settings = {"run": {"name": folder.name, "folder": str(folder.parent)}, "policy": {"name": "nano"}}
    selection = {"benchmarks": str(benchmarks) if benchmarks else None}
    save(TrainConfig.model_validate({**settings, "selection": selection}), folder)
    collected = play(tiny_student(), episodes=6)
    forced = replace(collected[4].turns[1].decision, origin=Origin.INJECTED)
    turns = list(collected[4].turns)
    turns[1] = replace(turns[1], decision=forced)
    collected[4] = replace(collected[4], turns=tuple(turns), is_intervened=True)
    write_round(folder, 0, [])
    write_round(folder, 1, collected, is_promoted=is_promoted)
    if is_tested:
        before, after = play(tiny_student(), episodes=4), play(tiny_student(seed=1), episodes=4)
        final = account_for_end(
            run=folder.name,
            environment="webshop",
            policy="tiny",
            seed=0,
            last_promoted=int(is_promoted),
            tests=[("test", "restricted", [replace(t, success=False) for t in before], after)],
        )
        write_manifest(final_path(folder), final)
    write_card(folder)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_run(tmp_path_factory.mktemp("runs") / "demo")


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    out = run.parent / "exported"
    export(ExportConfig(run=run, out=out), QUIET)
    return out


# The model


def test_transformers_loads_the_student_with_its_own_ids_and_logits(exported: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(exported / "model")
    tokenizer = AutoTokenizer.from_pretrained(exported / "model")
    student = tiny_student(seed=1)
    for text in TEXTS:
        ids = student.tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.encode(text, add_special_tokens=False) == ids
        with torch.no_grad():
            assert torch.allclose(
                model(torch.tensor([ids])).logits, student.model(torch.tensor([ids])).logits, atol=1e-5
            )
    assert (tokenizer.eos_token_id, tokenizer.pad_token_id) == (
        student.tokenizer.eos_token_id,
        student.tokenizer.pad_token_id,
    )


def test_the_exported_folder_is_a_policy_again_with_its_head(exported: Path) -> None:
    again = load_nano(str(exported / "model"))
    assert again.head is not None
    theirs, ours = play(again, episodes=2, seed=7), play(tiny_student(seed=1), episodes=2, seed=7)
    assert [[u.decision.action for u in t.turns] for t in theirs] == [
        [u.decision.action for u in t.turns] for t in ours
    ]
    forecasts = [[u.decision.p_fail for u in t.turns] for t in theirs]
    assert forecasts == [pytest.approx([u.decision.p_fail for u in t.turns], abs=1e-5) for t in ours]


def test_the_model_card_says_to_a_hub_what_was_measured(run: Path, exported: Path) -> None:
    card = ModelCard.load(exported / "model" / "README.md")
    [result] = card.data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_split) == ("success", 0.5, "test")
    assert (card.data.library_name, card.data.pipeline_tag, card.data.license) == (
        "transformers",
        "text-generation",
        "apache-2.0",
    )
    text = card.text
    assert "| test, restricted | 4 | 0.0 %" in text
    assert "24 sampled tokens with a weight in a loss" in text
    assert "| attempt | recovery | 4 | 16.7 % |" in text
    assert "compact* prompt" in text
    assert "<task> find<w0>" in text.replace("find<w0>", "find<w0>")
    assert json.loads((exported / "model" / "data_card.json").read_text())["tokens"] == 24
    assert (exported / "model" / "run_config.yaml").read_text() == (run / "config.yaml").read_text()


def test_a_student_that_did_not_play_the_test_says_so(tmp_path: Path) -> None:
    run = a_run(tmp_path / "demo", is_tested=False)
    export(ExportConfig(run=run, out=tmp_path / "out", episodes="none"), QUIET)
    assert not (tmp_path / "out" / "dataset").exists()
    card = ModelCard.load(tmp_path / "out" / "model" / "README.md")
    assert card.data.eval_results is None
    assert "has not played the test split" in card.text


def test_foreign_text_stays_in_its_cell_and_its_fence() -> None:
    assert cell(f"a\n{HOSTILE}") == "a &lt;b&gt;\\|\\`demo\\`\\_␛\\[31m"
    assert fenced("x ```` y") == "`````text\nx ```` y\n`````"


# The data set


def rows_of(exported: Path, name: str) -> Any:
    return datasets.load_dataset(str(exported / "dataset"), name, split="train", cache_dir=str(exported / "cache"))


def test_datasets_loads_both_forms_of_the_successes(exported: Path) -> None:
    collected = play(tiny_student(), episodes=6)
    spoken = rows_of(exported, "conversational")
    assert [row["episode"] for row in spoken] == [collected[0].id, collected[2].id]  # the fifth was forced
    [first, *_] = spoken
    assert [m["role"] for m in first["messages"]] == ["user", "assistant"] * 5
    assert (
        first["messages"][0]["content"]
        == f"Task: {collected[0].task.instruction}\n\n{collected[0].turns[0].observation}"
    )
    assert [m["content"] for m in first["messages"][1::2]] == [u.decision.action for u in collected[0].turns]
    fed = rows_of(exported, "prompt_completion")
    assert [(row["episode"], row["turn"]) for row in fed] == [
        *((collected[0].id, turn) for turn in range(5)),
        *((collected[2].id, turn) for turn in range(5)),
        *((collected[4].id, turn) for turn in (0, 2, 3, 4)),
    ]
    assert {(row["round"], row["split"], row["success"]) for row in fed} == {(0, "train", True)}


def test_a_prompt_is_all_that_was_fed_before_and_a_completion_what_was_sampled(exported: Path) -> None:
    student = tiny_student()
    [first, *_] = play(student, episodes=6)
    rows, exact = ([row for row in rows_of(exported, name) if row["episode"] == first.id] for name in FED)
    sequence: tuple[int, ...] = ()
    for row, tokens, turn in zip(rows, exact, first.turns, strict=True):
        ledger = turn.decision.ledger
        assert ledger is not None
        sequence = (*sequence, *ledger.prompt_ids) if ledger.is_continuation else ledger.prompt_ids
        assert row["prompt"] == student.tokenizer.decode(list(sequence), skip_special_tokens=False)
        assert row["completion"] == student.tokenizer.decode(list(ledger.sampled_ids), skip_special_tokens=False)
        sequence += ledger.sampled_ids
        assert tuple(tokens["input_ids"]) == sequence
        assert sum(tokens["completion_mask"]) == len(ledger.sampled_ids)
        assert tokens["completion_mask"] == sorted(tokens["completion_mask"])


def test_the_data_sets_card_counts_what_is_in_and_what_is_not(exported: Path) -> None:
    card = DatasetCard.load(exported / "dataset" / "README.md")
    assert [config["config_name"] for config in card.data.configs] == ["conversational", "prompt_completion", "tokens"]
    assert "| `conversational` | 2 |" in card.text
    assert "| `prompt_completion` | 14 |" in card.text
    assert "- 3 episodes that did not succeed" in card.text
    [checked] = re.findall(r"of (\d+) rows of `prompt_completion` that were tried, (\d+) gave back", card.text)
    assert checked[0] == "14"


def test_failures_come_along_where_they_are_asked_for_and_benchmarks_text_never_does(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "shoes.txt").write_text(
        "Find me RED shoes, number 3, and bring them to the old house by the river before night falls."
    )
    run = a_run(tmp_path / "demo", benchmarks=tmp_path / "benchmarks")
    done = export(ExportConfig(run=run, out=tmp_path / "out", episodes="all"), QUIET)
    assert (done.counts.episodes, done.counts.overlapping, done.counts.failed) == (5, 1, 0)
    episodes = {row["episode"] for row in rows_of(tmp_path / "out", "prompt_completion")}
    assert len(episodes) == 5
    assert not any(one.startswith("tiny/3#") for one in episodes)
    assert "held against shoes.txt" in (tmp_path / "out" / "dataset" / "README.md").read_text()


@pytest.mark.parametrize("form", ["prompt_completion", "conversational", "tokens"])
def test_trl_takes_a_step_on_each_form(exported: Path, form: str, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(exported / "model")
    tokenizer = AutoTokenizer.from_pretrained(exported / "model")
    if form == "conversational":  # which is for models that have a template of their own
        tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    settings = SFTConfig(
        output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=2, learning_rate=1e-3, report_to=[],
        use_cpu=True, bf16=False, gradient_checkpointing=False, save_strategy="no", disable_tqdm=True, max_length=2048,
        completion_only_loss=form != "conversational",
    )  # fmt: skip
    trainer = SFTTrainer(model, args=settings, train_dataset=rows_of(exported, form), processing_class=tokenizer)
    result = trainer.train()
    assert result.global_step == 1
    assert result.training_loss > 0
    assert any(not torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_chat_policys_conversation_is_what_it_was_told_and_wrote() -> None:
    turn = make_turn("click[a]", observation="a page")
    told = replace(
        turn.decision, text="<reasoning>so</reasoning>click[a]", notes={"message": "a page\n\nAdmissible: a"}
    )
    trajectory = make_trajectory(turns=(replace(turn, decision=told),))
    row = conversation(trajectory, is_compact=False)
    assert row is not None
    assert row["messages"] == [
        {"role": "user", "content": "Task: buy shop/0\n\na page\n\nAdmissible: a"},
        {"role": "assistant", "content": "<reasoning>so</reasoning>click[a]"},
    ]


def test_decisions_of_a_scripted_policy_have_no_ids() -> None:
    turn = make_turn("a")
    silent = replace(turn, decision=replace(turn.decision, ledger=None))
    ledger = Ledger((9,), (8,), (0.0,), (True,))
    spoken = replace(turn, decision=replace(turn.decision, ledger=ledger))
    found = list(decisions(make_trajectory(turns=(silent, spoken))))
    assert [(d.turn, d.prompt_ids, d.completion_ids) for d in found] == [(1, (9,), (8,))]


# What can be wrong


def test_a_run_that_is_not_there_is_named_with_its_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    a_run(tmp_path / "runs" / "demo")
    assert main(["run=demi"]) == 2
    assert "no run named 'demi'; did you mean 'demo'?; known: demo" in capsys.readouterr().err
    assert main([]) == 2
    assert (
        "run: expected a run's folder, for example run=runs/demo, got none; there are demo" in capsys.readouterr().err
    )
    assert main(["run=demo", "episodes=none"]) == 0  # by its name alone
    assert (tmp_path / "exports" / "demo-round1" / "model" / "README.md").is_file()
    with pytest.raises(SystemExit):
        main(["run=demo", "rounds=3"])
    assert "did you mean 'round'" in capsys.readouterr().err


def test_nothing_promoted_no_such_round_and_a_student_that_is_not_kept_are_refused(tmp_path: Path) -> None:
    run = a_run(tmp_path / "demo", is_promoted=False)
    with pytest.raises(CheckpointError, match=r"expected a promoted round, got none of 1.*round=0 exports"):
        export(ExportConfig(run=run), QUIET)
    export(ExportConfig(run=run, round=0, out=tmp_path / "zero", episodes="none"), QUIET)
    assert "before any training" in (tmp_path / "zero" / "model" / "README.md").read_text()
    assert main([f"run={run}", "round=7"]) == 2
    (run / "rounds/001/checkpoint/student").rename(tmp_path / "away")
    with pytest.raises(CheckpointError, match=r"expected the student of round 1, got none; kept are .* round: 0$"):
        export(ExportConfig(run=run, round=1), QUIET)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("model.safetensors", "expected the weights that the run wrote"),
        ("head.safetensors", "expected the weights that the run wrote"),
        ("config.json", "expected a student that transformers can load"),
        ("tokenizer.json", "expected a student that transformers can load"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_nothing_is_left_behind(tmp_path: Path, name: str, problem: str) -> None:
    run = a_run(tmp_path / "demo", is_tested=False)
    path = run / "rounds" / "001" / "checkpoint" / "student" / name
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match=problem):
        export(ExportConfig(run=run, out=tmp_path / "out"), QUIET)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"expected a"):
        export(ExportConfig(run=run, out=tmp_path / "out"), QUIET)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["demo"]


def test_what_is_there_is_not_overwritten_and_what_a_kill_left_is(tmp_path: Path) -> None:
    run = a_run(tmp_path / "demo", is_tested=False)
    (tmp_path / ".out.partial" / "model").mkdir(parents=True)
    export(ExportConfig(run=run, out=tmp_path / "out", episodes="none"), QUIET)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["demo", "out"]
    with pytest.raises(ConfigError, match=r"out: expected a folder that is not there yet"):
        export(ExportConfig(run=run, out=tmp_path / "out"), QUIET)


def test_only_a_plain_qwen2_becomes_a_llama(tmp_path: Path) -> None:
    small: dict[str, Any] = {
        "vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }  # fmt: skip
    LlamaForCausalLM(LlamaConfig(**small)).save_pretrained(tmp_path / "llama")
    windowed = Qwen2Config(**small, use_sliding_window=True, sliding_window=4, max_window_layers=0)
    Qwen2ForCausalLM(windowed).save_pretrained(tmp_path / "windowed")
    for name in ("llama", "windowed"):
        with pytest.raises(CheckpointError, match="expected a Qwen2 without a sliding window"):
            rewrite_as_llama(tmp_path / name)
    plain = Qwen2ForCausalLM(Qwen2Config(**small)).eval()
    for parameter in plain.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(1))
    plain.save_pretrained(tmp_path / "plain")
    rewrite_as_llama(tmp_path / "plain")
    twin = AutoModelForCausalLM.from_pretrained(tmp_path / "plain").eval()
    assert twin.config.model_type == "llama"
    ids = torch.arange(20)[None] % 32
    with torch.no_grad():
        assert torch.allclose(twin(ids).logits, plain(ids).logits, atol=1e-5)
