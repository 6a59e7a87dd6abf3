"""The runs of an ablation: each made once, whatever stops it, and what is alike taken over and not played twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console

from sage_gym.config import AblateConfig, TrainConfig, open_run
from sage_gym.distill.arena import Arena
from sage_gym.errors import SageGymError
from sage_gym.evaluation.ablation.figures import RunFigures, _tokens_of
from sage_gym.evaluation.ablation.running import run_ablation
from sage_gym.evaluation.ablation.sharing import read_shared, take_over
from sage_gym.evaluation.ablation.variants import plan
from sage_gym.evaluation.manifest import read_final, read_manifest, read_rounds
from sage_gym.rollout import read_trajectories
from tests.scripted_student import Doors, ListTracker, Script, ScriptedLoop, ScriptedStudent
from tests.trajectories import make_turn

SILENT = Console(quiet=True)
COLLECTED = "rounds/001/collect.jsonl"
ALIKE_AT_FIRST = {"rounds/000/select.jsonl", "test/test-000-restricted-greedy.jsonl"}
SKILLS = {0: 0.25, 1: 0.75, 2: 1.0}


class Trainings:
    """Trains a scripted student; remembers what it was asked for, and dies where it is told to."""

    def __init__(self, dies_at: int | None = None, kills_round: int | None = None) -> None:
        self.names: list[str] = []
        self.scripts: dict[str, Script] = {}
        self._dies_at, self._kills_round = dies_at, kills_round

    def __call__(self, config: TrainConfig, console: Console) -> None:
        is_last = len(self.names) == self._dies_at
        self.names.append(config.run_name)
        script = Script(SKILLS, forecasts={f"train/{i}": 0.5 for i in range(40)})
        arena = Arena(Doors, config.rollout, config.run.seed, has_progress=False)
        tracker = ListTracker(self._kills_round if is_last else None)
        open_run(config)
        loop = ScriptedLoop(config, cast(Any, ScriptedStudent(script)), arena, tracker)
        loop.script, loop.materials = script, []
        self.scripts[config.run_name] = script
        loop.run()


@pytest.fixture
def ablation(tmp_path: Path) -> Callable[..., AblateConfig]:
    def make(**more: Any) -> AblateConfig:
        sections: dict[str, Any] = {
            "run": {"folder": tmp_path, "name": "parts"},
            "rollout": {"tasks_per_round": 4, "group_size": 2, "pool": 2, "concurrency": 8, "recovery_traces": 0.5},
            "rounds": {"count": 2, "stages": ["distil", "reinforce", "forecast"]},
            "evaluate": {"select_tasks": 20, "test_tasks": 20, "other_decodings": False},
            "vary": ("inverse", "curriculum"),
            "seeds": 1,
        }
        return AblateConfig.model_validate({**sections, **more})

    return make


def test_every_run_is_made_once_and_its_figures_are_kept(ablation: Callable[..., AblateConfig]) -> None:
    config, train = ablation(), Trainings()
    found, path = run_ablation(config, train, SILENT)
    assert train.names == [run.name for run in plan(config)]
    assert len(train.names) == 4
    assert [run.run for run in found.runs] == train.names
    assert path.read_text("utf-8").startswith("{")
    kept = read_manifest(config.run_folder / "figures" / "full-seed0.json", RunFigures)
    assert (kept.cost.tokens_trained, kept.last_promoted, kept.rounds) == (200, 2, 2)
    again = Trainings()
    assert run_ablation(config, again, SILENT)[0] == found
    assert again.names == []


@pytest.mark.parametrize("kills_round", [0, 2])
def test_an_interrupted_ablation_goes_on_and_makes_no_finished_run_twice(
    ablation: Callable[..., AblateConfig], kills_round: int
) -> None:
    config = ablation()
    stopped = Trainings(dies_at=2, kills_round=kills_round)
    with pytest.raises(SageGymError, match="killed"):
        run_ablation(config, stopped, SILENT)
    assert len(list((config.run_folder / "figures").iterdir())) == 2
    going_on = Trainings()
    found, _ = run_ablation(config, going_on, SILENT)
    assert going_on.names == [run.name for run in plan(config)][2:]
    whole, _ = run_ablation(ablation(run={"folder": config.run.folder, "name": "whole"}), Trainings(), SILENT)
    assert [effect.pooled for effect in found.effects] == [effect.pooled for effect in whole.effects]
    assert [run.test for run in found.runs] == [run.test for run in whole.runs]


def test_further_parts_and_seeds_add_runs_to_those_that_are_there(ablation: Callable[..., AblateConfig]) -> None:
    run_ablation(ablation(vary=("inverse",), seeds=1), Trainings(), SILENT)
    more = Trainings()
    run_ablation(ablation(vary=("inverse", "recovery"), seeds=2), more, SILENT)
    assert more.names == [
        "without-recovery-seed0", "full-seed1", "yardstick-seed1", "without-inverse-seed1", "without-recovery-seed1",
    ]  # fmt: skip


def test_what_is_alike_is_played_once_a_seed(ablation: Callable[..., AblateConfig]) -> None:
    config, train = ablation(), Trainings()
    found, _ = run_ablation(config, train, SILENT)
    shared = {run.run: set(run.shared) for run in found.runs}
    assert shared["full-seed0"] == set()
    assert shared["yardstick-seed0"] == shared["without-curriculum-seed0"] == ALIKE_AT_FIRST
    assert shared["without-inverse-seed0"] == {*ALIKE_AT_FIRST, COLLECTED, "rounds/001/recovery.jsonl"} - (
        set()
        if (config.run_folder / "full-seed0/rounds/001/recovery.jsonl").exists()
        else {"rounds/001/recovery.jsonl"}
    )
    asked = [episode for _, _, episode in train.scripts["without-inverse-seed0"].asked]
    assert not any(episode.startswith("r1/") for episode in asked if "/train/" in episode)


def test_a_run_that_takes_over_ends_as_one_that_plays_everything(ablation: Callable[..., AblateConfig]) -> None:
    config = ablation()
    apart = ablation(run={"folder": config.run.folder, "name": "apart"}, share=False)
    run_ablation(config, Trainings(), SILENT)
    run_ablation(apart, Trainings(), SILENT)
    for ours, theirs in zip(plan(config), plan(apart), strict=True):
        assert read_shared(theirs.config.run_folder) == {}
        a, b = (read_final(run.config.run_folder) for run in (ours, theirs))
        assert a is not None
        assert b is not None
        assert a.comparable() == b.comparable()
        rounds = [read_rounds(run.config.run_folder) for run in (ours, theirs)]
        assert [m.comparable() for m in rounds[0]] == [m.comparable() for m in rounds[1]]
        for name in ("rounds/000/select.jsonl", COLLECTED):
            files = [run.config.run_folder / name for run in (ours, theirs)]
            played = [[t.id for chunk in read_trajectories(file) for t in chunk] for file in files]
            assert played[0] == played[1]


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("run", {"seed": 1}),
        ("rollout", {"max_turns": 3}),
        ("evaluate", {"select_tasks": 10}),
        ("policy", {"name": "nano", "adapter": "tools"}),
    ],
)
def test_nothing_is_taken_over_where_round_0_would_be_another(
    ablation: Callable[..., AblateConfig], section: str, change: dict[str, Any]
) -> None:
    config = plan(ablation())[0].config
    Trainings()(config, SILENT)
    tree = config.model_dump(mode="json")
    other = TrainConfig.model_validate({**tree, section: {**tree[section], **change, **_named(section)}, "run": {
        **tree["run"], "name": "other", **(change if section == "run" else {})}})  # fmt: skip
    assert take_over(other, [config]) == {}
    same = TrainConfig.model_validate({**tree, "run": {**tree["run"], "name": "same"}})
    assert {*ALIKE_AT_FIRST, COLLECTED} <= set(take_over(same, [config]))


def _named(section: str) -> dict[str, str]:
    return {"name": "other"} if section == "run" else {}


@pytest.mark.parametrize(
    ("section", "change"),
    [
        ("amplify", {"enabled": True}),
        ("rollout", {"pool": 1}),
        ("rollout", {"second_attempts": 0.5}),
        ("rounds", {"stages": ["reinforce"]}),
    ],
)
def test_a_first_collection_that_would_be_another_is_not_taken_over(
    ablation: Callable[..., AblateConfig], section: str, change: dict[str, Any]
) -> None:
    config = plan(ablation())[0].config
    Trainings()(config, SILENT)
    tree = config.model_dump(mode="json")
    other = {**tree, section: {**tree[section], **change}, "run": {**tree["run"], "name": "other"}}
    assert set(take_over(TrainConfig.model_validate(other), [config])) == ALIKE_AT_FIRST


def test_sampled_tokens_include_those_of_candidates_that_were_not_taken() -> None:
    turn = make_turn(logprobs=[-0.5] * 3)
    assert _tokens_of(turn) == 3
    amplified = replace(turn, decision=replace(turn.decision, notes={"sampled_tokens": 11}))
    assert _tokens_of(amplified) == 11
    assert _tokens_of(replace(turn, decision=replace(turn.decision, ledger=None))) == 0


def test_a_runs_own_journal_is_not_written_over(ablation: Callable[..., AblateConfig]) -> None:
    config = plan(ablation())[0].config
    Trainings()(config, SILENT)
    other = config.model_copy(update={"run": config.run.model_copy(update={"name": "other"})})
    own = other.run_folder / "rounds" / "000" / "select.jsonl"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    assert "rounds/000/select.jsonl" not in take_over(other, [config])
    assert own.read_text() == "mine"
