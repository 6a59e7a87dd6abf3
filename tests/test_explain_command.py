"""The command on a run's folder: what it prints and writes, and what it says of what it cannot do."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from policies.nano import load
from sage_gym.config import EXPLAIN, TRAIN, read, save
from sage_gym.distill.arena import Arena
from sage_gym.errors import ConfigError
from sage_gym.evaluation.introspection.records import Faithfulness, Introspection, read_faithfulness
from sage_gym.evaluation.manifest import RoundManifest, round_path, write_manifest
from sage_gym.explain import main
from sage_gym.rollout.journal import Journal, read_trajectories
from sage_gym.types import Trajectory

SELECT = "rounds/000/select.jsonl"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of which round 0 is there: sage-nano, and a few episodes of its own."""
    folder = tmp_path_factory.mktemp("made") / "runs" / "toy"
    config = read(TRAIN, ["env=webshop", "run=toy", f"run.folder={folder.parent}", "rollout.concurrency=8"])
    save(config, folder)
    student = load()
    assert student.head is not None
    with torch.no_grad():  # the shipped head is not trained yet
        student.head.forecasts["after"].weight.normal_(std=0.2, generator=torch.Generator().manual_seed(0))  # type: ignore[index,operator,union-attr]
    student.save(folder / "rounds" / "000" / "checkpoint" / "student")
    from sage_gym.config import make_environment

    arena = Arena(lambda: make_environment(config.env), config.rollout, 0, has_progress=False)
    policy = student.with_decoding(temperature=1.0, restricted=True)
    arena.play(policy, arena.fixed_tasks("select", 8), folder / SELECT, title="toy")
    write_manifest(round_path(folder, 0), RoundManifest(run="toy", round=0, stage="start", policy="sage-nano"))
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it under `runs` of the working directory."""
    shutil.copytree(finished, tmp_path / "runs" / "toy")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / "toy"


def played(run: Path) -> list[Trajectory]:
    return [trajectory for chunk in read_trajectories(run / SELECT) for trajectory in chunk]


def refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 2
    return capsys.readouterr().err


@pytest.mark.slow
def test_many_are_looked_into_tested_and_shown_in_the_report(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run=toy", "trajectories=5"]) == 0
    said = capsys.readouterr()
    assert "attention" in said.out
    assert "leave_one_out" in said.out
    assert "Against as many turns at the end" in said.out
    assert f"report: {run.relative_to(Path.cwd()) / 'report.html'}" in said.err
    found = read_faithfulness(run)
    assert found is not None
    assert (found.trajectories, found.signal, found.round, found.files) == (5, "attention", 0, (SELECT,))
    assert found.recorded == pytest.approx(1.0)
    assert [way.way for way in found.ways] == ["knocked out", "closed up", "replaced", "shifted"]
    best = {test.name: test for test in found.signals}["leave_one_out"]
    assert all(test.named.value <= best.named.value + 1e-9 for test in found.signals)
    records = [path for path in (run / "introspection").glob("*.json") if path.name != "faithfulness.json"]
    assert len(records) == 5
    outcomes = [example.success for example in found.examples]
    assert outcomes == sorted(outcomes)
    assert 1 <= len(outcomes) <= 4
    on_record = {Introspection.model_validate_json(path.read_bytes()).explanation for path in records}
    assert {example.explanation for example in found.examples} <= on_record
    page = (run / "report.html").read_text("utf-8")
    assert page.count("<polyline") >= 8
    assert "Turns taken away, the largest weight first" in page


@pytest.mark.slow
def test_the_same_seed_gives_the_same_figures_and_another_draws_others(run: Path) -> None:
    figures = []
    for seed in (0, 0, 1):
        assert main(["run=toy", "trajectories=3", f"seed={seed}"]) == 0
        found = read_faithfulness(run)
        assert found is not None
        figures.append(found.signals)
    assert figures[0] == figures[1]
    assert figures[0] != figures[2]


def test_a_task_is_explained_turn_by_turn_and_put_on_record(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trajectory = next(one for one in played(run) if len(one.turns) >= 4)
    assert main([f"run={run}", f"task={trajectory.task.key}"]) == 0
    said = capsys.readouterr()
    assert f"after {len(trajectory.turns)} turns" in said.out
    assert "of what cutting turns from attention would change" in said.out
    [path] = (run / "introspection").glob("*.json")
    record = Introspection.model_validate_json(path.read_bytes())
    assert (record.trajectory, record.file, len(record.turns)) == (trajectory.id, SELECT, len(trajectory.turns))
    assert record.p_fail == pytest.approx(trajectory.turns[-1].decision.p_fail, abs=1e-3)
    assert record.explanation in said.out
    assert read_faithfulness(run) is None


def test_a_task_that_was_not_played_is_answered_with_the_nearest(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = played(run)[0].task.key
    said = refusal(["run=toy", f"task={key[:-1]}"], capsys)
    assert "task: no task in rounds/000/select.jsonl named" in said
    assert "did you mean" in said
    assert "8 tasks were played" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run=toi"], "no run named 'toi'; did you mean 'toy'?"),
        (["run=toy", "round=3"], "that keeps its student named '3'"),
        (["run=toy", "files=rounds/000/selct.jsonl"], "did you mean 'rounds/000/select.jsonl'?"),
        (["run=toy", "longest=10"], "got none (fewer than 4 turns"),
    ],
)
def test_what_is_not_there_is_named(run: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = refusal(words, capsys)
    assert said in found or "more than 10 tokens" in found


def test_trajectories_of_another_student_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = run / "rounds" / "000" / "others.jsonl"
    with Journal(journal) as other:
        own = [one for one in played(run) if len(one.turns) >= 4]
        shuffled = [
            replace(one, turns=(*one.turns[:-1], replace(one.turns[-1], decision=another.turns[-1].decision)))
            for one, another in zip(own, own[1:] + own[:1], strict=True)
        ]
        falsified = [with_forecast(one, (i * 5 % 7) / 7) for i, one in enumerate(shuffled)]
        other.append(0, falsified)
    said = refusal(["run=toy", "files=rounds/000/others.jsonl"], capsys)
    assert "expected trajectories that the student of round 0 played" in said
    assert not (run / "introspection").exists()


def with_forecast(trajectory: Trajectory, p_fail: float) -> Trajectory:
    last = trajectory.turns[-1]
    return replace(
        trajectory, turns=(*trajectory.turns[:-1], replace(last, decision=replace(last.decision, p_fail=p_fail)))
    )


@pytest.mark.slow
def test_a_forecaster_that_looks_at_nothing_is_found_out(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    student = load()
    student.save(run / "rounds" / "000" / "checkpoint" / "student")
    assert "says the same whatever is taken away" in refusal(["run=toy", "trajectories=2"], capsys)


def test_a_damaged_line_is_named_skipped_and_counted(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Journal(run / SELECT) as journal:
        journal.append(7, played(run)[:1])
    text = (run / SELECT).read_text("utf-8").splitlines()
    text[-2] = text[-2][:-40] + "}"
    (run / SELECT).write_text("\n".join(text) + "\n", "utf-8")
    assert main(["run=toy", f"task={played(run)[0].task.key}"]) == 0
    assert f"{SELECT}, line {len(text) - 1}:" in capsys.readouterr().err.replace("\n", " ")


def test_settings_that_do_not_go_together_are_refused_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["words.address=http://localhost:1/v1"])
    said = capsys.readouterr().err
    assert "run: expected a training run's folder or name, got none" in said
    assert "words.model: expected a value together with the other" in said
    assert "a language model retells one task's explanation" in said
    with pytest.raises(ConfigError, match=r"words\.address.*expected"):
        read(EXPLAIN, ["run=x", "words.address=localhost:1"])
    with pytest.raises(ConfigError, match="signal: expected one of attention"):
        read(EXPLAIN, ["run=x", "signal=attension"])


def test_a_run_named_by_a_number_and_files_by_commas_are_taken() -> None:
    config = read(EXPLAIN, ["run=2024", "files=a.jsonl,b.jsonl", "seed=3"])
    assert (str(config.run), config.files, config.seed) == ("2024", ("a.jsonl", "b.jsonl"), 3)


def test_a_report_of_a_damaged_test_says_which_file(run: Path) -> None:
    path = run / "introspection" / "faithfulness.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"run": "toy"}), "utf-8")
    with pytest.raises(ValueError, match=r"faithfulness\.json: expected a test of faithfulness"):
        read_faithfulness(run)
    assert Faithfulness.__doc__
