"""`python -m sage_gym.evaluate`: it resumes after kill -9, scores and compares what is stored, and what is refused."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import yaml

from sage_gym.config import EVALUATE, Component, EvaluateConfig, read
from sage_gym.config.evaluation import settings_of_training
from sage_gym.config.listing import settings
from sage_gym.errors import CheckpointError, ConfigError
from sage_gym.evaluate import _critic, main
from sage_gym.evaluation.records import Evaluation, read_evaluation
from sage_gym.evaluation.sides import Side, check_weights, make_sides, weights_digest
from sage_gym.rollout import read_trajectories
from sage_gym.rollout.records import fingerprint
from tests.imports import ROOT
from tests.killing import Kill
from tests.nano_toys import play, tiny_student

SHOP = ("env=webshop", "env.catalog=world:nano:5:60", "rollout.concurrency=4", "seed=3")


@pytest.mark.slow
def test_the_command_evaluates_and_goes_on_after_kill_9(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*SHOP, "policy=random", "against=random", "tasks=10", "attempts=2", "rollout.max_turns=8"]
    whole = [*words, f"folder={tmp_path}/whole"]
    assert main(whole) == 0
    said = capsys.readouterr()
    assert "random (evaluated) against random (baseline), the same tasks" in said.out
    assert "0 of 10 pairs differ" in said.out
    assert f"report: {tmp_path}/whole/webshop-random-vs-random/report.html" in said.err
    journal = "sage_gym.rollout.journal:Journal._write"
    kills = (
        Kill("play", journal, 3, "half", "policy.jsonl"),
        Kill("play", journal, 2, "after", "against.jsonl"),
        Kill("write", "sage_gym.evaluate:write_evaluation"),
    )
    killed = [*words, f"folder={tmp_path}/killed"]
    for kill in kills:
        assert run_and_kill(killed, kill) == -signal.SIGKILL
    assert main(killed) == 0
    ours, theirs = (tmp_path / name / "webshop-random-vs-random" for name in ("killed", "whole"))
    assert fingerprints(ours) == fingerprints(theirs)
    assert len(fingerprints(ours)) >= 2
    assert settled(ours) == settled(theirs)
    assert (ours / "report.html").exists()


def run_and_kill(words: Sequence[str], kill: Kill) -> int:
    code = (
        "import json, sys\nfrom tests.killing import Kill, arm\nfrom sage_gym.evaluate import main\n"
        "arm(Kill(**json.loads(sys.argv[1])))\nsys.exit(main(sys.argv[2:]))"
    )
    argv = [sys.executable, "-c", code, json.dumps(asdict(kill)), *words]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, timeout=600, check=False).returncode


def fingerprints(folder: Path) -> dict[str, list[str]]:
    return {
        path.relative_to(folder).as_posix(): [fingerprint(t) for chunk in read_trajectories(path) for t in chunk]
        for path in sorted(folder.rglob("*.jsonl"))
    }


def settled(folder: Path) -> Evaluation:
    found = read_evaluation(folder)
    settings = {name: value for name, value in found.settings.items() if name != "folder"}
    return found.comparable().model_copy(update={"settings": settings})


def test_an_evaluation_of_other_settings_is_refused_with_the_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SHOP, "policy=random", "recovery.tasks=0", f"folder={tmp_path}", "name=one"]
    assert main([*words, "tasks=4"]) == 0
    assert main([*words, "tasks=4", "splits=test,select", "fit_split=null", "critic=outcome"]) == 0
    found = read_evaluation(tmp_path / "one")
    assert [result.split for result in found.results] == ["test", "select"]
    assert found.results[0].critic is not None
    assert found.results[0].critic.name == "outcome"
    capsys.readouterr()
    assert main([*words, "tasks=5", "temperature=0.5"]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path}/one holds an evaluation of other settings: give name=<another name>" in said
    assert "tasks: 4 when the run began, 5 now" in said
    assert "temperature: 1.0 when the run began, 0.5 now" in said


def test_stored_trajectories_are_scored_again_and_evaluations_compared_from_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SHOP, "policy=random", "recovery.tasks=0", f"folder={tmp_path}"]
    assert main([*words, "tasks=6", "name=six"]) == 0
    assert main([*words, "tasks=6", "name=again", "seed=4"]) == 0
    assert main([*words, "tasks=4", "name=four"]) == 0
    assert main([f"rescore={tmp_path}/six", "critic=rule", "critic.invalid=-3", f"folder={tmp_path}"]) == 0
    rescored = tmp_path / "rescore-six-rule"
    scores = [json.loads(line) for line in (rescored / "scores.jsonl").read_text().splitlines()]
    assert len(scores) == 6
    assert {score["critic"] for score in scores} == {"rule"}
    assert read_evaluation(rescored).results[0].critic is not None
    assert main([f"compare={tmp_path}/six,{tmp_path}/again", f"folder={tmp_path}"]) == 0
    assert read_evaluation(tmp_path / "again-vs-six").comparisons[0].paired.tasks == 6
    capsys.readouterr()
    assert main([f"compare={tmp_path}/six,{tmp_path}/four", f"folder={tmp_path}", "name=unlike"]) == 2
    assert "2 in the first alone: webshop/" in capsys.readouterr().err
    assert main([f"rescore={tmp_path}/six", "critic=outcome", f"folder={tmp_path}", "name=four"]) == 2
    assert "holds an evaluation that was played; give another name" in capsys.readouterr().err
    assert main([f"rescore={tmp_path}/nothing", "critic=outcome", f"folder={tmp_path}"]) == 2
    assert "nothing, got none; check the path" in capsys.readouterr().err


def test_a_critic_that_reads_with_a_model_gets_that_of_the_policy() -> None:
    student = tiny_student()
    scores = _critic(Component(name="ics"), student).score(play(student))
    assert all(score.value is not None for score in scores)
    with pytest.raises(ConfigError, match="critic=ics: expected a policy with a meta-cognition head"):
        _critic(Component(name="ics"), None)


# What is named


def a_run(folder: Path, promoted: Sequence[bool] = (True, True, False)) -> Path:
    """A training run's folder as far as it is read here."""
    for number, is_promoted in enumerate(promoted):
        rounds = folder / "rounds" / f"{number:03d}"
        (rounds / "checkpoint" / "student").mkdir(parents=True)
        manifest = {"round": number, "promotion": {"promoted": is_promoted} if number else None}
        (rounds / "manifest.json").write_text(json.dumps(manifest))
    settings = {
        "env": {"name": "webshop", "show_attributes": True},
        "policy": {"name": "nano", "decode_dtype": "bfloat16", "temperature": 0.3},
        "run": {"name": "x", "seed": 7},
        "rollout": {"max_turns": 9, "tasks_per_round": 5, "split": "train_small"},
        "evaluate": {
            "test_tasks": 17,
            "select_tasks": 18,
            "temperature": 0.7,
            "restricted": False,
            "select_split": "s",
        },
    }
    (folder / "config.yaml").write_text(json.dumps(settings))
    return folder


def test_a_run_may_be_named_as_under_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    a_run(tmp_path / "runs" / "demo")
    config = read(EVALUATE, ["run=demo"])
    assert config.policy.name == "runs/demo/rounds/001/checkpoint/student"
    assert config.evaluation_folder == Path("runs/demo/evaluations/webshop-demo-round-1")


def test_a_run_gives_its_last_promoted_student_and_its_own_settings(tmp_path: Path) -> None:
    run = a_run(tmp_path / "demo")
    config = read(EVALUATE, [f"run={run}"])
    assert config.policy.name == str(run / "rounds/001/checkpoint/student")
    assert config.policy.arguments == {"decode_dtype": "bfloat16"}
    assert config.env.arguments == {"show_attributes": True}
    assert (config.tasks, config.fit_tasks, config.fit_split) == (17, 18, "s")
    assert (config.temperature, config.restricted, config.rollout.max_turns) == (0.7, False, 9)
    assert config.evaluation_folder == run / "evaluations" / "webshop-demo-round-1"
    assert read(EVALUATE, [f"run={run}", "round=2", "tasks=3"]).policy.name == str(
        run / "rounds/002/checkpoint/student"
    )
    assert read(EVALUATE, [f"run={run}", "tasks=3", "env.show_attributes=false"]).tasks == 3


def test_the_environments_own_file_gives_budgets_tasks_and_decoding() -> None:
    own = yaml.safe_load((ROOT / "envs/webshop/config.yaml").read_text(encoding="utf-8"))
    config = read(EVALUATE, ["env=webshop"])
    assert (config.tasks, config.fit_tasks) == (own["evaluate"]["test_tasks"], own["evaluate"]["select_tasks"])
    assert config.temperature == own["evaluate"]["temperature"]
    assert config.rollout.concurrency == own["rollout"]["concurrency"]
    assert (config.splits, config.fit_split) == (None, "select")
    assert settings_of_training({"evaluate": {"test_split": "human_test"}}) == {"splits": ["human_test"]}
    assert settings_of_training({"evaluate": {"test_split": "test"}, "distil": {"epochs": 2}}) == {}


def test_help_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0
    for setting in settings(EvaluateConfig):
        assert setting.meaning, setting.path
        assert f"\n  {setting.path}=" in said
    assert "against.name=null" in said
    assert "critic=… is critic.name=…" in said
    assert "run=… is" not in said


def test_a_run_that_is_not_there_or_a_round_without_student_is_refused(tmp_path: Path) -> None:
    run = a_run(tmp_path / "demo")
    for words, problem in (
        ([f"run={tmp_path}"], "run: expected a training run's folder"),
        ([f"run={run}", "round=7"], f"round: no round of {run} that keeps its student named '7'"),
        ([f"run={run}", "policy=nano"], "run and policy exclude each other"),
        (["round=1"], "round: expected run="),
    ):
        with pytest.raises(ConfigError) as caught:
            read(EVALUATE, words)
        assert caught.value.problems[0].startswith(problem)


@pytest.mark.parametrize("place", ["", "rounds/001", "rounds/001/checkpoint", "rounds/001/checkpoint/student"])
def test_a_policy_may_be_named_by_run_round_checkpoint_or_weights(tmp_path: Path, place: str) -> None:
    run = a_run(tmp_path / "demo")
    config = read(EVALUATE, [f"policy={run / place}"])
    with pytest.raises(CheckpointError, match=r"rounds/001/checkpoint/student: expected config\.json"):
        make_sides(config)


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["rescore=x"], "rescore: expected critic=<name> with it"),
        (["rescore=x", "critic=rule", "compare=a,b"], "rescore and compare exclude each other"),
        (["compare=a"], "compare: expected two finished evaluations"),
        (["amplify.enabled=true", "against=nano"], "amplify.enabled holds the policy against itself"),
        (["splits=test,test"], "splits: expected each once"),
        (["splits=select"], "fit_split=select: it is among splits"),
        (["critic=rul"], "critic: no reward named 'rul'; did you mean 'rule'?"),
        (["critic=rule", "critic.invald=1"], "critic.invald: no such argument; did you mean 'critic.invalid'?"),
        (["against=nan"], "against: no policy named 'nan'; did you mean 'nano'?"),
        (["taks=3"], "taks: no such setting; did you mean 'tasks'?"),
        (["attempts=0"], "attempts: expected"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(words: list[str], problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(EVALUATE, words)
    assert any(found.startswith(problem) for found in caught.value.problems), caught.value.problems


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        read(EVALUATE, ["compare=a", "rescore=x", "splits=select", "against=nan"])
    assert len(caught.value.problems) == 5


class Headed:
    """A student of a few weights, of which the last is given."""

    name, tokenizer, head = "headed", None, None

    def __init__(self, weight: float) -> None:
        self.model = torch.nn.Linear(8, 8)
        torch.nn.init.zeros_(self.model.weight)
        torch.nn.init.zeros_(self.model.bias)
        with torch.no_grad():
            self.model.weight[-1, -1] = weight


def test_an_evaluation_does_not_go_on_with_other_weights(tmp_path: Path) -> None:
    digests = [weights_digest(cast(Any, Headed(weight))) for weight in (1.0, 1.0, 1.0001)]
    assert digests[0] == digests[1] != digests[2]
    sides = [Side("policy", "x", cast(Any, None), "", digest) for digest in digests]
    check_weights(tmp_path, sides[:1])
    check_weights(tmp_path, sides[1:2])
    with pytest.raises(ConfigError, match="policy: other weights now than when"):
        check_weights(tmp_path, sides[2:])
