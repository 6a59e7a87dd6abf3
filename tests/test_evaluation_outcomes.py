"""Outcomes compared without trajectories: over splits, over attempts, with the keys that differ; critics; damage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rewards.calibration import Calibration
from rewards.outcome import Outcome
from sage_gym.errors import RecordError, TasksDifferError
from sage_gym.evaluation.comparison import compare_splits
from sage_gym.evaluation.critiques import score_episodes, summarise
from sage_gym.evaluation.measuring import measure_split
from sage_gym.evaluation.outcomes import TaskOutcomes, list_outcomes
from sage_gym.evaluation.records import Evaluation, read_evaluation, write_evaluation
from sage_gym.evaluation.report.evaluation import render_page
from sage_gym.evaluation.rescoring import compare_stored, rescore, write_scores
from sage_gym.evaluation.significance import compare, holm, pair
from sage_gym.evaluation.stored import read_stored
from sage_gym.rollout import Journal
from sage_gym.rollout.records import encode
from sage_gym.types import Origin, Score, StopReason, Trajectory
from tests.trajectories import make_task, make_trajectory, make_turn


def episodes(outcomes: str, split: str = "test", attempts: int = 1) -> list[Trajectory]:
    """One episode an attempt, `attempts` a task: `1` succeeded, `0` failed, `x` lost to infrastructure."""
    return [
        make_trajectory(
            make_task(f"{split}/{i // attempts:03d}", family=f"family {i // attempts // 2}"),
            success=outcome == "1",
            attempt=i % attempts,
            stop=StopReason.INFRASTRUCTURE if outcome == "x" else StopReason.TERMINATED,
        )
        for i, outcome in enumerate(outcomes)
    ]


def outcomes(text: str, split: str = "test", attempts: int = 1) -> tuple[TaskOutcomes, ...]:
    return list_outcomes(episodes(text, split, attempts))


def test_outcomes_keep_attempts_in_order_and_infrastructure_apart() -> None:
    first, second = list_outcomes(episodes("10x1", attempts=2)[::-1])
    assert (first.key, first.successes, first.rewards) == ("test/000", (True, False), (1.0, 0.0))
    assert (second.successes, second.rewards) == ((None, True), (None, 1.0))
    assert (first.success_rate, second.success_rate) == (0.5, 1.0)
    assert list_outcomes(episodes("x"))[0].success_rate is None


def test_a_comparison_of_outcomes_is_that_of_the_trajectories() -> None:
    a, b = "1100x01100", "101101x111"
    [found] = compare_splits(("a", {"test": outcomes(a)}), ("b", {"test": outcomes(b)}))
    assert found.paired == compare("a", "b", pair(episodes(a), episodes(b)))
    assert found.success_over_attempts is None


def test_p_values_are_adjusted_by_holm_over_the_splits() -> None:
    texts = {
        "one": ("0" * 20, "1" * 9 + "0" * 11),
        "two": ("0" * 20, "1" * 7 + "0" * 13),
        "three": ("01" * 10, "10" * 10),
    }
    a = {split: outcomes(before, split) for split, (before, _) in texts.items()}
    b = {split: outcomes(after, split) for split, (_, after) in texts.items()}
    found = compare_splits(("a", a), ("b", b))
    assert [one.split for one in found] == list(texts)
    alone = {one.split: one.paired.mcnemar_p for one in found}
    assert {one.split: one.mcnemar_p_holm for one in found} == holm(alone)
    assert found[0].mcnemar_p_holm == pytest.approx(3 * 2 / 2**9)
    assert found[0].score_p_holm >= found[0].paired.score_p


def test_attempts_are_compared_by_the_rates_of_the_tasks() -> None:
    a, b = outcomes("10" * 10, attempts=2), outcomes("1110" * 5, attempts=2)
    [found] = compare_splits(("a", {"test": a}), ("b", {"test": b}))
    assert found.paired.success_difference.value == 0.0
    assert found.success_over_attempts is not None
    assert found.success_over_attempts.value == pytest.approx(0.25)
    assert found.score_over_attempts is not None
    assert found.score_over_attempts.value == pytest.approx(0.25)
    assert found.paired.score_p > 0.9
    assert found.score_p < 0.05


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("0" * 40, "111" + "0" * 37, "3 of 40 pairs differ, and with fewer than 6 no outcome is significant at 5 %"),
        ("0" * 40, "111" + "0" * 37, "+7.5 points would take 104 pairs"),
        ("01" * 20, "10" * 20, "no difference was observed"),
    ],
)
def test_too_few_pairs_are_told_with_the_number_needed(before: str, after: str, words: str) -> None:
    [found] = compare_splits(("a", {"test": outcomes(before)}), ("b", {"test": outcomes(after)}))
    assert words in found.shortfall
    assert found.is_testable == ("fewer" not in found.shortfall)
    assert (found.pairs_needed is None) == ("no difference" in words)


def test_a_test_that_has_shown_a_difference_needs_nothing() -> None:
    [found] = compare_splits(("a", {"test": outcomes("0" * 30)}), ("b", {"test": outcomes("1" * 10 + "0" * 20)}))
    assert (found.shortfall, found.pairs_needed) == ("", None)


def test_different_tasks_are_refused_with_the_differing_keys() -> None:
    a, b = outcomes("1" * 9), outcomes("1" * 8)
    changed = tuple(one.model_copy(update={"hash": "other"}) if one.key == "test/002" else one for one in b)
    extra = (*changed, outcomes("1", "more")[0])
    with pytest.raises(TasksDifferError) as caught:
        compare_splits(("nano", {"test": a}), ("random", {"test": extra}))
    assert str(caught.value).splitlines() == [
        "nano and random on split 'test': expected both evaluations on the same tasks; evaluate both on one list",
        "  1 in the first alone: test/008",
        "  1 in the second alone: more/000",
        "  1 with another content in each: test/002",
    ]
    with pytest.raises(TasksDifferError, match=r"12 in the first alone: test/000, .*, test/004 and 7 more"):
        compare_splits(("a", {"test": outcomes("1" * 12)}), ("b", {"test": ()}))


def test_a_split_of_which_infrastructure_left_no_pair_is_left_out() -> None:
    assert compare_splits(("a", {"test": outcomes("x1")}), ("b", {"test": outcomes("1x")})) == ()


class Grumpy:
    """Scores half of the episodes, the successful ones higher."""

    name = "grumpy"

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        return [
            Score("grumpy", None, reason="no mood")
            if t.task.key.endswith("1")
            else Score("grumpy", t.reward - 1, {"x": 2.0})
            for t in trajectories
        ]


def test_a_critic_that_cannot_score_is_counted_and_in_no_mean() -> None:
    played = episodes("11001x")
    found = summarise("grumpy", played, score_episodes(Grumpy(), played))
    assert (found.scored, found.unscored, found.reasons) == (4, 1, {"no mood": 1})
    assert found.value is not None
    assert found.value.value == pytest.approx((0 - 1 - 1 + 0) / 4)
    assert (found.of_successes, found.of_failures) == (0.0, -1.0)
    assert found.auroc is not None
    assert found.auroc.value == 1.0
    assert found.components == {"x": 2.0}


class Broken:
    """Raises."""

    name = "broken"

    def score(self, trajectories: Sequence[Trajectory]) -> list[Score]:
        raise RuntimeError("the judge is ill")


def test_a_critic_that_fails_scores_nothing_and_says_why() -> None:
    played = episodes("10")
    found = summarise("broken", played, score_episodes(Broken(), played))
    assert (found.scored, found.value, found.auroc) == (0, None, None)
    assert found.reasons == {"broken failed: RuntimeError: the judge is ill": 2}


def write_journal(path: Path, trajectories: Sequence[Trajectory], chunk: int = 4) -> None:
    with Journal(path) as journal:
        for start in range(0, len(trajectories), chunk):
            journal.append(start // chunk, trajectories[start : start + chunk])


def damage(path: Path, line: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = lines[line - 1][:40] + b"\n"
    path.write_bytes(b"".join(lines))


def test_a_damaged_line_is_named_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "episodes" / "test" / "policy.jsonl"
    write_journal(path, episodes("110011001100"))
    damage(path, 8)
    damage(path, 10)
    [file] = read_stored(tmp_path)
    assert {t.task.key for t in file.trajectories} == {f"test/{i:03d}" for i in range(12) if i not in (5, 7)}
    assert [(one.file, one.line, one.episodes) for one in file.damage] == [
        ("episodes/test/policy.jsonl", 8, 1),
        ("episodes/test/policy.jsonl", 10, 1),
    ]
    found = file.damage[0]
    assert str(found).startswith("episodes/test/policy.jsonl, line 8: expected one trajectory as JSON, got ")
    assert str(found).endswith("; 1 episode skipped")
    evaluation, scores = rescore(tmp_path, Outcome(), name="again")
    assert evaluation.damage == file.damage
    assert evaluation.results[0].metrics.episodes == len(scores["episodes/test/policy"]) == 10
    assert "2 damaged lines skipped, 2 episodes left out with them" in render_page(evaluation)


def test_a_chunk_whose_lines_can_be_read_and_are_not_those_that_were_written_is_left_out_whole(tmp_path: Path) -> None:
    path = tmp_path / "policy.jsonl"
    write_journal(path, episodes("11001100"))
    path.write_bytes(path.read_bytes().replace(b'"reward":1.0', b'"reward":0.5', 1))
    [file] = read_stored(path)
    assert [t.task.key for t in file.trajectories] == [f"test/{i:03d}" for i in range(4, 8)]
    [found] = file.damage
    assert (found.line, found.episodes) == (6, 4)
    assert found.reason == "the lines are not those that were written"
    with path.open("ab") as stream:  # a kill left the beginning of another chunk
        stream.write(encode(episodes("1", "more")[0]).encode() + b"\n")
    assert [one.reason for one in read_stored(path)[0].damage][1:] == ["the chunk has no marker"]


def test_a_damaged_chunk_that_was_written_again_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "policy.jsonl"
    write_journal(path, episodes("11001100"))
    damage(path, 3)
    with Journal(path) as journal:
        journal.append(0, episodes("11001100")[:4])
    [file] = read_stored(path)
    assert sorted(t.task.key for t in file.trajectories) == [f"test/{i:03d}" for i in range(8)]
    assert [one.line for one in file.damage] == [3]


def test_a_file_that_holds_no_trajectories_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    write_journal(tmp_path / "a.jsonl", episodes("10"))
    (tmp_path / "b.jsonl").write_text('{"success": 1.0}\n')
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n')
    good, bad = read_stored(tmp_path)
    assert (good.name, len(good.trajectories), good.damage) == ("a", 2, ())
    assert (bad.trajectories, bad.damage[0].file, bad.damage[0].line) == ((), "b.jsonl", 1)
    assert read_stored(tmp_path / "a.jsonl")[0].trajectories == good.trajectories


def test_where_no_trajectories_are_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="nowhere, got none; check the path"):
        read_stored(tmp_path / "nowhere")
    with pytest.raises(RecordError, match=r"expected trajectory files \(\*.jsonl\) in it, got none"):
        read_stored(tmp_path)
    write_journal(tmp_path / "a.jsonl", [])
    with pytest.raises(RecordError, match="expected trajectories to score, got none"):
        rescore(tmp_path, Outcome(), name="again")


def forecasting(outcomes: str, split: str) -> list[Trajectory]:
    return [
        make_trajectory(
            replace(make_task(f"{split}/{i}"), split=split),
            success=o == "1",
            turns=[make_turn(p_fail=0.3 + 0.4 * (o == "0") + 0.01 * (i % 5))],
        )
        for i, o in enumerate(outcomes)
    ]


def test_stored_trajectories_are_scored_and_measured_again(tmp_path: Path) -> None:
    mistake = make_turn("wait", origin=Origin.INJECTED)
    forced = [
        make_trajectory("test/9", success=s, turns=[mistake, make_turn()], attempt=i)
        for i, s in enumerate((True, False))
    ]
    for name, played in {
        "test/policy": forecasting("1100" * 5, "test"),
        "test/policy-recovery": forced,
        "select/policy-fit": forecasting("10" * 10, "select"),
    }.items():
        write_journal(tmp_path / "episodes" / f"{name}.jsonl", played)
    evaluation, scores = rescore(tmp_path, Calibration(), name="again")
    by_name = {result.policy.removeprefix("episodes/"): result for result in evaluation.results}
    assert set(by_name) == {"test/policy", "test/policy-recovery", "select/policy-fit"}
    assert by_name["test/policy-recovery"].recovery is not None
    assert by_name["test/policy-recovery"].recovery.metrics.successes == 1
    tested = by_name["test/policy"]
    assert tested.recovery is None
    assert tested.critic is not None
    assert tested.critic.scored == 20
    assert tested.forecast is not None
    assert tested.forecast.fitted_on == "select"
    assert tested.forecast.temperature is not None
    assert len(tested.forecast.baselines) == 3
    write_scores(tmp_path / "scores.jsonl", scores)
    assert len((tmp_path / "scores.jsonl").read_text().splitlines()) == 42
    assert len(read_stored(tmp_path)) == 3


def stored(name: str, text: str, split: str = "test", policy: str = "nano", **settings: str) -> Evaluation:
    result = measure_split(episodes(text, split), split=split, policy=policy, decoding="greedy")
    return Evaluation(name=name, environment="shop", policies=(policy,), results=(result,), settings=settings)


def test_two_stored_evaluations_are_compared(tmp_path: Path) -> None:
    first = stored("before", "0" * 12, **{"env.faults": "0.1", "seed": "0", "policy.name": "x"})
    second = stored("after", "1" * 8 + "0" * 4, **{"env.faults": "0.2", "seed": "0", "policy.name": "y"})
    write_evaluation(tmp_path / "a", first)
    assert read_evaluation(tmp_path / "a") == first
    found = compare_stored(read_evaluation(tmp_path / "a"), second, name="both")
    assert found.policies == ("nano (after)", "nano (before)")
    assert (found.comparisons[0].paired.gained, found.comparisons[0].paired.lost) == (8, 0)
    assert found.comparisons[0].paired.success_difference.value == pytest.approx(8 / 12)
    assert found.notes == ("env.faults was 0.1 for before and 0.2 for after",)
    assert {result.policy for result in found.results} == set(found.policies)


def test_stored_evaluations_of_different_tasks_are_refused_with_the_differing_keys(tmp_path: Path) -> None:
    with pytest.raises(TasksDifferError, match="2 in the first alone: test/010, test/011"):
        compare_stored(stored("a", "1" * 12), stored("b", "1" * 10), name="both")
    with pytest.raises(RecordError, match="got test in a and transfer in b"):
        compare_stored(stored("a", "1"), stored("b", "1", split="transfer"), name="both")
    with pytest.raises(RecordError, match=r"expected a finished evaluation's folder, got .*no evaluation.json"):
        read_evaluation(tmp_path)
    (tmp_path / "evaluation.json").write_text("{}")
    with pytest.raises(RecordError, match="expected a Evaluation, got a problem at name"):
        read_evaluation(tmp_path)
