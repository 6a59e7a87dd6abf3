from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from pyarrow import parquet

from sage_gym.config import TRAIN, open_run, read
from sage_gym.config.saved import FREE_ON_RESUME
from sage_gym.errors import SageGymError
from sage_gym.evaluation.manifest import read_final, read_rounds
from sage_gym.rollout import read_trajectories
from sage_gym.train import main
from sage_gym.types import Score, Trajectory
from tests.scripted_student import SIZES, ListTracker, Script, scripted_loop

UP = {0: 0.25, 1: 0.75, 2: 1.0}
WORSE = {0: 0.25, 1: 0.75, 2: 0.25, 3: 0.25, 4: 0.25, 5: 0.25}


def lineages(script: Script) -> list[str]:
    """The versions that were trained, in order: those that collected, each with the round it collected for."""
    found = dict.fromkeys(
        (version, episode.split("/")[0]) for version, _, episode in script.asked if "/train/" in episode
    )
    return [f"{version}>{round_name[1:]}" for version, round_name in found]


def played_on(script: Script, split: str) -> Counter[tuple[str, str]]:
    """How many episodes of a split each version played under each decoding."""
    return Counter((version, decoding) for version, decoding, episode in script.asked if f"/{split}/" in episode)


def test_round_0_is_the_untrained_student_on_the_select_split_alone(tmp_path: Path) -> None:
    loop = scripted_loop(tmp_path, {0: 0.25})
    final = loop.run()
    [start] = read_rounds(loop.folder)
    assert (start.round, start.stage, start.promoted, start.collected) == (0, "start", True, None)
    assert start.select is not None
    assert start.select.success is not None
    assert start.select.success.value == 0.25
    assert final.last_promoted == 0
    assert not any("/train/" in episode for _, _, episode in loop.script.asked)


def test_better_students_are_promoted_and_the_last_one_is_tested(tmp_path: Path) -> None:
    loop = scripted_loop(tmp_path, UP)
    final = loop.run()
    assert [m.promoted for m in read_rounds(loop.folder)] == [True, True, True]
    assert final.last_promoted == 2
    assert final.tests[0].before.success is not None
    assert final.tests[0].after.success is not None
    assert (final.tests[0].before.success.value, final.tests[0].after.success.value) == (0.25, 1.0)
    assert final.tokens_trained == 200


def test_each_round_collects_its_tasks_with_its_settings(tmp_path: Path) -> None:
    loop = scripted_loop(tmp_path, UP, settings={"rollout": {"temperature": 0.7, "restricted": False}})
    loop.run()
    assert played_on(loop.script, "train") == {("0", "free 0.7"): 8, ("0>1", "free 0.7"): 8}
    for manifest in read_rounds(loop.folder)[1:]:
        assert manifest.tasks["collect"].count == 4
        assert manifest.metrics["scripted/episodes"] == 8.0


def test_the_learning_rate_falls_to_its_final_share_in_the_last_round(tmp_path: Path) -> None:
    loop = scripted_loop(tmp_path, {0: 0.25, 1: 0.5, 2: 0.75, 3: 1.0}, settings={"rounds": {"final_rate": 0.2}})
    loop.run()
    assert [material.rate for material in loop.materials] == pytest.approx([1.0, 0.6, 0.2])


@pytest.mark.parametrize(
    ("patience", "expected"),
    [
        (0, ["0>1", "0>1>2", "0>1>3", "0>1>4", "0>1>5"]),
        (1, ["0>1", "0>1>2", "0>1>2>3", "0>1>4", "0>1>4>5"]),
        (9, ["0>1", "0>1>2", "0>1>2>3", "0>1>2>3>4", "0>1>2>3>4>5"]),
    ],
)
def test_a_student_that_is_not_promoted_goes_on_for_as_long_as_patience_lasts_then_the_incumbent_does(
    tmp_path: Path, patience: int, expected: list[str]
) -> None:
    loop = scripted_loop(tmp_path, WORSE, settings={"promotion": {"patience": patience}})
    final = loop.run()
    assert lineages(loop.script) == expected
    assert [m.promoted for m in read_rounds(loop.folder)] == [True, True, False, False, False, False]
    assert final.last_promoted == 1


def test_a_student_is_held_against_the_incumbent_and_the_best(tmp_path: Path) -> None:
    loop = scripted_loop(tmp_path, {0: 0.25, 1: 0.75, 2: 0.7, 3: 0.65}, settings={"promotion": {"margin": 0.3}})
    loop.run()
    rounds = read_rounds(loop.folder)
    rivals = [[(r.role, r.test.a) for r in m.promotion.rivals] for m in rounds if m.promotion is not None]
    assert rounds[2].promoted
    assert rivals[2] == [("incumbent", "round 2"), ("best", "round 1")]


def test_the_test_split_is_played_once_by_round_0_and_once_by_the_last_promoted(tmp_path: Path) -> None:
    loop = scripted_loop(tmp_path, WORSE)
    loop.run()
    loop.run()
    decodings = ("restricted 0", "free 0")
    assert played_on(loop.script, "test") == {(v, way): SIZES["test"] for v in ("0", "0>1") for way in decodings}


def test_further_splits_are_played_once_at_the_end_in_the_runs_own_way_and_their_gap_is_told(tmp_path: Path) -> None:
    loop = scripted_loop(tmp_path, UP, settings={"evaluate": {"further_splits": ["train", "test"]}})
    final = loop.run()
    assert [(test.split, test.decoding.split(",")[0]) for test in final.tests] == [
        ("test", "restricted to admissible actions"),
        ("test", "unrestricted"),
        ("train", "restricted to admissible actions"),
    ]
    assert final.tests[2].paired.tasks == 20
    assert [(gap.split, gap.other) for gap in final.gaps] == [("test", "train")]
    shares = [[side.success.value for side in (test.before, test.after)] for test in final.tests]
    assert final.gaps[0].before.value == pytest.approx(shares[0][0] - shares[2][0])
    assert final.gaps[0].after.value == pytest.approx(shares[0][1] - shares[2][1])


def test_a_further_split_may_be_called_test(tmp_path: Path) -> None:
    settings = {"evaluate": {"test_split": "select", "further_splits": ["test"]}}
    final = scripted_loop(tmp_path, UP, settings=settings).run()
    assert {test.split: test.paired.tasks for test in final.tests} == {"select": SIZES["select"], "test": SIZES["test"]}


def test_where_nothing_was_promoted_round_0_is_tested_once_against_itself(tmp_path: Path) -> None:
    loop = scripted_loop(tmp_path, {0: 0.75, 1: 0.25})
    final = loop.run()
    assert final.last_promoted == 0
    assert played_on(loop.script, "test") == {("0", way): SIZES["test"] for way in ("restricted 0", "free 0")}
    assert final.tests[0].paired.success_difference.value == 0.0


def test_no_round_sees_the_test_split_and_every_round_the_same_select_tasks(tmp_path: Path) -> None:
    loop = scripted_loop(tmp_path, UP, settings={"evaluate": {"select_tasks": 7}})
    loop.run()
    first_test = next(i for i, (_, _, episode) in enumerate(loop.script.asked) if "/test/" in episode)
    last_train = max(i for i, (_, _, episode) in enumerate(loop.script.asked) if "/train/" in episode)
    assert last_train < first_test
    assert len({m.tasks["select"].sha256 for m in read_rounds(loop.folder)}) == 1
    assert {m.tasks["select"].count for m in read_rounds(loop.folder)} == {7}


def test_the_curriculum_favours_tasks_whose_end_is_open(tmp_path: Path) -> None:
    forecasts = {f"train/{i}": 0.5 if i % 2 else 0.01 for i in range(SIZES["train"])}
    loop = scripted_loop(
        tmp_path,
        UP,
        settings={"rollout": {"tasks_per_round": 10, "pool": 4, "group_size": 1}},
        has_head=True,
        forecasts=forecasts,
    )
    loop.run()
    collected = [episode for _, _, episode in loop.script.asked if "/train/" in episode]
    is_open = [int(episode.split("~")[0].split("#")[0].rpartition("/")[2]) % 2 for episode in collected]
    assert len(is_open) == 20
    assert sum(is_open) >= 15
    assert sorted(loop.script.foreseen) == sorted(2 * list(forecasts))


def test_without_a_pool_nothing_is_forecast_and_tasks_come_by_lot(tmp_path: Path) -> None:
    loop = scripted_loop(tmp_path, UP, has_head=True)
    loop.run()
    assert loop.script.foreseen == []
    drawn = [m.tasks["collect"].sha256 for m in read_rounds(loop.folder)[1:]]
    assert len(set(drawn)) == 2


def test_no_round_begins_once_the_token_limit_is_reached(tmp_path: Path) -> None:
    loop = scripted_loop(tmp_path, {i: 0.1 * i for i in range(9)}, settings={"rounds": {"token_limit": 250}})
    final = loop.run()
    assert len(read_rounds(loop.folder)) == 4
    assert final.tokens_trained == 300


def test_checkpoints_that_nothing_goes_on_from_are_removed(tmp_path: Path) -> None:
    loop = scripted_loop(tmp_path, {**WORSE, 1: 0.5, 2: 0.75}, settings={"promotion": {"patience": 9}})
    loop.run()
    kept = sorted(path.parent.name for path in loop.folder.glob("rounds/*/checkpoint"))
    assert kept == ["000", "002", "005"]


@pytest.mark.parametrize("killed_at", [0, 1, 3])
def test_a_run_that_broke_off_goes_on_to_the_same_end(tmp_path: Path, killed_at: int) -> None:
    whole = scripted_loop(tmp_path / "whole", WORSE)
    expected = whole.run().comparable()
    with pytest.raises(SageGymError, match="killed"):
        scripted_loop(tmp_path / "broken", WORSE, tracker=ListTracker(fails_at=killed_at)).run()
    tracker = ListTracker()
    resumed = scripted_loop(tmp_path / "broken", WORSE, tracker=tracker)
    assert resumed.run().comparable() == expected
    assert tracker.told == list(range(killed_at, len(WORSE)))
    pairs = zip(read_rounds(whole.folder), read_rounds(resumed.folder), strict=True)
    assert all(a.comparable() == b.comparable() for a, b in pairs)
    final = read_final(resumed.folder)
    assert final is not None
    assert final.comparable() == expected


def test_a_finished_run_is_read_and_not_played_again(tmp_path: Path) -> None:
    final = scripted_loop(tmp_path, UP).run()
    again = scripted_loop(tmp_path, UP)
    assert again.run() == final
    assert again.script.asked == []


def test_what_a_round_collected_is_a_table_too(tmp_path: Path) -> None:
    loop = scripted_loop(tmp_path, UP)
    loop.run()
    for number in (1, 2):
        folder = loop.folder / "rounds" / f"{number:03d}"
        ids = [t.id for chunk in read_trajectories(folder / "collect.jsonl") for t in chunk]
        table = parquet.read_table(folder / "trajectories.parquet")
        assert table.column("id").to_pylist() == ids
        assert len(ids) == 8


def test_the_table_can_be_left_out_even_when_a_run_goes_on(tmp_path: Path) -> None:
    assert "tracking" in FREE_ON_RESUME
    loop = scripted_loop(tmp_path, UP, settings={"tracking": {"parquet": False}})
    loop.run()
    assert not list(loop.folder.rglob("*.parquet"))


def test_a_round_that_is_taken_up_again_keeps_its_table(tmp_path: Path) -> None:
    with pytest.raises(SageGymError, match="killed"):
        scripted_loop(tmp_path, UP, tracker=ListTracker(fails_at=1)).run()
    [table] = tmp_path.rglob("*.parquet")
    before = table.stat().st_mtime_ns, table.stat().st_ino
    scripted_loop(tmp_path, UP).run()
    assert (table.stat().st_mtime_ns, table.stat().st_ino) == before


class Rated:
    """A critic that knows something of every second episode."""

    def __init__(self, name: str) -> None:
        self.name = name

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        return [Score(self.name, 0.25 if t.attempt else None) for t in trajectories]


@pytest.mark.parametrize("stage", ["reinforce", "distil"])
def test_consistency_scores_reach_training_where_they_are_known(tmp_path: Path, stage: str) -> None:
    loop = scripted_loop(
        tmp_path, UP, settings={"rounds": {"stages": [stage]}}, critics=[Rated("critic"), Rated("ics")]
    )
    loop.run()
    for material in loop.materials:
        assert material.ics == {t.id: 0.25 for t in material.collected if t.attempt == 1}
        assert len(material.ics) == 4
        assert (material.selection is not None) == (stage == "distil")


def test_the_forecast_baseline_is_dropped_in_the_rounds_after_those_where_it_did_harm(tmp_path: Path) -> None:
    loop = scripted_loop(tmp_path, {number: 0.1 * number for number in range(4)})
    loop.metrics = {"reinforce/baseline_second_moment": 1.0, "reinforce/baseline_change": 0.5}
    loop.run()
    assert [material.gate.is_open for material in loop.materials] == [True, False, False]
    assert loop.materials[2].gate.change == pytest.approx(0.95)


def test_a_run_of_other_settings_is_refused_before_anything_is_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["env=webshop", f"run.folder={tmp_path}", "run=mine", "tracking.wandb=off", "policy.weights=nowhere"]
    folder = open_run(read(TRAIN, words))
    assert main([*words, "rollout.group_size=9", "seed=4"]) == 2
    said = capsys.readouterr().err
    assert "holds a run of other settings: give run=<another name>" in said
    assert "rollout.group_size: 8 when the run began, 9 now" in said
    assert "run.seed: 0 when the run began, 4 now" in said
    assert [path.name for path in folder.iterdir()] == ["config.yaml"]
