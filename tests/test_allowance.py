"""How many tokens a round trains on where the configuration limits them, and what else an ablation asks of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sage_gym.config import TrainConfig
from sage_gym.distill.allowance import allot, keep_within, tokens_of
from sage_gym.distill.collecting import Collector, _unscored
from sage_gym.distill.returns import examples_for_distillation
from sage_gym.distill.rows import Example
from sage_gym.distill.stages import Material, make_optimizer, take_stages
from sage_gym.evaluation.manifest import read_rounds
from sage_gym.selection import apply_critics, select
from sage_gym.selection.settings import SelectionSettings
from sage_gym.types import Group, Trajectory
from tests.nano_toys import play, tiny_student
from tests.scripted_student import scripted_loop
from tests.trajectories import make_trajectory, make_turn


def examples(count: int = 40) -> list[Example]:
    """Rows of one, two, three tokens and so on in turn."""
    found = [make_trajectory(f"t/{i}", turns=[make_turn(logprobs=[-0.5] * (1 + i % 5))]) for i in range(count)]
    return examples_for_distillation(found, {t.id: 1.0 for t in found})


def test_rows_by_lot_hold_as_many_tokens_as_are_allowed() -> None:
    whole = examples()
    assert tokens_of(whole) == 120
    for allowed in (1, 17, 60, 119):
        kept = keep_within(whole, allowed, seed=3)
        assert len(kept) == len(whole)
        assert allowed - 4 <= tokens_of(kept) <= allowed  # what is left is shorter than a row that was passed over
    assert keep_within(whole, 200, seed=3) == whole
    first, second = ([e.weight for e in keep_within(whole, 60, seed=seed)] for seed in (3, 4))
    assert first != second
    assert first == [e.weight for e in keep_within(whole, 60, seed=3)]


def test_what_makes_way_still_trains_the_forecast() -> None:
    kept = keep_within(examples(), 10, seed=0)
    assert all(example.forecast_weight == 1.0 for example in kept)
    assert sum(example.weight == 0 for example in kept) > 30


def test_a_lot_does_not_prefer_short_rows() -> None:
    sizes = [len(e.row.sampled_N) for seed in range(60) for e in keep_within(examples(), 60, seed) if e.weight]
    assert np.mean(sizes) == pytest.approx(3.0, abs=0.15)


def a_round() -> tuple[Any, list[Trajectory], dict[str, float]]:
    student = tiny_student()
    found = [replace(t, reward=float(i % 2)) for i, t in enumerate(play(student, episodes=6))]
    weights = {t.id: 1.0 for t in found[:3]}
    return student, found, weights


def test_every_stage_keeps_the_same_share_of_what_it_would_train_on() -> None:
    _, found, weights = a_round()
    config = TrainConfig.model_validate({"rounds": {"stages": ["distil", "reinforce", "forecast"]}})
    whole = allot(10**6, config, found, weights, {})
    assert set(whole) == {"distil", "reinforce"}
    half = allot(sum(whole.values()) // 2, config, found, weights, {})
    assert half["distil"] == pytest.approx(whole["distil"] / 2, abs=1)
    assert half["reinforce"] == pytest.approx(whole["reinforce"] / 2, abs=1)
    twice = allot(
        10**6, TrainConfig.model_validate({**config.model_dump(), "distil": {"epochs": 2}}), found, weights, {}
    )
    assert twice["distil"] == 2 * whole["distil"]
    assert set(allot(-5, config, found, weights, {}).values()) == {0}


@pytest.mark.parametrize("stages", [["distil"], ["reinforce"], ["distil", "reinforce"]])
def test_a_round_trains_on_as_many_tokens_as_it_may(stages: list[str]) -> None:
    torch.set_num_threads(1)
    trained: list[int] = []
    for share in (None, 0.5):
        student, found, _ = a_round()
        groups = [Group(t.task, (t,)) for t in found]
        rules = SelectionSettings.yardstick().model_copy(update={"outcome": None})
        selection = select(groups, apply_critics(groups, []), rules, [])
        config = TrainConfig.model_validate({"rounds": {"stages": stages}, "distil": {"epochs": 2}})
        allowance = None if share is None else int(share * trained[0])
        material = Material(found, 0, selection=selection, allowance=allowance)
        optimizer = make_optimizer(student, learning_rate=1e-4)
        trained.append(take_stages(student, material, config, optimizer).tokens_trained)
    assert 0.25 * trained[0] < trained[1] <= 0.5 * trained[0] + len(stages)


def test_what_a_round_leaves_the_next_may_use(tmp_path: Path) -> None:
    loop = scripted_loop(tmp_path, dict.fromkeys(range(4), 0.25), settings={"rounds": {"round_tokens": 120}})
    loop.run()
    assert [m.tokens_trained for m in read_rounds(loop.folder)] == [0, 100, 100, 100]
    assert [material.allowance for material in loop.materials] == [120, 140, 160]
    free = scripted_loop(tmp_path / "free", {0: 0.25, 1: 0.25})
    free.run()
    assert [material.allowance for material in free.materials] == [None]


def test_one_way_of_decoding_is_tested_where_no_other_is_asked_for(tmp_path: Path) -> None:
    settings = {"evaluate": {"other_decodings": False, "temperature": 1.0}}
    final = scripted_loop(tmp_path, {0: 0.25, 1: 0.75}, settings=settings).run()
    assert [test.decoding for test in final.tests] == ["restricted to admissible actions, sampled at temperature 1"]
    others = scripted_loop(tmp_path / "all", {0: 0.25, 1: 0.75}, settings={"evaluate": {"temperature": 1.0}}).run()
    assert len(others.tests) == 3


@pytest.mark.parametrize(("chooser", "is_scored"), [("critic", True), ("first", False)])
def test_the_critic_chooses_among_candidates_unless_the_first_is_asked_for(
    tmp_path: Path, chooser: str, is_scored: bool
) -> None:
    amplify = {"enabled": True, "chooser": chooser, "pilot_tasks": 0}
    loop = scripted_loop(tmp_path, {0: 0.25}, settings={"amplify": amplify}, has_head=True)
    collector: Collector = loop._collector
    policy, _ = collector._amplify(loop.student.with_decoding(temperature=1.0, restricted=True), 1)
    assert (policy.chooser is not _unscored) is is_scored  # type: ignore[attr-defined]
