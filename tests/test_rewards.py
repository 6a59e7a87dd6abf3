"""Rewards: their values worked out by hand, and that a failure is unscored, never zero."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pytest

from rewards.calibration import Calibration
from rewards.critic import LearnedCritic, RuleCritic
from rewards.inverse import InverseConsistency
from rewards.outcome import Outcome
from sage_gym.protocols import Reward
from sage_gym.registry import known, resolve
from sage_gym.types import Decision, Origin, StopReason, Task, Trajectory, Turn

TASK = Task(key="toy/0", instruction="x", split="train", seed=0, hash="", environment="toy")


def turn(
    before: float | None = None, after: float | None = None, *, action: str = "a", origin: Origin = Origin.POLICY,
    is_invalid: bool = False, info: Mapping[str, object] | None = None,
) -> Turn:  # fmt: skip
    decision = Decision(text=action, action=action, p_fail_before=before, p_fail=after, origin=origin)
    return Turn("page", decision, 0.0, is_invalid=is_invalid, info=info or {})


def episode(
    *turns: Turn, reward: float = 0.0, success: bool = False, stop: StopReason = StopReason.TERMINATED,
    info: Mapping[str, object] | None = None, identifier: str = "e",
) -> Trajectory:  # fmt: skip
    return Trajectory(identifier, TASK, turns, stop, reward, success, 0, "toy", info=info or {})


@dataclass(frozen=True)
class FixedReading:
    ics: float
    log_p_given_trace: float = -3.0
    copy_rate: float = 0.25


def scripted_scorer(trajectories: Sequence[Trajectory]) -> list[FixedReading]:
    """Reads the reward as the ICS; cannot read the trajectory called `broken`."""
    if any(t.id == "broken" for t in trajectories):
        raise ValueError("broken has no ledger")
    return [FixedReading(t.reward) for t in trajectories]


def test_outcome_is_the_environments_reward_with_its_components() -> None:
    info = {"reward_components": {"r_type": 0.5, "query_match": True, "note": "text"}, "page": 3}
    (score,) = Outcome().score([episode(turn(), reward=0.6, success=False, info=info)])
    assert score.value == 0.6
    assert score.components == {"r_type": 0.5, "query_match": 1.0, "success": 0.0}


def test_a_truncated_episode_is_no_success_and_yet_keeps_its_reward() -> None:
    (score,) = Outcome().score([episode(turn(), reward=1.0, success=True, stop=StopReason.MAX_TURNS)])
    assert (score.value, score.components["success"]) == (1.0, 0.0)


def test_a_reward_out_of_range_is_unscored() -> None:
    scores = Outcome().score([episode(turn(), reward=1.2), episode(turn(), reward=math.nan)])
    assert [score.value for score in scores] == [None, None]
    assert scores[0].reason == "expected a reward in [0, 1], got 1.2"


def test_learned_credit_is_what_the_decision_did_to_the_forecast() -> None:
    (score,) = LearnedCritic().score([episode(turn(0.5, 0.25), turn(0.25, 0.75))])
    assert score.per_turn == pytest.approx((0.25, -0.5))
    assert score.value == pytest.approx(-0.125)
    assert score.components == pytest.approx({"first_value": 0.5, "last_value": 0.25, "lowest": -0.5})


def test_an_injected_mistake_is_shown_but_not_held_against_the_policy() -> None:
    wrong = turn(0.25, 0.75, origin=Origin.INJECTED, is_invalid=True, action="b")
    (learned,) = LearnedCritic().score([episode(turn(0.5, 0.25), wrong)])
    assert (learned.value, learned.per_turn) == (pytest.approx(0.25), pytest.approx((0.25, -0.5)))
    (ruled,) = RuleCritic().score([episode(turn(), wrong)])
    assert (ruled.value, ruled.per_turn, ruled.components["invalid"]) == (0.0, (0.0, -1.0), 0.0)


def test_rules_count_invalid_and_repeated_actions_and_what_the_environment_states() -> None:
    turns = [turn(action="a", info={"harm": 2}), turn(action="a"), turn(action="b", is_invalid=True)]
    (score,) = RuleCritic(info={"harm": -0.25}).score([episode(*turns)])
    assert score.per_turn == pytest.approx((-0.5, -0.5, -1.0))
    assert score.value == pytest.approx(-2 / 3)
    assert score.components == {"invalid": 1.0, "repeated": 1.0, "info.harm": 2.0}


def test_ics_comes_from_the_scorer_with_its_copy_rate() -> None:
    (score,) = InverseConsistency(scripted_scorer).score([episode(turn(), reward=0.7)])
    assert (score.name, score.value) == ("ics", 0.7)
    assert score.components == {"log_p_given_trace": -3.0, "copy_rate": 0.25}


def test_one_trajectory_that_cannot_be_read_leaves_the_others_scored() -> None:
    batch = [episode(turn(), reward=0.1), episode(turn(), identifier="broken"), episode(turn(), reward=0.3)]
    scores = InverseConsistency(scripted_scorer).score(batch)
    assert [score.value for score in scores] == [0.1, None, 0.3]
    assert scores[1].reason == "ValueError: broken has no ledger"


def test_a_scorer_of_the_wrong_length_scores_nothing() -> None:
    (score,) = InverseConsistency(lambda trajectories: []).score([episode(turn())])
    assert (score.value, score.reason) == (None, "ValueError: expected 1 readings from the scorer, got 0")


def test_the_brier_reward_is_highest_at_the_true_probability() -> None:
    def expected(p: float) -> float:
        failed, succeeded = Calibration().score([episode(turn(0.5, p)), episode(turn(0.5, p), success=True)])
        assert failed.value is not None
        assert succeeded.value is not None
        return 0.3 * failed.value + 0.7 * succeeded.value

    assert max((expected(p / 10), p / 10) for p in range(11))[1] == 0.3


def test_brier_of_each_place_is_reported_and_truncation_is_failure() -> None:
    (score,) = Calibration().score([episode(turn(0.5, 0.8), turn(0.1, 0.6), success=True, stop=StopReason.WALL_CLOCK)])
    assert score.value == pytest.approx(-(0.04 + 0.16) / 2)
    assert score.per_turn == pytest.approx((-0.04, -0.16))
    assert score.components == pytest.approx({"brier": 0.1, "brier_before": (0.25 + 0.81) / 2, "brier_first": 0.25})


def test_a_forecast_that_is_no_probability_is_unscored() -> None:
    (score,) = Calibration().score([episode(turn(0.5, 1.5))])
    assert (score.value, score.reason) == (None, "expected forecasts in [0, 1], got 1.5")


REWARDS: list[Reward] = [
    Outcome(), LearnedCritic(), RuleCritic(info={"harm": 1.0}), InverseConsistency(scripted_scorer), Calibration(),
]  # fmt: skip


@pytest.mark.parametrize("reward", REWARDS, ids=lambda reward: reward.name)
def test_infrastructure_is_unscored_and_order_is_kept(reward: Reward) -> None:
    good = episode(turn(0.5, 0.5), reward=0.5)
    scores = reward.score([good, replace(good, stop_reason=StopReason.INFRASTRUCTURE), good])
    assert [score.value is None for score in scores] == [False, True, False]
    assert scores[1].reason.startswith("infrastructure")
    assert {score.name for score in scores} == {reward.name}
    assert reward.score([]) == []


@pytest.mark.parametrize("reward", [LearnedCritic(), RuleCritic(), Calibration()], ids=lambda reward: reward.name)
def test_an_episode_that_cannot_be_judged_is_unscored_with_a_reason(reward: Reward) -> None:
    (score,) = reward.score([episode()])
    assert score.value is None
    assert score.reason


def test_missing_or_malformed_inputs_are_unscored_by_turn() -> None:
    (learned,) = LearnedCritic().score([episode(turn(0.5, 0.5), turn(0.5, None))])
    assert (learned.value, learned.reason[:6]) == (None, "turn 1")
    (ruled,) = RuleCritic(info={"harm": 1.0}).score([episode(turn(info={"harm": "much"}))])
    assert ruled.value is None
    assert "could not convert" in ruled.reason
    (infinite,) = RuleCritic(info={"harm": 1.0}).score([episode(turn(info={"harm": math.inf}))])
    assert (infinite.value, infinite.reason[:23]) == (None, "expected finite numbers")


@pytest.mark.parametrize("name", ["outcome", "critic", "rule", "ics", "calibration"])
def test_each_reward_is_registered_under_the_name_of_its_scores(name: str) -> None:
    assert name in known("reward")
    assert inspect.signature(resolve("reward", name)).parameters["name"].default == name
