"""An evaluation that is played: splits side by side, two policies, forced mistakes, fits, the pilot, and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from sage_gym.config import EvaluateConfig
from sage_gym.config.sections import Episodes
from sage_gym.distill.arena import Arena
from sage_gym.errors import ConfigError
from sage_gym.evaluation.report.evaluation import render_page
from sage_gym.evaluation.sides import Side
from sage_gym.evaluation.trial import Trial
from sage_gym.rollout import read_trajectories
from sage_gym.types import Origin, Task, Trajectory
from tests.scripted_student import SIZES, Doors, KnockableDoors, Script, ScriptedStudent


class FarDoors(KnockableDoors):
    """Doors with a split of far ones beside the usual."""

    def splits(self) -> tuple[str, ...]:
        return ("train", "select", "test", "test_far", "elsewhere")

    def tasks(self, split: str) -> list[Task]:
        if split in SIZES:
            return super().tasks(split)
        return [Task(f"{split}/{i}", f"open door {i}", split, i, f"{split} {i}", "doors") for i in range(20)]


@pytest.fixture(autouse=True)
def _far_doors_are_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIZES, "test_far", 20)


def a_config(**settings: Any) -> EvaluateConfig:
    return EvaluateConfig.model_validate({"name": "doors", "tasks": 20, "fit_tasks": 20, **settings})


def student(skill: float, forecasts: bool = False) -> Any:
    """Opens the first `skill` of a split's doors; its forecasts know which."""
    known = {
        f"{split}/{i}": 0.2 + 0.6 * (i >= skill * n) + 0.01 * (i % 7) for split, n in SIZES.items() for i in range(n)
    }
    return ScriptedStudent(Script({0: skill}, forecasts=known if forecasts else {}))


def side(file: str, label: str, policy: Any) -> Side:
    return Side(file, label, cast(Any, policy), "as scripted")


def trial(folder: Path, config: EvaluateConfig, *sides: Side, environment: type[Doors] = FarDoors) -> Trial:
    arena = Arena(environment, Episodes(concurrency=7), config.seed, has_progress=False)
    return Trial(config, folder, arena, sides)


def played(folder: Path, name: str) -> list[Trajectory]:
    return [t for chunk in read_trajectories(folder / "episodes" / f"{name}.jsonl") for t in chunk]


def test_every_split_named_test_is_played_side_by_side(tmp_path: Path) -> None:
    found = trial(tmp_path, a_config(), side("policy", "half", student(0.5))).run()
    assert [(r.split, r.metrics.successes, r.tasks.count) for r in found.results] == [
        ("test", 10, 20),
        ("test_far", 10, 20),
    ]


def test_two_policies_play_the_same_tasks_and_are_compared_over_the_splits(tmp_path: Path) -> None:
    sides = side("policy", "good", student(0.8)), side("against", "poor", student(0.3))
    found = trial(tmp_path, a_config(), *sides).run()
    assert [(r.split, r.policy) for r in found.results] == [
        ("test", "good"), ("test", "poor"), ("test_far", "good"), ("test_far", "poor"),
    ]  # fmt: skip
    for comparison in found.comparisons:
        assert (comparison.paired.a, comparison.paired.b) == ("poor", "good")
        assert (comparison.paired.gained, comparison.paired.lost) == (10, 0)
        assert comparison.paired.success_difference.value == pytest.approx(0.5)
        assert comparison.mcnemar_p_holm == pytest.approx(2 * 2 / 2**10)
    assert [t.task.key for t in played(tmp_path, "test/policy")] == [
        t.task.key for t in played(tmp_path, "test/against")
    ]


def test_attempts_give_pass_rates(tmp_path: Path) -> None:
    found = trial(tmp_path, a_config(attempts=3, splits=["test"]), side("policy", "half", student(0.5))).run()
    [result] = found.results
    assert result.attempts == 3
    assert [(rate.k, rate.any.value, rate.all.value) for rate in result.passes] == [(k, 0.5, 0.5) for k in (1, 2, 3)]
    assert result.success is result.metrics.success_clustered
    assert result.outcomes[0].successes in ((True,) * 3, (False,) * 3)


def test_every_policy_is_put_into_the_same_state_after_the_same_mistake(tmp_path: Path) -> None:
    sides = side("policy", "good", student(0.8)), side("against", "poor", student(0.3))
    found = trial(tmp_path, a_config(splits=["test"], recovery={"tasks": 12}), *sides).run()
    ours, theirs = played(tmp_path, "test/policy-recovery"), played(tmp_path, "test/against-recovery")
    assert len(ours) == len(theirs) == 12
    for a, b in zip(ours, theirs, strict=True):
        assert a.task == b.task
        assert a.turns[0].decision.action == b.turns[0].decision.action == "knock"
        assert a.turns[0].decision.origin is Origin.INJECTED
        assert a.turns[1].decision.action == "open"
    assert [r.recovery.metrics.successes for r in found.results if r.recovery] == [12, sum(t.success for t in theirs)]
    assert found.results[0].recovery is not None
    [by_turn] = found.results[0].recovery.by_turn
    assert (by_turn.turn, by_turn.success.n) == (1, 12)
    assert found.recovery_comparisons[0].paired.gained == 12 - sum(t.success for t in theirs) > 0


def test_a_mistake_may_be_asked_for_at_a_turn(tmp_path: Path) -> None:
    config = a_config(splits=["test"], recovery={"tasks": 5, "turn": 2})
    [result] = trial(tmp_path, config, side("policy", "good", student(0.8))).run().results
    assert result.recovery is not None
    assert result.recovery.metrics.episodes == 0  # no success had a second turn


def test_mistakes_are_borrowed_from_other_tasks_where_nothing_is_listed(tmp_path: Path) -> None:
    class Knocker(ScriptedStudent):
        """Knocks in a way of the door's own, then opens."""

        def _decide(self, context: Any) -> Any:
            decision = super()._decide(context)
            return decision if context.turns else type(decision)("", f"knock {context.task.key}")

    class Bare(FarDoors):
        """Lists no choices; any knock is answered."""

        view = property()  # type: ignore[assignment]

        def step(self, action: str) -> Any:
            return super().step("knock" if action.startswith("knock") else action)

    policy = Knocker(Script({0: 1.0}))
    trial(
        tmp_path, a_config(splits=["test"], recovery={"tasks": 6}), side("policy", "k", policy), environment=Bare
    ).run()
    mistakes = played(tmp_path, "test/policy-recovery")
    assert len(mistakes) == 6
    for forced in mistakes:
        action = forced.turns[0].decision.action
        assert action.startswith("knock test/")
        assert action != f"knock {forced.task.key}"


def test_forecasts_are_fitted_on_one_split_and_judged_on_the_others(tmp_path: Path) -> None:
    found = trial(tmp_path, a_config(), side("policy", "half", student(0.5, forecasts=True))).run()
    for result in found.results:
        assert result.forecast is not None
        assert result.forecast.decision is not None
        assert result.forecast.decision.auroc is not None
        assert result.forecast.decision.auroc.value == 1.0
        assert result.forecast.fitted_on == "select"
        assert result.forecast.temperature is not None
        assert result.forecast.temperature.n == 20
        assert [turn.turn for turn in result.forecast.turns] == [1]
    assert {t.task.split for t in played(tmp_path, "select/policy-fit")} == {"select"}


def test_nothing_is_played_to_fit_what_does_not_forecast(tmp_path: Path) -> None:
    found = trial(tmp_path, a_config(), side("policy", "half", student(0.5))).run()
    assert {result.forecast for result in found.results} == {None}
    assert not (tmp_path / "episodes" / "select").exists()


def test_a_finished_evaluation_is_only_read_and_measured_again(tmp_path: Path) -> None:
    first, second = student(0.5, forecasts=True), student(0.5, forecasts=True)
    before = trial(tmp_path, a_config(), side("policy", "half", first)).run()
    after = trial(tmp_path, a_config(), side("policy", "half", second)).run()
    assert before.comparable() == after.comparable()
    assert first.script.asked
    assert not second.script.asked


def test_a_pilot_is_held_against_all_tasks(tmp_path: Path) -> None:
    config = a_config(splits=["test"], amplify={"enabled": True, "pilot_tasks": 8})
    sides = side("policy", "amplified", student(0.2)), side("against", "plain", student(0.8))
    check = trial(tmp_path, config, *sides).run().pilot
    assert check is not None
    assert check.pilot.tasks == 8
    assert (check.full["test"].rescued, check.full["test"].disrupted) == (0, 12)
    assert not check.full["test"].replanning
    assert check.agreed == {"test": not check.pilot.replanning}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"splits": ["tset"]}, "splits: no split named 'tset'; did you mean 'test'?"),
        ({"fit_split": "selct"}, "fit_split: no split named 'selct'; did you mean 'select'?"),
    ],
)
def test_splits_that_are_not_there_are_refused_before_anything_is_played(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        trial(tmp_path, a_config(**settings), side("policy", "half", student(0.5)))
    assert caught.value.problems[0].startswith(words)
    assert not list(tmp_path.iterdir())


def test_a_fit_split_that_shares_tasks_with_what_is_judged_is_refused(tmp_path: Path) -> None:
    class Overlapping(FarDoors):
        """Its split `elsewhere` holds the test's tasks."""

        def tasks(self, split: str) -> list[Task]:
            return super().tasks("test" if split == "elsewhere" else split)

    with pytest.raises(ConfigError, match="fit_split=elsewhere: shares 20 tasks with test"):
        trial(tmp_path, a_config(fit_split="elsewhere"), side("policy", "half", student(0.5)), environment=Overlapping)


# The page


def test_the_page_says_what_was_measured_and_neutralises_what_is_foreign(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>\u202e"
    sides = side("policy", hostile, student(0.8, forecasts=True)), side("against", "poor", student(0.3, forecasts=True))
    found = trial(tmp_path, a_config(attempts=2), *sides).run()
    page = render_page(found)
    assert "<script" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert page.count("<svg") >= 2 + 3 * len(found.results)
    for heading in ("Several attempts", "After a forced mistake", "Risk over coverage", "Turn by turn"):
        assert (heading in page) == (heading != "Turn by turn")
    first = found.results[0]
    assert first.success is not None
    assert f"{100 * first.success.value:.1f} %" in page
    assert first.tasks.sha256 in page
